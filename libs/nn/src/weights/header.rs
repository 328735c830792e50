//! The header of a safetensors file.

use std::collections::BTreeMap;
use std::sync::Arc;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::WeightsError;
use super::entry::{Entry, SourceFile, StoredType};

/// Longest header accepted, in bytes.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// The length field in front of the header, in bytes.
const LENGTH_BYTES: u64 = 8;

/// The tensors of a safetensors file by name.
pub(super) fn read_header(file: &Arc<SourceFile>) -> Result<BTreeMap<String, Entry>, WeightsError> {
    let mut length = [0; 8];
    length.copy_from_slice(&file.read(0, LENGTH_BYTES)?);
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES || length > file.length {
        return Err(file.corrupt(format!("its header claims {length} bytes")));
    }
    let header = file.read(LENGTH_BYTES, length)?;
    // Deserialising checks that the tensors lie one after another, without gap or overlap, and that
    // each is as long as its shape and type say.
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| file.corrupt(error))?;
    let data_start = LENGTH_BYTES + length;
    check_length(file, &metadata, file.length.saturating_sub(data_start))?;
    let mut entries = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        entries.insert(name, entry(file, data_start, info)?);
    }
    Ok(entries)
}

fn entry(
    file: &Arc<SourceFile>,
    data_start: u64,
    info: &TensorInfo,
) -> Result<Entry, WeightsError> {
    let number = |value: usize| u64::try_from(value).map_err(|error| file.corrupt(error));
    let (start, end) = (number(info.data_offsets.0)?, number(info.data_offsets.1)?);
    let shape: Result<Vec<i64>, _> = info.shape.iter().map(|&size| i64::try_from(size)).collect();
    Ok(Entry {
        file: Arc::clone(file),
        offset: data_start + start,
        bytes: end - start,
        stored: stored_type(info.dtype),
        shape: shape.map_err(|error| file.corrupt(error))?,
        strides: None,
    })
}

fn check_length(file: &SourceFile, metadata: &Metadata, found: u64) -> Result<(), WeightsError> {
    let expected = metadata.data_len();
    if u64::try_from(expected).is_ok_and(|expected| expected == found) {
        return Ok(());
    }
    Err(file.corrupt(format!("it holds {found} bytes of data, not {expected}")))
}

fn stored_type(dtype: Dtype) -> StoredType {
    match dtype {
        Dtype::F64 => StoredType::F64,
        Dtype::F32 => StoredType::F32,
        Dtype::F16 => StoredType::F16,
        Dtype::BF16 => StoredType::BF16,
        Dtype::F8_E4M3 => StoredType::F8E4M3,
        Dtype::F8_E5M2 => StoredType::F8E5M2,
        Dtype::I64 => StoredType::Other("I64"),
        Dtype::I32 => StoredType::Other("I32"),
        Dtype::I16 => StoredType::Other("I16"),
        Dtype::I8 => StoredType::Other("I8"),
        Dtype::U8 => StoredType::Other("U8"),
        Dtype::BOOL => StoredType::Other("BOOL"),
        _ => StoredType::Other("another type"),
    }
}
