//! Building weight files, good and bad ones.

use std::collections::HashMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use kinora_nn::{Weights, WeightsError};
use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Kind, Tensor};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A file of `torch.save` that `tools/goldens/make_native_goldens.py` wrote.
pub fn stored(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

pub fn open(path: &Path) -> Result<Weights, WeightsError> {
    Weights::open_files(&[path.to_owned()], &[], Device::Cpu, Kind::Float)
}

/// Opens bytes as a file with this ending.
pub fn open_bytes(bytes: &[u8], ending: &str) -> Result<Weights, WeightsError> {
    let file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    open(file.path())
}

/// The numbers of a tensor, flattened.
pub fn numbers(weights: &Weights, name: &str, shape: &[i64]) -> Vec<f32> {
    flat(&weights.get(name, shape).unwrap())
}

pub fn flat(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.to_kind(Kind::Float).flatten(0, -1)).unwrap()
}

/// `0, 1, 2, ...`
pub fn counted(count: u8) -> Vec<f32> {
    (0..count).map(f32::from).collect()
}

/// A safetensors file of these tensors.
pub fn safetensors(tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
    let views: HashMap<&str, TensorView<'_>> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.to_vec(), bytes).unwrap();
            (*name, view)
        })
        .collect();
    safetensors::serialize(views, None).unwrap()
}

/// A safetensors file with any header and this much data.
pub fn with_header(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + data_bytes, 0);
    file
}

/// A zip archive of records, stored as they are.
pub fn archive(records: &[(&str, &[u8])]) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in records {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A checkpoint with this pickle and one storage of this many bytes.
pub fn checkpoint(pickle: &[u8], storage_bytes: usize) -> Vec<u8> {
    let storage = vec![0; storage_bytes];
    archive(&[
        ("x/data.pkl", pickle),
        ("x/byteorder", b"little"),
        ("x/data/0", &storage),
    ])
}
