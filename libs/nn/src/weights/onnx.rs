//! The initialisers of an ONNX file, and what it says about itself.
//!
//! An ONNX file is one protobuf message. Only the few fields that weights need are read, each checked
//! against the bytes that are there; the graph is skipped, nothing nests deeper than a tensor, and no
//! memory is taken that the file does not fill. Field numbers are those of `onnx.proto3`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::WeightsError;
use super::entry::{Entry, SourceFile, StoredType};

/// Longest file accepted, in bytes.
const MAX_BYTES: u64 = 512 << 20;
/// Most tensors, and most entries of metadata.
const MAX_ITEMS: usize = 1 << 16;
/// Most axes of a tensor.
const MAX_AXES: usize = 8;

/// Fields of `ModelProto`.
mod model {
    pub(super) const GRAPH: u64 = 7;
    pub(super) const METADATA: u64 = 14;
}

/// Fields of `StringStringEntryProto`.
mod pair {
    pub(super) const KEY: u64 = 1;
    pub(super) const VALUE: u64 = 2;
}

/// The field of `GraphProto` that holds weights.
const GRAPH_INITIALIZER: u64 = 5;

/// Fields of `TensorProto`.
mod tensor {
    pub(super) const DIMS: u64 = 1;
    pub(super) const DATA_TYPE: u64 = 2;
    pub(super) const NAME: u64 = 8;
    pub(super) const RAW_DATA: u64 = 9;
    pub(super) const DATA_LOCATION: u64 = 14;
}

/// A message, or the bytes or text of a field.
#[derive(Clone, Copy)]
struct Bytes<'a> {
    bytes: &'a [u8],
    /// Where in the file they start.
    offset: u64,
}

enum Field<'a> {
    Number(u64),
    Bytes(Bytes<'a>),
}

/// What a file says about itself: its `metadata_props`.
///
/// # Errors
/// `MissingFile` or `Corrupt`, naming the file.
pub fn onnx_metadata(path: &Path) -> Result<BTreeMap<String, String>, WeightsError> {
    if !path.is_file() {
        let path = path.to_owned();
        return Err(WeightsError::MissingFile { path });
    }
    let file = SourceFile::open(path)?;
    let bytes = whole(&file)?;
    metadata(&bytes).map_err(|reason| file.corrupt(reason))
}

/// The tensors of an ONNX file by name.
pub(super) fn read_initialisers(
    file: &Arc<SourceFile>,
) -> Result<BTreeMap<String, Entry>, WeightsError> {
    let bytes = whole(file)?;
    initialisers(file, &bytes).map_err(|reason| file.corrupt(reason))
}

fn whole(file: &SourceFile) -> Result<Vec<u8>, WeightsError> {
    if file.length > MAX_BYTES {
        return Err(file.corrupt(format!("it is longer than {MAX_BYTES} bytes")));
    }
    file.read(0, file.length)
}

fn metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    let mut model = Bytes { bytes, offset: 0 };
    while let Some((number, field)) = model.field()? {
        let (model::METADATA, Field::Bytes(mut entry)) = (number, field) else {
            continue;
        };
        let (mut key, mut value) = (String::new(), String::new());
        while let Some((number, field)) = entry.field()? {
            match (number, field) {
                (pair::KEY, Field::Bytes(text)) => key = text.text()?,
                (pair::VALUE, Field::Bytes(text)) => value = text.text()?,
                _ => {}
            }
        }
        found.insert(key, value);
        check_count(found.len())?;
    }
    Ok(found)
}

fn initialisers(file: &Arc<SourceFile>, bytes: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    let mut entries = BTreeMap::new();
    let mut model = Bytes { bytes, offset: 0 };
    while let Some((number, field)) = model.field()? {
        let (model::GRAPH, Field::Bytes(mut graph)) = (number, field) else {
            continue;
        };
        while let Some((number, field)) = graph.field()? {
            let (GRAPH_INITIALIZER, Field::Bytes(tensor)) = (number, field) else {
                continue;
            };
            let (name, entry) = initialiser(file, tensor)?;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(format!("it has tensor {name} twice"));
            }
            check_count(entries.len())?;
        }
    }
    if entries.is_empty() {
        return Err("it is no ONNX file with weights".to_owned());
    }
    Ok(entries)
}

fn check_count(count: usize) -> Result<(), String> {
    if count > MAX_ITEMS {
        return Err(format!("it has more than {MAX_ITEMS} tensors or entries"));
    }
    Ok(())
}

fn initialiser(file: &Arc<SourceFile>, mut message: Bytes<'_>) -> Result<(String, Entry), String> {
    let (mut name, mut shape, mut data_type, mut raw) = (String::new(), Vec::new(), 0, None);
    while let Some((number, field)) = message.field()? {
        match (number, field) {
            (tensor::DIMS, Field::Number(size)) => push_axis(&mut shape, size)?,
            (tensor::DIMS, Field::Bytes(mut packed)) => {
                while !packed.bytes.is_empty() {
                    push_axis(&mut shape, packed.varint()?)?;
                }
            }
            (tensor::DATA_TYPE, Field::Number(value)) => data_type = value,
            (tensor::NAME, Field::Bytes(text)) => name = text.text()?,
            (tensor::RAW_DATA, Field::Bytes(bytes)) => raw = Some(bytes),
            (tensor::DATA_LOCATION, Field::Number(1..)) => {
                return Err(format!("tensor {name} lies in another file"));
            }
            _ => {}
        }
    }
    let stored = stored_type(data_type);
    let raw = raw.unwrap_or(Bytes {
        bytes: &[],
        offset: 0,
    });
    let bytes = raw.bytes.len() as u64;
    if let Some(kind) = stored.kind() {
        let size = kind.elt_size_in_bytes() as u64;
        let axes = shape.iter().map(|&axis: &i64| axis.unsigned_abs());
        let expected = axes.clone().try_fold(size, u64::checked_mul);
        if expected != Some(bytes) {
            let axes: Vec<u64> = axes.collect();
            return Err(format!(
                "tensor {name} of shape {axes:?} has {bytes} bytes of raw data"
            ));
        }
    }
    let entry = Entry {
        file: Arc::clone(file),
        offset: raw.offset,
        bytes,
        stored,
        shape,
        strides: None,
    };
    Ok((name, entry))
}

fn push_axis(shape: &mut Vec<i64>, size: u64) -> Result<(), String> {
    let size = i64::try_from(size).map_err(|_| "a tensor has a negative size".to_owned())?;
    shape.push(size);
    if shape.len() > MAX_AXES {
        return Err(format!("a tensor has more than {MAX_AXES} axes"));
    }
    Ok(())
}

/// The types of `TensorProto.DataType`.
const fn stored_type(data_type: u64) -> StoredType {
    match data_type {
        1 => StoredType::F32,
        2 => StoredType::Other("U8"),
        3 => StoredType::Other("I8"),
        6 => StoredType::Other("I32"),
        7 => StoredType::Other("I64"),
        9 => StoredType::Other("BOOL"),
        10 => StoredType::F16,
        11 => StoredType::F64,
        16 => StoredType::BF16,
        _ => StoredType::Other("another type"),
    }
}

impl<'a> Bytes<'a> {
    /// Takes the next field of a message: its number and what it holds.
    fn field(&mut self) -> Result<Option<(u64, Field<'a>)>, String> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => Field::Bytes(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Bytes(self.take(4)?),
            other => return Err(format!("it has a field of the unknown kind {other}")),
        };
        Ok(Some((tag >> 3, field)))
    }

    fn take(&mut self, length: u64) -> Result<Self, String> {
        let count = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((taken, left)) = self.bytes.split_at_checked(count) else {
            return Err("it ends within a field".to_owned());
        };
        let taken = Self {
            bytes: taken,
            offset: self.offset,
        };
        self.bytes = left;
        self.offset += length;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some((&byte, left)) = self.bytes.split_first() else {
                return Err("it ends within a number".to_owned());
            };
            self.bytes = left;
            self.offset += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("it has a number of more than 64 bits".to_owned())
    }

    fn text(self) -> Result<String, String> {
        let text = std::str::from_utf8(self.bytes);
        text.map(str::to_owned)
            .map_err(|_| "a name in it is no text".to_owned())
    }
}
