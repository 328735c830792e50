//! GGUF files: metadata, a tokenizer's vocabulary among it, and tensors, most of them in blocks of few bits.
//!
//! The layout is that of <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3 with the low byte
//! first. Every count, length and offset is compared with what is left of the file before memory is taken for it.

pub(super) mod blocks;
mod reader;
mod value;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::WeightsError;
use super::entry::{Entry, SourceFile, StoredType};
use blocks::BlockFormat;
use reader::Reader;

pub use value::GgufValue;

/// How files start.
const MAGIC: [u8; 4] = *b"GGUF";
/// Versions whose lengths are of 64 bits.
const VERSIONS: [u32; 2] = [2, 3];
/// What tensors start at multiples of, unless the metadata says otherwise.
const DEFAULT_ALIGNMENT: u64 = 32;
/// Largest alignment accepted, in bytes.
const MAX_ALIGNMENT: u64 = 1 << 20;
/// Axes that a tensor may have.
const MAX_AXES: u32 = 4;
/// Bytes that a tensor's description has at least: length of its name, axes, type, offset.
const MIN_TENSOR_BYTES: u64 = 24;
/// Bytes that a pair of the metadata has at least: length of its key, type, a byte.
const MIN_PAIR_BYTES: u64 = 13;

/// The metadata of a GGUF file by key.
#[derive(Clone, Debug, Default)]
pub struct GgufMetadata {
    values: BTreeMap<String, GgufValue>,
}

impl GgufMetadata {
    /// Reads the metadata of a file, and checks where its tensors lie.
    ///
    /// # Errors
    /// `MissingFile` or `Corrupt`, naming the file.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        if !path.is_file() {
            let path = path.to_owned();
            return Err(WeightsError::MissingFile { path });
        }
        let file = Arc::new(SourceFile::open(path)?);
        let (metadata, _) = read_file(&file)?;
        Ok(metadata)
    }

    /// A value, if there is one of this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&GgufValue> {
        self.values.get(key)
    }

    /// All keys and values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &GgufValue)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// The tensors of a file by name.
pub(super) fn read_tensors(
    file: &Arc<SourceFile>,
) -> Result<BTreeMap<String, Entry>, WeightsError> {
    let (_, entries) = read_file(file)?;
    Ok(entries)
}

/// A tensor as its description has it.
struct Described {
    name: String,
    shape: Vec<i64>,
    stored: StoredType,
    /// From the start of the tensors' data.
    offset: u64,
    bytes: u64,
}

fn read_file(
    file: &Arc<SourceFile>,
) -> Result<(GgufMetadata, BTreeMap<String, Entry>), WeightsError> {
    let mut reader = Reader::new(file);
    if reader.array::<4>()? != MAGIC {
        return Err(file.corrupt("it does not start as a GGUF file"));
    }
    let version = reader.u32()?;
    if !VERSIONS.contains(&version) {
        return Err(file.corrupt(format!("it is of version {version}, expected 2 or 3")));
    }
    let tensors = reader.u64()?;
    let pairs = reader.u64()?;
    let metadata = read_metadata(&mut reader, pairs)?;
    reader.check_count(tensors, MIN_TENSOR_BYTES, "tensors")?;
    let described: Result<Vec<Described>, _> = (0..tensors)
        .map(|_| read_description(&mut reader))
        .collect();
    let alignment = alignment(file, &metadata)?;
    let data_start = reader.position().next_multiple_of(alignment);
    let entries = place(file, described?, data_start, alignment)?;
    Ok((metadata, entries))
}

fn read_metadata(reader: &mut Reader<'_>, pairs: u64) -> Result<GgufMetadata, WeightsError> {
    reader.check_count(pairs, MIN_PAIR_BYTES, "pairs of metadata")?;
    let mut values = BTreeMap::new();
    for _ in 0..pairs {
        let key = reader.name()?;
        let value = GgufValue::read(reader)?;
        if values.contains_key(&key) {
            return Err(reader.corrupt(format!("its metadata has {key} twice")));
        }
        values.insert(key, value);
    }
    Ok(GgufMetadata { values })
}

fn alignment(file: &SourceFile, metadata: &GgufMetadata) -> Result<u64, WeightsError> {
    let Some(value) = metadata.get("general.alignment") else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    let alignment = value.unsigned();
    let alignment = alignment.filter(|size| size.is_power_of_two() && *size <= MAX_ALIGNMENT);
    alignment.ok_or_else(|| file.corrupt("its alignment is no power of two, or too large"))
}

fn read_description(reader: &mut Reader<'_>) -> Result<Described, WeightsError> {
    let name = reader.name()?;
    let wrong =
        |reader: &Reader<'_>, reason: &str| reader.corrupt(format!("tensor {name} {reason}"));
    let axes = reader.u32()?;
    if axes > MAX_AXES {
        return Err(wrong(reader, "has too many axes"));
    }
    // The file has the axis whose numbers lie side by side first, and layers have it last.
    let mut shape = Vec::new();
    let mut numbers = 1_u64;
    for _ in 0..axes {
        let size = reader.u64()?;
        let product = numbers.checked_mul(size);
        numbers = product.ok_or_else(|| wrong(reader, "has too large a shape"))?;
        let size = i64::try_from(size);
        shape.insert(0, size.map_err(|_| wrong(reader, "has too large a shape"))?);
    }
    let row = shape.last().map_or(1, |&size| size.unsigned_abs());
    let type_id = reader.u32()?;
    let (stored, bytes) =
        stored_type(type_id, row, numbers).map_err(|reason| wrong(reader, &reason))?;
    let offset = reader.u64()?;
    Ok(Described {
        name,
        shape,
        stored,
        offset,
        bytes,
    })
}

/// The type of a number in the file, and the bytes that so many of them take in rows of `row`.
fn stored_type(type_id: u32, row: u64, numbers: u64) -> Result<(StoredType, u64), String> {
    let plain = match type_id {
        0 => Some((StoredType::F32, 4)),
        1 => Some((StoredType::F16, 2)),
        24 => Some((StoredType::Other("I8"), 1)),
        25 => Some((StoredType::Other("I16"), 2)),
        26 => Some((StoredType::Other("I32"), 4)),
        27 => Some((StoredType::Other("I64"), 8)),
        28 => Some((StoredType::F64, 8)),
        30 => Some((StoredType::BF16, 2)),
        _ => None,
    };
    let too_large = || "has too large a shape".to_owned();
    if let Some((stored, size)) = plain {
        return Ok((stored, numbers.checked_mul(size).ok_or_else(too_large)?));
    }
    let format = BlockFormat::of(type_id)
        .ok_or_else(|| format!("is of type {type_id}, which is not supported"))?;
    if !row.is_multiple_of(format.numbers()) {
        return Err("has rows that are not whole blocks".to_owned());
    }
    let bytes = (numbers / format.numbers()).checked_mul(format.bytes());
    Ok((StoredType::Blocks(format), bytes.ok_or_else(too_large)?))
}

/// Checks where tensors lie: within the file, aligned, and not over each other.
fn place(
    file: &Arc<SourceFile>,
    mut described: Vec<Described>,
    data_start: u64,
    alignment: u64,
) -> Result<BTreeMap<String, Entry>, WeightsError> {
    described.sort_by_key(|tensor| (tensor.offset, tensor.bytes));
    let mut entries = BTreeMap::new();
    let mut free_from = data_start;
    for tensor in described {
        let wrong = |reason: &str| file.corrupt(format!("tensor {} {reason}", tensor.name));
        let start = data_start.checked_add(tensor.offset);
        let end = start.and_then(|start| start.checked_add(tensor.bytes));
        let (Some(start), Some(end)) = (start, end.filter(|end| *end <= file.length)) else {
            return Err(wrong("ends after the file"));
        };
        if !tensor.offset.is_multiple_of(alignment) {
            return Err(wrong("does not start where it may"));
        }
        if start < free_from {
            return Err(wrong("lies over another one"));
        }
        free_from = end;
        let entry = Entry {
            file: Arc::clone(file),
            offset: start,
            bytes: tensor.bytes,
            stored: tensor.stored,
            shape: tensor.shape,
            strides: None,
        };
        if entries.contains_key(&tensor.name) {
            return Err(file.corrupt(format!("it names tensor {} twice", tensor.name)));
        }
        entries.insert(tensor.name, entry);
    }
    Ok(entries)
}
