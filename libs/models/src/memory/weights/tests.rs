use serde_json::{Value, json};

use super::*;

fn transformer(layers: i64, heads: i64, ffn: i64, channels: [i64; 2], image: Value) -> u64 {
    let config = json!({
        "patch_size": [1, 2, 2], "num_attention_heads": heads, "attention_head_dim": 128,
        "in_channels": channels[0], "out_channels": channels[1], "text_dim": 4096, "freq_dim": 256,
        "ffn_dim": ffn, "num_layers": layers, "qk_norm": "rms_norm_across_heads",
        "image_dim": image, "added_kv_proj_dim": if image.is_null() { Value::Null } else { json!(heads * 128) },
    });
    WeightCount::of_transformer(&serde_json::from_value(config).unwrap()).parameters()
}

fn vae(base: [i64; 2], latent: usize, is_residual: bool) -> u64 {
    let config = json!({
        "base_dim": base[0], "decoder_base_dim": base[1], "z_dim": latent,
        "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "is_residual": is_residual,
        "temperal_downsample": [false, true, true], "patch_size": is_residual.then_some(2),
        "latents_mean": vec![0.0; latent], "latents_std": vec![1.0; latent],
    });
    WeightCount::of_vae(&serde_json::from_value(config).unwrap()).parameters()
}

#[test]
fn transformers_have_the_published_number_of_parameters() {
    let none = Value::Null;
    assert_eq!(
        transformer(30, 12, 8960, [16, 16], none.clone()),
        1_418_996_800
    );
    assert_eq!(
        transformer(40, 40, 13_824, [16, 16], none.clone()),
        14_288_491_584
    );
    assert_eq!(
        transformer(40, 40, 13_824, [36, 16], json!(1280)),
        16_394_878_784
    );
    assert_eq!(transformer(30, 24, 14_336, [48, 48], none), 4_999_787_712);
}

#[test]
fn two_given_frames_add_a_table_of_positions() {
    let config = json!({
        "patch_size": [1, 2, 2], "num_attention_heads": 40, "attention_head_dim": 128,
        "in_channels": 36, "out_channels": 16, "text_dim": 4096, "freq_dim": 256,
        "ffn_dim": 13_824, "num_layers": 40, "qk_norm": "rms_norm_across_heads",
        "image_dim": 1280, "added_kv_proj_dim": 5120, "pos_embed_seq_len": 514,
    });
    let count = WeightCount::of_transformer(&serde_json::from_value(config).unwrap());
    assert_eq!(count.parameters(), 16_394_878_784 + 514 * 1280);
}

#[test]
fn the_image_encoder_has_the_published_number_of_parameters_but_for_its_end() {
    let config = json!({
        "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
        "num_attention_heads": 16, "image_size": 224, "patch_size": 14, "hidden_act": "gelu"
    });
    let count = WeightCount::of_image_encoder(&serde_json::from_value(config).unwrap());
    let (last_block, last_norm) = (19_677_440, 2 * 1280);
    assert_eq!(count.parameters(), 630_766_080 - last_block - last_norm);
    assert_eq!(
        count.swapped_bytes(2, WeightFormat::Int8),
        count.bytes(2, WeightFormat::Native)
    );
}

#[test]
fn autoencoders_have_the_published_number_of_parameters() {
    assert_eq!(vae([96, 96], 16, false), 126_892_531);
    assert_eq!(vae([160, 256], 48, true), 704_688_668);
}

#[test]
fn the_text_encoder_has_the_published_number_of_parameters() {
    let config = json!({
        "vocab_size": 256_384, "d_model": 4096, "d_kv": 64, "d_ff": 10_240, "num_layers": 24,
        "num_heads": 64
    });
    let count = WeightCount::of_text_encoder(&serde_json::from_value(config).unwrap());
    assert_eq!(count.parameters(), 5_680_910_336);
}

#[test]
fn formats_change_the_matrices_only() {
    let part = WeightPart {
        matrices: 100,
        outputs: 10,
        compute: 7,
        full: 3,
    };
    assert_eq!(part.bytes(4, WeightFormat::Native), 440);
    assert_eq!(part.bytes(2, WeightFormat::Native), 226);
    assert_eq!(part.bytes(2, WeightFormat::Fp8), 100 + 40 + 14 + 12);
    let count = WeightCount {
        block: part,
        blocks: 5,
        shell: WeightPart::default(),
        largest_matrix: 60,
    };
    assert_eq!(count.bytes(2, WeightFormat::Int8), 5 * 166);
    assert_eq!(count.swapped_bytes(2, WeightFormat::Int8), 2 * 166);
    assert_eq!(count.temporary_bytes(2, WeightFormat::Int8), 240);
    assert_eq!(count.temporary_bytes(2, WeightFormat::Native), 0);
}
