use serde_json::json;

use super::*;
use crate::request::Precision;

/// Wan 2.1 14B at 1280x720, 81 frames.
fn large() -> (WanConfig, ClipSize) {
    let transformer = json!({
        "patch_size": [1, 2, 2], "num_attention_heads": 40, "attention_head_dim": 128,
        "in_channels": 16, "out_channels": 16, "text_dim": 4096, "freq_dim": 256,
        "ffn_dim": 13_824, "num_layers": 40, "qk_norm": "rms_norm_across_heads"
    });
    let vae = json!({
        "base_dim": 96, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2,
        "temperal_downsample": [false, true, true],
        "latents_mean": vec![0.0; 16], "latents_std": vec![1.0; 16]
    });
    let text = json!({
        "vocab_size": 256_384, "d_model": 4096, "d_kv": 64, "d_ff": 10_240, "num_layers": 24,
        "num_heads": 64
    });
    let scheduler = json!({"flow_shift": 3.0});
    let config = WanConfig {
        transformer: serde_json::from_value(transformer).unwrap(),
        vae: serde_json::from_value(vae).unwrap(),
        image_encoder: None,
        text_encoder: serde_json::from_value(text).unwrap(),
        scheduler: serde_json::from_value(scheduler).unwrap(),
    };
    let clip = ClipSize {
        width: 1280,
        height: 720,
        frames: 81,
    };
    (config, clip)
}

/// Wan 2.1 I2V 14B at 1280x720, 81 frames.
fn large_with_picture() -> (WanConfig, ClipSize) {
    let (mut config, clip) = large();
    config.transformer.in_channels = 36;
    config.transformer.image_dim = Some(1280);
    config.transformer.added_kv_proj_dim = Some(5120);
    let encoder = json!({
        "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
        "num_attention_heads": 16, "image_size": 224, "patch_size": 14, "hidden_act": "gelu"
    });
    config.image_encoder = Some(serde_json::from_value(encoder).unwrap());
    (config, clip)
}

fn options() -> MemoryOptions {
    MemoryOptions {
        precision: Precision::Bf16,
        weights: WeightFormat::Native,
        residency: None,
        is_cpu: false,
        has_step_cache: false,
        is_guided: true,
    }
}

fn gibibytes(count: u64) -> u64 {
    count << 30
}

#[test]
fn less_memory_means_slower_policies() {
    let (config, clip) = large();
    let mut last = None;
    for limit in (8..=160).rev() {
        let Ok(plan) = plan(&config, clip, &options(), gibibytes(limit)) else {
            continue;
        };
        assert!(plan.estimate.total <= gibibytes(limit));
        let rank = Residency::ALL
            .iter()
            .position(|&policy| policy == plan.residency);
        assert!(last <= rank, "{limit} GiB: {plan:?}");
        last = rank;
    }
    assert_eq!(last, Some(2), "block swap was never chosen");
}

#[test]
fn a_large_card_holds_everything() {
    let (config, clip) = large();
    let plan = plan(&config, clip, &options(), gibibytes(139)).unwrap();
    assert_eq!((plan.residency, plan.tiling), (Residency::Resident, None));
    assert!(!plan.batch_cfg, "75,600 tokens fill the device alone");
    let [encoding, denoising, decoding] = plan.estimate.stages;
    assert!(encoding.activations < decoding.activations);
    assert!(denoising.activations > gibibytes(10));
}

#[test]
fn pictures_and_their_encoder_are_counted() {
    let ((text, clip), (picture, _)) = (large(), large_with_picture());
    let limit = gibibytes(200);
    let without = plan(&text, clip, &options(), limit).unwrap().estimate;
    let with = plan(&picture, clip, &options(), limit).unwrap().estimate;
    assert_eq!(without.image_encoder, 0);
    assert_eq!(with.image_encoder >> 20, 1_166);
    let more = with.transformer - without.transformer + with.image_encoder;
    let [encoding, denoising, decoding] = [0, 1, 2].map(|stage| {
        let (with, without) = (with.stages[stage], without.stages[stage]);
        assert_eq!(with.weights, without.weights + more);
        with.activations - without.activations
    });
    let pixels = 81 * 720 * 1280 * 3 * 4;
    assert!(encoding > pixels, "the clip is encoded");
    assert!(denoising > 0, "given channels and keys are held");
    assert_eq!(decoding, 0);
}

#[test]
fn a_clip_that_is_too_large_to_encode_whole_is_encoded_in_tiles() {
    let (config, clip) = large_with_picture();
    let mut tiled = 0;
    for limit in 8..=160 {
        let Ok(plan) = plan(&config, clip, &options(), gibibytes(limit)) else {
            continue;
        };
        assert!(plan.estimate.total <= gibibytes(limit));
        tiled += i32::from(plan.encode_tiling.is_some());
    }
    assert!(tiled > 0, "tiles were never chosen");
    let plan = plan(&config, clip, &options(), gibibytes(160)).unwrap();
    assert_eq!((plan.encode_tiling, plan.tiling), (None, None));
}

#[test]
fn clips_from_text_are_never_encoded() {
    let (config, clip) = large();
    for limit in 8..=160 {
        if let Ok(plan) = plan(&config, clip, &options(), gibibytes(limit)) {
            assert_eq!(plan.encode_tiling, None);
        }
    }
}

#[test]
fn small_clips_are_guided_in_pairs() {
    let (config, _) = large();
    let clip = ClipSize {
        width: 256,
        height: 256,
        frames: 9,
    };
    assert!(
        plan(&config, clip, &options(), gibibytes(139))
            .unwrap()
            .batch_cfg
    );
    let alone = MemoryOptions {
        is_guided: false,
        ..options()
    };
    assert!(
        !plan(&config, clip, &alone, gibibytes(139))
            .unwrap()
            .batch_cfg
    );
}

#[test]
fn a_fixed_policy_that_does_not_fit_names_one_that_does() {
    let (config, clip) = large();
    let fixed = MemoryOptions {
        residency: Some(Residency::Resident),
        ..options()
    };
    let refusal = plan(&config, clip, &fixed, gibibytes(24)).unwrap_err();
    assert_eq!(refusal.available_bytes, gibibytes(24));
    assert!(refusal.needed_bytes > gibibytes(40));
    assert_eq!(refusal.advice, "it fits with --residency block-swap");
}

#[test]
fn a_format_that_would_fit_is_named() {
    let (config, clip) = large();
    let fixed = MemoryOptions {
        residency: Some(Residency::StageOffload),
        is_cpu: true,
        ..options()
    };
    let (small, native) = (
        MemoryOptions {
            weights: WeightFormat::Fp8,
            ..fixed
        },
        Estimate::new(&config, clip, &fixed, choices(&config, clip, &fixed)[0]).total,
    );
    let eight = Estimate::new(&config, clip, &small, choices(&config, clip, &small)[0]).total;
    assert!(eight < native);
    let resident = MemoryOptions {
        residency: None,
        ..fixed
    };
    let least = choices(&config, clip, &resident)
        .into_iter()
        .map(|choice| Estimate::new(&config, clip, &resident, choice).total)
        .min()
        .unwrap();
    let refusal = plan(&config, clip, &resident, least - 1).unwrap_err();
    assert_eq!(refusal.needed_bytes, least);
    assert!(
        refusal.advice.contains("--weights fp8"),
        "{}",
        refusal.advice
    );
}

#[test]
fn a_smaller_clip_that_fits_is_named_and_does_fit() {
    let (config, clip) = large();
    let options = MemoryOptions {
        weights: WeightFormat::Fp8,
        ..options()
    };
    let refusal = plan(&config, clip, &options, gibibytes(9)).unwrap_err();
    let words: Vec<&str> = refusal.advice.split(' ').collect();
    let [frames, "frames", "of", side, "would", "fit"] = words.as_slice() else {
        panic!("{}", refusal.advice);
    };
    let (width, height) = side.split_once('x').unwrap();
    let smaller = ClipSize {
        width: width.parse().unwrap(),
        height: height.parse().unwrap(),
        frames: frames.parse().unwrap(),
    };
    assert!(plan(&config, smaller, &options, gibibytes(9)).is_ok());
    assert_ne!(smaller, clip);
}

#[test]
fn a_card_too_small_for_anything_is_told_so() {
    let (config, clip) = large();
    let refusal = plan(&config, clip, &options(), 1 << 20).unwrap_err();
    assert!(
        refusal.advice.starts_with("even the smallest clip"),
        "{}",
        refusal.advice
    );
    let text = refusal.to_string();
    assert!(text.contains("1.0 MiB are available"), "{text}");
}

#[test]
fn estimates_of_absurd_sizes_do_not_overflow() {
    let (config, _) = large();
    let clip = ClipSize {
        width: 8192,
        height: 8192,
        frames: 4097,
    };
    let refusal = plan(&config, clip, &options(), gibibytes(80)).unwrap_err();
    assert!(refusal.needed_bytes > gibibytes(1000));
}
