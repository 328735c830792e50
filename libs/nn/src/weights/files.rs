//! Finding weight files and reading parts of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use safetensors::tensor::{Metadata, TensorInfo};

use super::WeightsError;

/// Longest safetensors header accepted, in bytes.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// The length field in front of a safetensors header, in bytes.
const LENGTH_BYTES: u64 = 8;

/// Where a tensor lies.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// Where the tensor's bytes start in the file.
    pub(super) offset: u64,
    pub(super) info: TensorInfo,
}

/// The files that hold the weights called `stem`.
///
/// # Errors
/// `MissingFile` if there are none, `Corrupt` if the index is not what it should be.
pub fn weight_files(folder: &Path, stem: &str) -> Result<Vec<PathBuf>, WeightsError> {
    let single = folder.join(format!("{stem}.safetensors"));
    if single.is_file() {
        return Ok(vec![single]);
    }
    let index = folder.join(format!("{stem}.safetensors.index.json"));
    if !index.is_file() {
        return Err(WeightsError::MissingFile { path: single });
    }
    let shards = shard_names(&index)?;
    shards
        .into_iter()
        .map(|shard| existing(folder.join(shard)))
        .collect()
}

fn existing(path: PathBuf) -> Result<PathBuf, WeightsError> {
    if path.is_file() {
        Ok(path)
    } else {
        Err(WeightsError::MissingFile { path })
    }
}

fn shard_names(index: &Path) -> Result<BTreeSet<String>, WeightsError> {
    let text = std::fs::read_to_string(index).map_err(|error| corrupt(index, error))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| corrupt(index, error))?;
    let map = value.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| corrupt(index, "it has no weight_map"))?;
    let mut shards = BTreeSet::new();
    for (tensor, shard) in map {
        let shard = shard.as_str().filter(|shard| is_plain_file_name(shard));
        let shard = shard
            .ok_or_else(|| corrupt(index, format!("the shard of {tensor} is no file name")))?;
        shards.insert(shard.to_owned());
    }
    Ok(shards)
}

/// An index comes from outside and must not lead out of its folder.
fn is_plain_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(_)), None)
    )
}

/// Adds the tensors of a file to `entries`.
pub(super) fn read_header(
    path: &Path,
    entries: &mut BTreeMap<String, Entry>,
) -> Result<(), WeightsError> {
    let mut file = File::open(path).map_err(|error| corrupt(path, error))?;
    let file_bytes = file.metadata().map_err(|error| corrupt(path, error))?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length)
        .map_err(|error| corrupt(path, error))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES || length > file_bytes {
        return Err(corrupt(path, format!("its header claims {length} bytes")));
    }
    let header = read_exactly(&mut file, length).map_err(|error| corrupt(path, error))?;
    // Deserialising checks that offsets, shapes and types agree.
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| corrupt(path, error))?;
    check_length(
        path,
        &metadata,
        file_bytes.saturating_sub(LENGTH_BYTES + length),
    )?;
    for (name, info) in metadata.tensors() {
        let start = u64::try_from(info.data_offsets.0).map_err(|error| corrupt(path, error))?;
        let offset = LENGTH_BYTES + length + start;
        let entry = Entry {
            path: path.to_owned(),
            offset,
            info: info.clone(),
        };
        if entries.insert(name.clone(), entry).is_some() {
            return Err(corrupt(path, format!("tensor {name} is in two shards")));
        }
    }
    Ok(())
}

fn check_length(path: &Path, metadata: &Metadata, found: u64) -> Result<(), WeightsError> {
    if u64::try_from(metadata.data_len()).is_ok_and(|expected| expected == found) {
        return Ok(());
    }
    Err(corrupt(
        path,
        format!(
            "it holds {found} bytes of data, not {}",
            metadata.data_len()
        ),
    ))
}

/// Reads the bytes of one tensor.
pub(super) fn read_bytes(entry: &Entry) -> Result<Vec<u8>, WeightsError> {
    let path = &entry.path;
    let (start, end) = entry.info.data_offsets;
    let length = u64::try_from(end - start).map_err(|error| corrupt(path, error))?;
    let mut file = File::open(path).map_err(|error| corrupt(path, error))?;
    file.seek(SeekFrom::Start(entry.offset))
        .map_err(|error| corrupt(path, error))?;
    read_exactly(&mut file, length).map_err(|error| corrupt(path, error))
}

fn read_exactly(file: &mut File, length: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file.take(length).read_to_end(&mut bytes)? as u64 != length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

fn corrupt(path: &Path, reason: impl Display) -> WeightsError {
    WeightsError::Corrupt {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
