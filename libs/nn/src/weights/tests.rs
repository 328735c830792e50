use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

use super::*;

const STEM: &str = "model";

fn write(folder: &Path, file: &str, tensors: &[(&str, Dtype, Vec<usize>)]) {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, dtype, shape)| vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8])
        .collect();
    let views: HashMap<&str, TensorView<'_>> = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, dtype, shape), bytes)| {
            (
                *name,
                TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
            )
        })
        .collect();
    safetensors::serialize_to_file(views, None, &folder.join(file)).unwrap();
}

fn open(folder: &Path) -> Result<Weights, WeightsError> {
    Weights::open(folder, STEM, Device::Cpu, Kind::Float)
}

fn folder_with(tensors: &[(&str, Dtype, Vec<usize>)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "model.safetensors", tensors);
    folder
}

#[test]
fn nested_names_are_read_and_converted() {
    let folder = folder_with(&[("blocks.3.to_q.weight", Dtype::BF16, vec![2, 3])]);
    let weights = open(folder.path()).unwrap();
    let tensor = weights
        .sub("blocks")
        .sub(3)
        .get("to_q.weight", &[2, 3])
        .unwrap();
    assert_eq!((tensor.size(), tensor.kind()), (vec![2, 3], Kind::Float));
    weights.finish().unwrap();
}

#[test]
fn missing_misshaped_and_integer_tensors_are_named() {
    let folder = folder_with(&[("a", Dtype::F32, vec![2]), ("b", Dtype::I64, vec![2])]);
    let weights = open(folder.path()).unwrap();
    let missing = weights.sub("x").get("a", &[2]).unwrap_err().to_string();
    assert_eq!(missing, "tensor x.a is missing, expected shape [2]");
    let misshaped = weights.get("a", &[3]).unwrap_err().to_string();
    assert_eq!(misshaped, "tensor a has shape [2], expected [3]");
    let integers = weights.get("b", &[2]).unwrap_err().to_string();
    assert_eq!(
        integers,
        "tensor b is stored as I64, expected F64, F32, F16, BF16, F8_E4M3 or F8_E5M2"
    );
}

#[test]
fn surplus_tensors_are_listed() {
    let folder = folder_with(&[("a", Dtype::F32, vec![1]), ("b", Dtype::F32, vec![1])]);
    let weights = open(folder.path()).unwrap();
    assert_eq!(weights.get("a", &[1]).unwrap().size(), [1]);
    assert_eq!(
        weights.finish().unwrap_err().to_string(),
        "1 tensors belong to no layer: b"
    );
    weights.skip("b");
    weights.finish().unwrap();
}

#[test]
fn shards_are_found_through_the_index() {
    let folder = TempDir::new().unwrap();
    write(
        folder.path(),
        "one.safetensors",
        &[("a", Dtype::F32, vec![1])],
    );
    write(
        folder.path(),
        "two.safetensors",
        &[("b", Dtype::F32, vec![1])],
    );
    let index = r#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#;
    std::fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    let weights = open(folder.path()).unwrap();
    for name in ["a", "b"] {
        assert_eq!(weights.get(name, &[1]).unwrap().size(), [1]);
    }
    weights.finish().unwrap();
}

#[test]
fn an_index_cannot_leave_its_folder() {
    for shard in ["../secret.safetensors", "/etc/passwd", "..", ""] {
        let folder = TempDir::new().unwrap();
        let index = format!(r#"{{"weight_map": {{"a": "{shard}"}}}}"#);
        std::fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        assert!(
            matches!(open(folder.path()), Err(WeightsError::Corrupt { .. })),
            "{shard}"
        );
    }
}

#[test]
fn broken_files_are_errors() {
    let empty = TempDir::new().unwrap();
    assert!(matches!(
        open(empty.path()),
        Err(WeightsError::MissingFile { .. })
    ));
    let whole = folder_with(&[("a", Dtype::F32, vec![64])]);
    let bytes = std::fs::read(whole.path().join("model.safetensors")).unwrap();
    let huge = u64::MAX.to_le_bytes();
    let cuts: [&[u8]; 5] = [
        &[],
        &bytes[..4],
        &bytes[..20],
        &bytes[..bytes.len() - 1],
        &huge,
    ];
    for cut in cuts {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("model.safetensors"), cut).unwrap();
        assert!(matches!(
            open(folder.path()),
            Err(WeightsError::Corrupt { .. })
        ));
    }
}
