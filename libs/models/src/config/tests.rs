use serde_json::{Value, json};

use super::vae::LevelShape;
use super::*;

fn transformer() -> Value {
    json!({
        "_class_name": "WanTransformer3DModel", "patch_size": [1, 2, 2],
        "num_attention_heads": 12, "attention_head_dim": 128, "in_channels": 16,
        "out_channels": 16, "text_dim": 4096, "freq_dim": 256, "ffn_dim": 8960,
        "num_layers": 30, "cross_attn_norm": true, "qk_norm": "rms_norm_across_heads",
        "eps": 1e-6, "image_dim": null, "added_kv_proj_dim": null, "rope_max_seq_len": 1024
    })
}

fn vae() -> Value {
    json!({
        "base_dim": 96, "z_dim": 2, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2,
        "attn_scales": [], "temperal_downsample": [false, true, true],
        "latents_mean": [0.0, 1.0], "latents_std": [1.0, 2.0]
    })
}

/// The shape of Wan 2.2's autoencoder, with two latent channels.
fn residual_vae() -> Value {
    json!({
        "base_dim": 160, "decoder_base_dim": 256, "z_dim": 2, "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2, "attn_scales": [], "temperal_downsample": [false, true, true],
        "latents_mean": [0.0, 1.0], "latents_std": [1.0, 2.0], "is_residual": true,
        "patch_size": 2, "in_channels": 12, "out_channels": 12, "scale_factor_spatial": 16,
        "scale_factor_temporal": 4
    })
}

fn image() -> Value {
    json!({
        "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
        "num_attention_heads": 16, "num_channels": 3, "image_size": 224, "patch_size": 14,
        "hidden_act": "gelu", "layer_norm_eps": 1e-5
    })
}

fn text() -> Value {
    json!({
        "vocab_size": 256_384, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24,
        "num_heads": 64, "feed_forward_proj": "gated-gelu"
    })
}

fn parse<T: DeserializeOwned + Checked>(value: Value) -> Result<T, String> {
    let parsed: T = serde_json::from_value(value).map_err(|error| error.to_string())?;
    parsed.check().map(|()| parsed)
}

#[track_caller]
fn refused<T: DeserializeOwned + Checked>(mut json: Value, key: &str, value: Value) {
    json[key] = value.clone();
    assert!(parse::<T>(json).is_err(), "{key} = {value} was accepted");
}

#[test]
fn known_shapes_are_accepted() {
    let transformer: TransformerConfig = parse(transformer()).unwrap();
    assert_eq!((transformer.width(), transformer.patch_volume()), (1536, 4));
    let vae: VaeConfig = parse(vae()).unwrap();
    assert_eq!((vae.spatial_stride(), vae.temporal_stride()), (8, 4));
    assert_eq!(vae.decoder_widths(), [384, 384, 192, 96]);
    let text: TextEncoderConfig = parse(text()).unwrap();
    assert_eq!(
        (text.attention_width(), text.relative_attention_num_buckets),
        (4096, 32)
    );
}

#[test]
fn residual_autoencoders_keep_the_width_of_their_upsamplers() {
    let vae: VaeConfig = parse(residual_vae()).unwrap();
    assert_eq!((vae.spatial_stride(), vae.temporal_stride()), (16, 4));
    let outputs = |levels: Vec<LevelShape>| -> Vec<(i64, i64)> {
        let channels = levels.iter().map(|level| (level.inputs, level.outputs));
        channels.collect()
    };
    assert_eq!(
        outputs(vae.encoder_levels()),
        [(160, 160), (160, 320), (320, 640), (640, 640)]
    );
    assert_eq!(
        outputs(vae.decoder_levels()),
        [(1024, 1024), (1024, 1024), (1024, 512), (512, 256)]
    );
    let older: VaeConfig = parse(self::vae()).unwrap();
    assert_eq!(
        outputs(older.decoder_levels()),
        [(384, 192), (192, 192), (192, 96), (96, 96)]
    );
}

#[test]
fn hostile_transformers_are_refused() {
    for key in [
        "num_attention_heads",
        "attention_head_dim",
        "num_layers",
        "freq_dim",
        "ffn_dim",
    ] {
        for value in [
            json!(0),
            json!(-4),
            json!(i64::MAX),
            json!("2"),
            json!(null),
            json!(2.5),
        ] {
            refused::<TransformerConfig>(transformer(), key, value);
        }
    }
    refused::<TransformerConfig>(transformer(), "attention_head_dim", json!(7));
    refused::<TransformerConfig>(transformer(), "patch_size", json!([1, 2]));
    refused::<TransformerConfig>(transformer(), "patch_size", json!([1, 0, 2]));
    refused::<TransformerConfig>(transformer(), "eps", json!(0.0));
    refused::<TransformerConfig>(transformer(), "qk_norm", json!("layer_norm"));
}

fn image_transformer() -> Value {
    let mut config = transformer();
    for (key, value) in [
        ("image_dim", 1280),
        ("added_kv_proj_dim", 1536),
        ("in_channels", 36),
    ] {
        config[key] = json!(value);
    }
    config
}

#[test]
fn image_branches_are_accepted_whole_and_refused_in_part() {
    let known: TransformerConfig = parse(image_transformer()).unwrap();
    assert!(known.has_image_branch());
    assert!(
        !parse::<TransformerConfig>(transformer())
            .unwrap()
            .has_image_branch()
    );
    let mut both_frames = image_transformer();
    both_frames["pos_embed_seq_len"] = json!(514);
    assert!(parse::<TransformerConfig>(both_frames).is_ok());
    for (key, value) in [
        ("image_dim", json!(0)),
        ("image_dim", json!(null)),
        ("image_dim", json!(i64::MAX)),
        ("added_kv_proj_dim", json!(null)),
        ("added_kv_proj_dim", json!(1535)),
        ("pos_embed_seq_len", json!(0)),
        ("pos_embed_seq_len", json!(513)),
        ("pos_embed_seq_len", json!(i64::MAX)),
    ] {
        refused::<TransformerConfig>(image_transformer(), key, value);
    }
    refused::<TransformerConfig>(transformer(), "image_dim", json!(1280));
    refused::<TransformerConfig>(transformer(), "pos_embed_seq_len", json!(514));
}

#[test]
fn channels_of_transformer_and_autoencoder_must_fit() {
    let fit = |transformer: Value, channels: i64| {
        let mut transformer = transformer;
        transformer["in_channels"] = json!(channels);
        transformer["out_channels"] = json!(2);
        let config = WanConfig {
            transformer: parse(transformer).unwrap(),
            vae: parse(vae()).unwrap(),
            text_encoder: parse(text()).unwrap(),
            image_encoder: None,
            scheduler: serde_json::from_value(json!({"flow_shift": 3.0})).unwrap(),
        };
        config.check_fit()
    };
    // Two latent channels, four frames to a latent frame.
    for channels in [2, 8] {
        assert_eq!(fit(transformer(), channels), Ok(()));
    }
    assert_eq!(fit(image_transformer(), 8), Ok(()));
    for channels in [1, 4, 7, 16] {
        assert!(
            fit(transformer(), channels)
                .unwrap_err()
                .contains("in_channels")
        );
    }
    assert!(fit(image_transformer(), 2).unwrap_err().contains("8"));
}

#[test]
fn hostile_autoencoders_are_refused() {
    refused::<VaeConfig>(vae(), "z_dim", json!(3));
    refused::<VaeConfig>(vae(), "dim_mult", json!([]));
    refused::<VaeConfig>(vae(), "dim_mult", json!([1, 2, -4, 4]));
    refused::<VaeConfig>(vae(), "temperal_downsample", json!(vec![true; 40]));
    refused::<VaeConfig>(vae(), "latents_std", json!([1.0, 0.0]));
    refused::<VaeConfig>(vae(), "num_res_blocks", json!(1_000_000_000));
    refused::<VaeConfig>(vae(), "patch_size", json!(2));
    refused::<VaeConfig>(vae(), "in_channels", json!(4));
    refused::<VaeConfig>(vae(), "scale_factor_spatial", json!(16));
}

#[test]
fn hostile_residual_autoencoders_are_refused() {
    for value in [json!(0), json!(-2), json!(3), json!(null), json!(i64::MAX)] {
        refused::<VaeConfig>(residual_vae(), "patch_size", value);
    }
    refused::<VaeConfig>(residual_vae(), "in_channels", json!(3));
    refused::<VaeConfig>(residual_vae(), "out_channels", json!(-12));
    refused::<VaeConfig>(residual_vae(), "scale_factor_spatial", json!(8));
    refused::<VaeConfig>(residual_vae(), "scale_factor_temporal", json!(8));
    refused::<VaeConfig>(residual_vae(), "decoder_base_dim", json!(0));
    refused::<VaeConfig>(residual_vae(), "dim_mult", json!([1, 2, 4, 7]));
    refused::<VaeConfig>(residual_vae(), "dim_mult", json!([3, 1, 1, 1]));
}

#[test]
fn a_level_without_a_shortcut_is_named() {
    let mut json = residual_vae();
    json["dim_mult"] = json!([1, 2, 4, 7]);
    let error = parse::<VaeConfig>(json).unwrap_err();
    assert_eq!(
        error,
        "no shortcut leads from 640 to 1120 channels, check dim_mult"
    );
}

#[test]
fn image_encoders_count_a_token_for_the_whole_image() {
    let image: ImageEncoderConfig = parse(image()).unwrap();
    assert_eq!((image.patches_per_side(), image.tokens()), (16, 257));
}

#[test]
fn hostile_image_encoders_are_refused() {
    for key in [
        "hidden_size",
        "num_hidden_layers",
        "patch_size",
        "image_size",
    ] {
        for value in [
            json!(0),
            json!(-1),
            json!(i64::MAX),
            json!(null),
            json!([224, 224]),
        ] {
            refused::<ImageEncoderConfig>(image(), key, value);
        }
    }
    refused::<ImageEncoderConfig>(image(), "num_hidden_layers", json!(1));
    refused::<ImageEncoderConfig>(image(), "num_attention_heads", json!(3));
    refused::<ImageEncoderConfig>(image(), "num_channels", json!(1));
    refused::<ImageEncoderConfig>(image(), "patch_size", json!(1));
    refused::<ImageEncoderConfig>(image(), "image_size", json!(13));
    refused::<ImageEncoderConfig>(image(), "hidden_act", json!("relu"));
    refused::<ImageEncoderConfig>(image(), "layer_norm_eps", json!(0.0));
}

#[test]
fn hostile_text_encoders_and_schedulers_are_refused() {
    refused::<TextEncoderConfig>(text(), "relative_attention_num_buckets", json!(0));
    refused::<TextEncoderConfig>(text(), "relative_attention_max_distance", json!(8));
    refused::<TextEncoderConfig>(text(), "feed_forward_proj", json!("relu"));
    let scheduler = json!({"flow_shift": 3.0, "num_train_timesteps": 1000});
    refused::<SchedulerConfig>(scheduler.clone(), "flow_shift", json!(0.0));
    refused::<SchedulerConfig>(scheduler.clone(), "num_train_timesteps", json!(0));
    refused::<SchedulerConfig>(scheduler, "prediction_type", json!("epsilon"));
}

#[test]
fn files_are_named_in_errors() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("config.json");
    let missing = read_checked::<VaeConfig>(&path).unwrap_err();
    assert!(matches!(missing, LoadError::Missing { .. }));
    for text in ["", "{", "[]", "{\"base_dim\": 96}", "\u{0}", "null"] {
        std::fs::write(&path, text).unwrap();
        let error = read_checked::<VaeConfig>(&path).unwrap_err();
        assert!(
            error.to_string().starts_with(path.to_str().unwrap()),
            "{error}"
        );
    }
}
