use std::path::Path;

use kinora_nn::{GgufMetadata, GgufValue};

use super::*;

fn config() -> DecoderConfig {
    DecoderConfig {
        vocabulary: 100,
        width: 32,
        inner_width: 64,
        blocks: 2,
        heads: 4,
        kv_heads: 2,
        head_width: 8,
        norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        has_interleaved_heads: false,
        context: 128,
        sliding_window: None,
        has_tied_head: false,
    }
}

#[test]
fn shapes_out_of_range_are_refused() {
    config().check().unwrap();
    let wrong: [fn(&mut DecoderConfig); 8] = [
        |config| config.vocabulary = 0,
        |config| config.width = 1 << 40,
        |config| config.blocks = 10_000,
        |config| config.kv_heads = 3,
        |config| config.kv_heads = 0,
        |config| config.head_width = 7,
        |config| config.sliding_window = Some(0),
        |config| config.rope_theta = f64::NAN,
    ];
    for change in wrong {
        let mut config = config();
        change(&mut config);
        assert!(config.check().is_err(), "{config:?}");
    }
}

#[test]
fn frequencies_fall_geometrically_and_are_scaled() {
    let frequencies = config().rope_frequencies();
    assert_eq!(frequencies, [1.0, 0.1, 0.01, 0.001]);
    let scaling = RopeScaling::Linear { factor: 4.0 };
    let linear = DecoderConfig {
        rope_scaling: scaling,
        ..config()
    };
    assert_eq!(linear.rope_frequencies()[0], 0.25);
    let scaling = RopeScaling::Llama3 {
        factor: 8.0,
        low_turns: 1.0,
        high_turns: 4.0,
        original_context: 128.0,
    };
    let llama = DecoderConfig {
        rope_scaling: scaling,
        ..config()
    };
    // 20 turns in the original context stay, a fifth of a turn does not.
    assert_eq!(llama.rope_frequencies()[0], 1.0);
    assert_eq!(llama.rope_frequencies()[2], 0.01 / 8.0);
}

#[test]
fn metadata_that_is_not_of_such_a_model_is_refused() {
    let metadata = GgufMetadata::default();
    let error = DecoderConfig::from_gguf(Path::new("a.gguf"), &metadata, true).unwrap_err();
    assert_eq!(error.to_string(), "a.gguf: general.architecture is missing");
    assert_eq!(GgufValue::Signed(-1).unsigned(), None);
}
