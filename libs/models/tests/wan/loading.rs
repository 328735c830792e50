//! Folders that are incomplete, broken or hostile give a clear error and never a panic.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::support::{goldens, one_thread};
use kinora_models::{LoadError, LoadOptions, WanPipeline};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

const TRANSFORMER: &str = "transformer/diffusion_pytorch_model.safetensors";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";

/// A copy of a good model folder, to be damaged.
pub fn copy_of_model() -> TempDir {
    let copy = TempDir::new().unwrap();
    copy_folder(&goldens().join("pipeline"), copy.path());
    copy
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn load(folder: &Path) -> Result<WanPipeline, LoadError> {
    WanPipeline::load(folder, &one_thread())
}

/// Loads and returns the error with the errors it came from.
#[track_caller]
pub fn error(folder: &Path) -> String {
    load(folder).expect_err("the folder was loaded").to_string()
}

/// Rewrites a weight file, with the tensors that `change` leaves.
pub fn edit_weights(path: &Path, change: impl FnOnce(&mut HashMap<String, TensorView<'_>>)) {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = file.tensors().into_iter().collect();
    change(&mut tensors);
    let rewritten = safetensors::serialize(tensors, None).unwrap();
    fs::write(path, rewritten).unwrap();
}

pub fn edit_json(path: &Path, pointer: &str, value: serde_json::Value) {
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    *json.pointer_mut(pointer).unwrap() = value;
    fs::write(path, json.to_string()).unwrap();
}

#[test]
fn every_file_is_needed() {
    for file in [
        "kinora.json",
        "transformer/config.json",
        TRANSFORMER,
        "vae/config.json",
        VAE,
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    ] {
        let model = copy_of_model();
        fs::remove_file(model.path().join(file)).unwrap();
        assert!(
            error(model.path()).contains(file),
            "{file}: {}",
            error(model.path())
        );
    }
}

#[test]
fn a_missing_tensor_is_named() {
    let model = copy_of_model();
    let name = "blocks.1.attn2.norm_k.weight";
    edit_weights(&model.path().join(TRANSFORMER), |tensors| {
        drop(tensors.remove(name))
    });
    let error = error(model.path());
    assert!(
        error.contains("transformer") && error.contains(name),
        "{error}"
    );
    assert!(error.contains("missing"), "{error}");
}

#[test]
fn a_surplus_tensor_is_named() {
    let model = copy_of_model();
    edit_weights(&model.path().join(VAE), |tensors| {
        let any = tensors["quant_conv.bias"].clone();
        tensors.insert("decoder.extra.weight".to_owned(), any);
    });
    let error = error(model.path());
    assert!(
        error.contains("vae") && error.contains("decoder.extra.weight"),
        "{error}"
    );
}

#[test]
fn a_norm_that_image_branches_carry_and_never_use_is_no_surplus() {
    let model = TempDir::new().unwrap();
    copy_folder(&goldens().join("transformer-flf"), model.path());
    let file = model.path().join("diffusion_pytorch_model.safetensors");
    edit_weights(&file, |tensors| {
        let any = tensors["blocks.0.attn2.norm_added_k.weight"].clone();
        tensors.insert("blocks.0.attn2.norm_added_q.weight".to_owned(), any);
    });
    crate::goldens::transformer(model.path());
}

#[test]
fn an_image_to_video_transformer_is_refused_by_name() {
    let model = copy_of_model();
    edit_json(
        &model.path().join("transformer/config.json"),
        "/in_channels",
        36.into(),
    );
    let error = error(model.path());
    assert!(error.contains("wan-i2v"), "{error}");
}

#[test]
fn a_misshaped_tensor_is_named_with_both_shapes() {
    let model = copy_of_model();
    edit_weights(&model.path().join(TRANSFORMER), |tensors| {
        let other = tensors["proj_out.weight"].clone();
        tensors.insert("blocks.0.attn1.to_q.weight".to_owned(), other);
    });
    let error = error(model.path());
    assert!(error.contains("blocks.0.attn1.to_q.weight"), "{error}");
    assert!(
        error.contains("[64, 24]") && error.contains("[24, 24]"),
        "{error}"
    );
}

#[test]
fn a_config_of_another_size_is_told_from_the_weights() {
    for (file, pointer, value) in [
        ("transformer/config.json", "/num_layers", 3),
        ("transformer/config.json", "/num_layers", 1),
        ("transformer/config.json", "/num_attention_heads", 4),
        ("transformer/config.json", "/ffn_dim", 64),
        ("text_encoder/config.json", "/num_heads", 2),
        ("text_encoder/config.json", "/vocab_size", 20),
        ("vae/config.json", "/base_dim", 4),
        ("vae/config.json", "/num_res_blocks", 2),
    ] {
        let model = copy_of_model();
        edit_json(&model.path().join(file), pointer, value.into());
        let result = load(model.path());
        assert!(
            matches!(result, Err(LoadError::Weights { .. })),
            "{file} {pointer}: {result:?}"
        );
    }
}

#[test]
fn hostile_configs_are_errors_that_name_the_file() {
    for (file, pointer, value) in [
        (
            "transformer/config.json",
            "/patch_size",
            serde_json::json!([0, 0, 0]),
        ),
        (
            "transformer/config.json",
            "/num_layers",
            serde_json::json!(i64::MAX),
        ),
        (
            "transformer/config.json",
            "/attention_head_dim",
            serde_json::json!(-12),
        ),
        (
            "transformer/config.json",
            "/text_dim",
            serde_json::json!(33),
        ),
        ("vae/config.json", "/dim_mult", serde_json::json!([])),
        ("vae/config.json", "/latents_std", serde_json::json!([1.0])),
        (
            "text_encoder/config.json",
            "/relative_attention_num_buckets",
            serde_json::json!(0),
        ),
        (
            "scheduler/scheduler_config.json",
            "/flow_shift",
            serde_json::json!(-1.0),
        ),
        ("kinora.json", "/id", serde_json::json!("../../etc")),
        ("kinora.json", "/defaults/frames", serde_json::json!(10)),
    ] {
        let model = copy_of_model();
        edit_json(&model.path().join(file), pointer, value);
        let error = error(model.path());
        assert!(error.contains(file), "{file} {pointer}: {error}");
    }
}

#[test]
fn cut_and_garbled_files_are_errors() {
    for file in [
        "transformer/config.json",
        TRANSFORMER,
        VAE,
        "tokenizer/tokenizer.json",
    ] {
        let whole = fs::read(goldens().join("pipeline").join(file)).unwrap();
        for damaged in [
            &whole[..0],
            &whole[..7],
            &whole[..whole.len() / 2],
            &[0xff; 64][..],
        ] {
            let model = copy_of_model();
            fs::write(model.path().join(file), damaged).unwrap();
            assert!(
                error(model.path()).contains(file),
                "{file}: {}",
                error(model.path())
            );
        }
    }
}

#[test]
fn another_family_and_an_absent_device_are_refused() {
    let model = copy_of_model();
    edit_json(&model.path().join("kinora.json"), "/family", "mochi".into());
    assert!(error(model.path()).contains("the family is mochi"));
    let options = LoadOptions {
        device: kinora_models::DeviceChoice::Cuda(999),
        ..LoadOptions::default()
    };
    let result = WanPipeline::load(&goldens().join("pipeline"), &options);
    assert!(matches!(result, Err(LoadError::Device { .. })));
}
