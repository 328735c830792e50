use std::collections::BTreeMap;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::config::read_json;
use crate::names::Part;

/// Names and shapes of a native module's tensors; see `tools/goldens/make_names.py`.
#[derive(Deserialize)]
struct Names {
    stored: BTreeMap<String, Vec<usize>>,
}

/// Opens a file of zeros with the tensors of a native module, less those called `without`.
fn part(name: &str, part: Part, without: &str) -> PartFiles {
    let goldens = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/names");
    let names: Names = read_json(&goldens.join(format!("{name}.json"))).unwrap();
    let kept = names
        .stored
        .iter()
        .filter(|(name, _)| without.is_empty() || !name.contains(without));
    let zeros: Vec<_> = kept
        .map(|(name, shape)| (name, shape, vec![0; 4 * shape.iter().product::<usize>()]))
        .collect();
    let views = zeros.iter().map(|(name, shape, bytes)| {
        let dtype = safetensors::Dtype::F32;
        let view = safetensors::tensor::TensorView::new(dtype, (*shape).clone(), bytes);
        (name.as_str(), view.unwrap())
    });
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weights.safetensors");
    safetensors::serialize_to_file(views, None, &path).unwrap();
    PartFiles::open(part, vec![path]).unwrap()
}

fn transformer_of(name: &str) -> Value {
    let native = serde_json::from_value(json!({"num_heads": 2})).unwrap();
    let part = part(name, Part::Transformer, "");
    transformer_json(&part, &native, Path::new("config.json")).unwrap()
}

#[track_caller]
fn check(found: &Value, expected: Value) {
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&found[key], value, "{key}");
    }
}

#[test]
fn transformers_are_seen_in_their_tensors() {
    let text = transformer_of("transformer-t2v");
    check(
        &text,
        json!({
            "patch_size": [1, 2, 2], "num_attention_heads": 2, "attention_head_dim": 6,
            "in_channels": 16, "out_channels": 16, "text_dim": 10, "freq_dim": 8, "ffn_dim": 20,
            "num_layers": 2, "cross_attn_norm": true, "image_dim": null,
            "added_kv_proj_dim": null, "pos_embed_seq_len": null
        }),
    );
    let image = json!({"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 12});
    check(&transformer_of("transformer-i2v"), image.clone());
    let both = transformer_of("transformer-flf2v");
    check(&both, image);
    check(&both, json!({"pos_embed_seq_len": 514}));
}

#[test]
fn autoencoders_are_seen_in_their_tensors() {
    let first = vae_json(&part("vae-2.1", Part::Vae, "")).unwrap();
    check(
        &first,
        json!({
            "base_dim": 4, "decoder_base_dim": 4, "z_dim": 16, "dim_mult": [1, 2, 4, 4],
            "num_res_blocks": 2, "temperal_downsample": [false, true, true], "is_residual": false,
            "in_channels": 3, "out_channels": 3, "patch_size": null, "scale_factor_spatial": 8,
            "scale_factor_temporal": 4
        }),
    );
    let second = vae_json(&part("vae-2.2", Part::Vae, "")).unwrap();
    check(
        &second,
        json!({
            "base_dim": 4, "decoder_base_dim": 8, "z_dim": 48, "dim_mult": [1, 2, 4, 4],
            "num_res_blocks": 2, "temperal_downsample": [false, true, true], "is_residual": true,
            "in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16,
            "scale_factor_temporal": 4
        }),
    );
}

#[test]
fn encoders_are_seen_in_their_tensors() {
    let image = image_encoder_json(&part("clip", Part::ImageEncoder, "")).unwrap();
    check(
        &image,
        json!({
            "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "patch_size": 14,
            "image_size": 28, "num_channels": 3
        }),
    );
    let text = text_encoder(&part("umt5", Part::TextEncoder, "")).unwrap();
    assert_eq!((text.vocab_size, text.d_model, text.d_kv), (20, 8, 4));
    assert_eq!((text.num_heads, text.num_layers, text.d_ff), (2, 2, 12));
}

#[test]
fn tensors_that_are_not_there_are_named_as_stored() {
    for (name, kind, tensor) in [
        ("vae-2.1", Part::Vae, "decoder.head.2.weight"),
        ("umt5", Part::TextEncoder, "blocks.0.ffn.gate.0.weight"),
    ] {
        let part = part(name, kind, tensor);
        let error = match kind {
            Part::Vae => vae(&part).map(drop),
            _ => text_encoder(&part).map(drop),
        };
        let error = error.unwrap_err().to_string();
        assert!(error.contains(tensor), "{error}");
    }
}

#[test]
fn an_autoencoder_with_other_levels_is_refused() {
    let part = part("vae-2.1", Part::Vae, "encoder.downsamples.4.");
    let error = vae(&part).unwrap_err().to_string();
    assert!(error.contains("2 residual blocks"), "{error}");
}

#[test]
fn heads_are_said_or_of_the_published_width() {
    assert_eq!(heads(1536, None), Ok(12));
    assert_eq!(heads(24, Some(2)), Ok(2));
    for (width, said) in [
        (24, None),
        (24, Some(5)),
        (24, Some(0)),
        (24, Some(-2)),
        (0, None),
    ] {
        assert!(heads(width, said).is_err(), "{width} {said:?}");
    }
}

#[test]
fn latents_of_both_autoencoders_are_known() {
    for channels in [16_i64, 48] {
        let latents = latents(channels).unwrap();
        let count = usize::try_from(channels).unwrap();
        assert_eq!(
            (latents.mean.len(), latents.deviation.len()),
            (count, count)
        );
        assert!(latents.deviation.iter().all(|&value| value > 0.0));
    }
    assert!(latents(12).is_err());
}

#[test]
fn sides_of_squares() {
    assert_eq!([0, 1, 4, 5, 256, -3].map(side), [0, 1, 2, 2, 16, 0]);
}
