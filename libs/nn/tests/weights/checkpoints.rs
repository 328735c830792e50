//! Files of `torch.save`, and numbers of 8 bits.

use kinora_nn::{NameMap, Weights, WeightsError};
use safetensors::tensor::Dtype;
use tch::{Device, Kind};

use crate::files::{archive, checkpoint, counted, numbers, open, open_bytes, safetensors, stored};
use crate::pickles::Pickle;

#[test]
fn all_kinds_of_floats_are_read() {
    let weights = open(&stored("kinds.pth")).unwrap();
    assert_eq!(numbers(&weights, "plain", &[2, 3, 4]), counted(24));
    for name in ["half", "bf16", "double", "parameter"] {
        assert_eq!(numbers(&weights, name, &[24]), counted(24), "{name}");
    }
    assert_eq!(numbers(&weights, "fp8", &[16]), counted(16));
    assert_eq!(numbers(&weights, "fp8_wide", &[8]), counted(8));
    assert_eq!(numbers(&weights, "scalar", &[]), [7.0]);
    assert_eq!(numbers(&weights, "empty", &[0, 3]), [0.0; 0]);
}

#[test]
fn views_of_shared_storages_are_read() {
    let weights = open(&stored("kinds.pth")).unwrap();
    assert_eq!(numbers(&weights, "slice", &[8]), counted(16)[8..]);
    let even: Vec<f32> = counted(24).into_iter().step_by(2).collect();
    assert_eq!(numbers(&weights, "stepped", &[12]), even);
    assert_eq!(numbers(&weights, "expanded", &[2, 2]), [3.0; 4]);
    let transposed = weights.get("transposed", &[6, 4]).unwrap().tr();
    assert_eq!(crate::files::flat(&transposed), counted(24));
}

#[test]
fn integers_are_named_and_refused() {
    let weights = open(&stored("kinds.pth")).unwrap();
    let error = weights.get("integers", &[4]).unwrap_err().to_string();
    assert!(
        error.starts_with("tensor integers is stored as I64"),
        "{error}"
    );
}

#[test]
fn the_state_of_a_module_and_a_nested_one_are_found() {
    for name in ["module.pth", "nested.pth"] {
        let weights = open(&stored(name)).unwrap();
        assert_eq!(numbers(&weights, "weight", &[2, 3]), counted(6), "{name}");
        assert_eq!(numbers(&weights, "bias", &[2]), counted(2), "{name}");
        weights.finish().unwrap();
    }
}

#[test]
fn two_nested_dictionaries_and_old_files_are_explained() {
    let error = open(&stored("ambiguous.pth")).unwrap_err().to_string();
    assert!(error.contains("both a and b hold tensors"), "{error}");
    let error = open(&stored("old.pth")).unwrap_err().to_string();
    assert!(error.contains("save it again"), "{error}");
}

#[test]
fn numbers_with_the_high_byte_first_are_refused() {
    let pickle = Pickle::one_tensor(2, 0, &[2], &[1]);
    let records: [(&str, &[u8]); 3] = [
        ("x/data.pkl", &pickle),
        ("x/byteorder", b"big"),
        ("x/data/0", &[0; 8]),
    ];
    let error = open_bytes(&archive(&records), ".pth")
        .unwrap_err()
        .to_string();
    assert!(error.contains("high byte first"), "{error}");
    assert!(open_bytes(&checkpoint(&pickle, 8), ".pth").is_ok());
}

/// A weight of `[2, 2]` in 8 bits that hold 1, 2, 4 and 8, and what lies beside it.
fn eight_bits(extra: &[(&'static str, Dtype, &'static [usize], Vec<u8>)]) -> Weights {
    let mut tensors = vec![(
        "layer.weight",
        Dtype::F8_E4M3,
        [2, 2].as_slice(),
        vec![0x38, 0x40, 0x48, 0x50],
    )];
    tensors.extend(extra.iter().cloned());
    open_bytes(&safetensors(&tensors), ".safetensors").unwrap()
}

#[test]
fn eight_bit_weights_are_scaled_by_what_lies_beside_them() {
    let marker = || ("scaled_fp8", Dtype::F8_E4M3, [2].as_slice(), vec![0, 0]);
    let plain = eight_bits(&[]);
    assert_eq!(
        numbers(&plain, "layer.weight", &[2, 2]),
        [1.0, 2.0, 4.0, 8.0]
    );
    let half = 0.5_f32.to_le_bytes().to_vec();
    for name in ["layer.scale_weight", "layer.weight_scale"] {
        let input = ("layer.scale_input", Dtype::F32, [].as_slice(), half.clone());
        let scale = (name, Dtype::F32, [].as_slice(), half.clone());
        let weights = eight_bits(&[marker(), input, scale]);
        assert_eq!(
            numbers(&weights, "layer.weight", &[2, 2]),
            [0.5, 1.0, 2.0, 4.0]
        );
        weights.finish().unwrap();
    }
}

#[test]
fn a_scale_of_another_shape_or_without_a_value_is_refused() {
    let several = ("layer.scale_weight", Dtype::F32, [2].as_slice(), vec![0; 8]);
    let error = eight_bits(&[several])
        .get("layer.weight", &[2, 2])
        .unwrap_err();
    assert!(error.to_string().contains("layer.scale_weight"), "{error}");
    let nan = f32::NAN.to_le_bytes().to_vec();
    let nan = ("layer.scale_weight", Dtype::F32, [1].as_slice(), nan);
    let error = eight_bits(&[nan]).get("layer.weight", &[2, 2]).unwrap_err();
    assert!(error.to_string().contains("no finite number"), "{error}");
}

const MAP: &str = r#"
marker = "old.qkv"
prefixes = ["model."]
ignored = ["text.*"]
[names]
"new.q" = { stored = "old.qkv", part = 0, of = 3 }
"new.k" = { stored = "old.qkv", part = 1, of = 3 }
"new.v" = { stored = "old.qkv", part = 2, of = 3 }
"new.position" = { stored = "old.position", squeeze = true }
"#;

fn mapped() -> Weights {
    let bytes: Vec<u8> = counted(6)
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    let file = safetensors(&[
        ("model.old.qkv", Dtype::F32, &[6], bytes.clone()),
        ("model.old.position", Dtype::F32, &[1, 2, 3], bytes),
        ("model.text.a", Dtype::F32, &[1], vec![0; 4]),
    ]);
    let path = tempfile::Builder::new()
        .suffix(".safetensors")
        .tempfile()
        .unwrap();
    std::fs::write(path.path(), file).unwrap();
    let maps = [NameMap::from_toml(MAP).unwrap()];
    Weights::open_files(&[path.path().to_owned()], &maps, Device::Cpu, Kind::Float).unwrap()
}

#[test]
fn slices_of_a_joint_tensor_are_read_and_counted() {
    let weights = mapped().sub("new");
    assert_eq!(numbers(&weights, "q", &[2]), [0.0, 1.0]);
    assert_eq!(numbers(&weights, "v", &[2]), [4.0, 5.0]);
    assert_eq!(numbers(&weights, "position", &[2, 3]), counted(6));
    let left = weights.finish().unwrap_err().to_string();
    assert!(left.contains("model.old.qkv"), "{left}");
    assert_eq!(numbers(&weights, "k", &[2]), [2.0, 3.0]);
    weights.finish().unwrap();
    assert!(weights.anew(Device::Cpu, Kind::Float).finish().is_err());
}

#[test]
fn errors_name_a_tensor_as_it_is_stored() {
    let weights = mapped();
    let error = weights.get("new.q", &[3]).unwrap_err().to_string();
    assert!(
        error.starts_with("tensor model.old.qkv (new.q) has shape [6]"),
        "{error}"
    );
    let error = weights.get("other", &[3]).unwrap_err();
    assert!(matches!(error, WeightsError::MissingTensor { .. }));
    assert!(
        error.to_string().contains("model.other (other) is missing"),
        "{error}"
    );
}
