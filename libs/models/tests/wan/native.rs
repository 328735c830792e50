//! The native layout, other names and 8-bit weights: the same bytes as from diffusers' layout.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::loading::{copy_folder, edit_json, edit_weights, error};
use crate::support::{Recorder, check_close, goldens, never, one_thread, values};
use kinora_models::config::{TransformerConfig, read_checked, read_json};
use kinora_models::wan::{Timestep, WanTransformer};
use kinora_models::{
    GenerateRequest, Layout, LoadError, ModelFolder, Part, Sampler, SigmaGrid, WanPipeline,
};
use kinora_nn::{NameMap, Weights};
use tch::{Device, Kind};
use tempfile::TempDir;

const SHARD: &str = "diffusion_pytorch_model-00001-of-00002.safetensors";
const TEXT: &str = "models_t5_umt5-xxl-enc-bf16.pth";
const VAE: &str = "Wan2.1_VAE.pth";

/// A copy of the native golden, to be changed.
fn native() -> TempDir {
    let copy = TempDir::new().unwrap();
    copy_folder(&goldens().join("native"), copy.path());
    copy
}

/// The same model in diffusers' layout.
fn twin() -> TempDir {
    let copy = TempDir::new().unwrap();
    copy_folder(&goldens().join("pipeline"), copy.path());
    copy_folder(&goldens().join("native-twin"), copy.path());
    let scheduler = copy.path().join("scheduler/scheduler_config.json");
    edit_json(&scheduler, "/flow_shift", 5.0.into());
    copy
}

fn generate(folder: &Path) -> Vec<u8> {
    let request = GenerateRequest {
        prompt: "a red circle moves to the right".to_owned(),
        negative_prompt: "blurry".to_owned(),
        width: 32,
        height: 32,
        frames: 9,
        steps: 3,
        guidance: 4.0,
        seed: 7,
        sampler: Sampler::UniPc,
        grid: SigmaGrid::Diffusers,
        image: None,
        last_image: None,
    };
    let mut pipeline = WanPipeline::load(folder, &one_thread()).unwrap();
    let clip = pipeline.generate(&request, &mut Recorder::default());
    clip.unwrap().rgb
}

#[test]
fn both_layouts_give_the_same_bytes() {
    let (native, twin) = (native(), twin());
    assert_eq!(
        ModelFolder::open(native.path()).unwrap().layout(),
        Layout::Native
    );
    assert_eq!(
        ModelFolder::open(twin.path()).unwrap().layout(),
        Layout::Diffusers
    );
    assert_eq!(generate(native.path()), generate(twin.path()));
}

#[test]
fn both_layouts_give_the_same_configuration() {
    let config = |folder: &Path| {
        let config = ModelFolder::open(folder).unwrap().config().clone();
        let mut transformer = config.transformer;
        // The native table of positions is fixed; it only bounds the size of clips.
        transformer.rope_max_seq_len = 0;
        let decoder_base = config.vae.decoder_base_dim.unwrap_or(config.vae.base_dim);
        let mut vae = config.vae;
        vae.decoder_base_dim = Some(decoder_base);
        vae.patch_size = None;
        let rest = (config.text_encoder, config.scheduler.flow_shift);
        format!("{transformer:#?} {vae:#?} {rest:#?}")
    };
    assert_eq!(config(native().path()), config(twin().path()));
}

#[test]
fn digests_cover_every_file_of_the_native_layout() {
    let pipeline = WanPipeline::load(&goldens().join("native"), &one_thread()).unwrap();
    let names: Vec<&str> = pipeline
        .digests()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let second = SHARD.replace("00001-", "00002-");
    let expected = [
        VAE,
        "config.json",
        SHARD,
        &second,
        "google/umt5-xxl/tokenizer.json",
        "kinora.json",
        TEXT,
    ];
    assert_eq!(names, expected);
}

#[test]
fn renamed_and_rearranged_files_are_found() {
    let folder = native();
    let rename = |from: &str, to: &str| {
        fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
    };
    rename(TEXT, "umt5_xxl_bf16.pt");
    rename(VAE, "wan_2.1_vae.bin");
    rename("google/umt5-xxl/tokenizer.json", "tokenizer.json");
    assert_eq!(generate(folder.path()), generate(&goldens().join("native")));
}

#[test]
fn a_part_may_have_the_names_of_the_other_layout() {
    let (native, twin) = (native(), twin());
    let single = "transformer/diffusion_pytorch_model.safetensors";
    fs::remove_file(twin.path().join(single)).unwrap();
    for entry in fs::read_dir(native.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("diffusion_pytorch_model") {
            fs::copy(&path, twin.path().join("transformer").join(name)).unwrap();
        }
    }
    assert_eq!(generate(twin.path()), generate(native.path()));
}

#[test]
fn what_config_json_leaves_out_is_seen_in_the_weights() {
    let folder = native();
    let text = r#"{"_class_name": "WanModel", "num_heads": 2}"#;
    fs::write(folder.path().join("config.json"), text).unwrap();
    assert_eq!(generate(folder.path()), generate(&goldens().join("native")));
}

#[test]
fn every_native_file_is_needed() {
    for file in [
        SHARD,
        TEXT,
        VAE,
        "google/umt5-xxl/tokenizer.json",
        "kinora.json",
    ] {
        let folder = native();
        fs::remove_file(folder.path().join(file)).unwrap();
        let error = error(folder.path());
        assert!(error.contains(file), "{file}: {error}");
    }
    let folder = native();
    fs::remove_file(folder.path().join("config.json")).unwrap();
    assert!(error(folder.path()).contains("config.json must say num_heads"));
    assert!(error(&goldens().join("umt5")).contains("no model folder"));
}

#[test]
fn two_files_for_one_part_are_named() {
    let folder = native();
    let other = "another_vae.safetensors";
    fs::copy(folder.path().join(SHARD), folder.path().join(other)).unwrap();
    let error = error(folder.path());
    assert!(error.contains(VAE) && error.contains(other), "{error}");
}

#[test]
fn tensors_are_named_as_they_are_stored() {
    let stored = "blocks.0.self_attn.q.weight";
    let norm = "blocks.0.norm3.weight";
    let path = |folder: &TempDir| folder.path().join(SHARD);

    let folder = native();
    edit_weights(&path(&folder), |tensors| {
        drop(tensors.remove("blocks.0.self_attn.o.bias"))
    });
    let missing = error(folder.path());
    assert!(
        missing.contains("blocks.0.self_attn.o.bias (blocks.0.attn1.to_out.0.bias)"),
        "{missing}"
    );

    let folder = native();
    edit_weights(&path(&folder), |tensors| {
        let other = tensors[norm].clone();
        tensors.insert(stored.to_owned(), other);
    });
    let misshaped = error(folder.path());
    assert!(
        misshaped.contains(stored) && misshaped.contains("[24, 24]"),
        "{misshaped}"
    );

    let folder = native();
    edit_weights(&path(&folder), |tensors| {
        let other = tensors[norm].clone();
        tensors.insert("blocks.0.self_attn.extra.weight".to_owned(), other);
    });
    let surplus = error(folder.path());
    assert!(
        surplus.contains("blocks.0.self_attn.extra.weight"),
        "{surplus}"
    );
}

#[test]
fn hostile_native_configs_are_errors_that_name_the_file() {
    for (key, value) in [
        ("/num_heads", serde_json::json!(0)),
        ("/num_heads", serde_json::json!(5)),
        ("/dim", serde_json::json!(-24)),
        ("/num_layers", serde_json::json!(i64::MAX)),
        ("/eps", serde_json::json!("small")),
        ("/freq_dim", serde_json::json!(7)),
    ] {
        let folder = native();
        edit_json(&folder.path().join("config.json"), key, value);
        let error = error(folder.path());
        assert!(error.contains("config.json"), "{key}: {error}");
    }
    for (key, value) in [
        ("/num_layers", 1),
        ("/num_layers", 3),
        ("/ffn_dim", 16),
        ("/dim", 48),
    ] {
        let folder = native();
        edit_json(&folder.path().join("config.json"), key, value.into());
        let result = WanPipeline::load(folder.path(), &one_thread());
        assert!(
            matches!(result, Err(LoadError::Weights { .. })),
            "{key}: {result:?}"
        );
    }
}

#[test]
fn cut_checkpoints_are_errors_that_name_the_file() {
    for file in [TEXT, VAE] {
        let whole = fs::read(goldens().join("native").join(file)).unwrap();
        for length in [0, 7, whole.len() / 2, whole.len() - 1] {
            let folder = native();
            fs::write(folder.path().join(file), &whole[..length]).unwrap();
            let error = error(folder.path());
            assert!(error.contains(file), "{error}");
        }
    }
}

#[test]
fn eight_bit_weights_equal_the_reference_on_what_they_stand_for() {
    let folder = goldens().join("transformer-fp8");
    let config: TransformerConfig = read_checked(&folder.join("config.json")).unwrap();
    let files = [folder.join("wan_fp8_e4m3fn_scaled.safetensors")];
    let maps = Part::Transformer.name_maps().unwrap();
    let weights = Weights::open_files(&files, &maps, Device::Cpu, Kind::Float).unwrap();
    tch::set_num_threads(1);
    let network = WanTransformer::load(&weights, &config).unwrap();
    weights.finish().unwrap();
    let values = values(&folder);
    let size = values["latents"].size();
    let prompt = [&values["prompt"]];
    let conditioning = network
        .condition(&prompt, None, [size[2], size[3], size[4]])
        .unwrap();
    let velocity = network.forward(
        &values["latents"],
        Timestep::Uniform(999.0),
        &conditioning,
        None,
        &never,
    );
    check_close("velocity", &velocity.unwrap(), &values["velocity"]);
}

/// Names and shapes of a module's tensors, as `tools/goldens/make_names.py` saw them.
#[derive(serde::Deserialize)]
struct Names {
    asked: BTreeMap<String, Vec<i64>>,
    stored: BTreeMap<String, Vec<i64>>,
}

/// A safetensors file of zeros with these tensors.
fn zeros(folder: &TempDir, tensors: &BTreeMap<String, Vec<i64>>) -> PathBuf {
    let bytes: Vec<(&String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, shape)| {
            let shape: Vec<usize> = shape
                .iter()
                .map(|&size| usize::try_from(size).unwrap())
                .collect();
            let length = 4 * shape.iter().product::<usize>();
            (name, shape, vec![0; length])
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let dtype = safetensors::Dtype::F32;
        let view = safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes);
        (name.as_str(), view.unwrap())
    });
    let path = folder.path().join("names.safetensors");
    safetensors::serialize_to_file(views, None, &path).unwrap();
    path
}

fn check_names(name: &str, part: Part) {
    let path = goldens().join(format!("names/{name}.json"));
    let names: Names = read_json(&path).unwrap();
    let folder = TempDir::new().unwrap();
    let file = [zeros(&folder, &names.stored)];
    let maps: Vec<NameMap> = part.name_maps().unwrap();
    let weights = Weights::open_files(&file, &maps, Device::Cpu, Kind::Float).unwrap();
    let found: BTreeSet<String> = names
        .asked
        .keys()
        .map(|asked| weights.stored_name(asked))
        .collect();
    assert!(
        found.iter().all(|stored| names.stored.contains_key(stored)),
        "{name}: {found:?}"
    );
    for (asked, shape) in &names.asked {
        drop(weights.get(asked, shape).unwrap());
    }
    weights.finish().unwrap();
}

#[test]
fn the_maps_cover_every_tensor_of_the_native_modules() {
    check_names("transformer-t2v", Part::Transformer);
    check_names("transformer-i2v", Part::Transformer);
    check_names("transformer-flf2v", Part::Transformer);
    check_names("vae-2.1", Part::Vae);
    check_names("vae-2.2", Part::Vae);
    check_names("umt5", Part::TextEncoder);
    check_names("clip", Part::ImageEncoder);
}
