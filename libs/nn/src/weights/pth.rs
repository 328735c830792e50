//! Checkpoints that `torch.save` writes: a zip archive of one pickle and raw numbers.
//!
//! The pickle says which tensors there are and where they lie; see [`super::pickle`] for why reading
//! it is safe. The numbers are stored uncompressed, so that a tensor is a range of the file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::BufReader;
use std::sync::Arc;

use zip::{CompressionMethod, ZipArchive};

use super::WeightsError;
use super::entry::{Entry, SourceFile};
use super::pickle::{Id, MAX_BYTES, StorageRef, TensorRef, Unpickled, Value};

/// How zip archives start.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
/// Name of the pickle, after the archive's own name.
const PICKLE: &str = "/data.pkl";

type Zip<'a> = ZipArchive<BufReader<&'a std::fs::File>>;

/// The tensors of a checkpoint by name.
pub(super) fn read_checkpoint(
    file: &Arc<SourceFile>,
) -> Result<BTreeMap<String, Entry>, WeightsError> {
    let start = file.read(0, file.length.min(ZIP_MAGIC.len() as u64))?;
    if start != ZIP_MAGIC {
        return Err(file.corrupt(
            "it is no zip archive; if it is a checkpoint of an old version of torch, load it there \
             and save it again",
        ));
    }
    let mut archive = Archive::open(file)?;
    let pickle = archive.pickle()?;
    let unpickled = Unpickled::read(&pickle).map_err(|reason| file.corrupt(reason))?;
    let tensors = named_tensors(&unpickled).map_err(|reason| file.corrupt(reason))?;
    let mut entries = BTreeMap::new();
    for (name, tensor) in tensors {
        let entry = archive.entry(tensor);
        let entry = entry.map_err(|reason| file.corrupt(format!("tensor {name}: {reason}")))?;
        if entries.insert(name.to_owned(), entry).is_some() {
            return Err(file.corrupt(format!("it names tensor {name} twice")));
        }
    }
    Ok(entries)
}

/// A record: where it starts and how many bytes it has.
type Record = (u64, u64);

struct Archive<'a> {
    file: &'a Arc<SourceFile>,
    zip: Zip<'a>,
    /// What the names of all records start with.
    root: String,
    /// Tensors share storages, so records are looked up once.
    records: HashMap<String, Record>,
}

/// What all names start with: the folder of the only pickle.
fn root(zip: &Zip<'_>) -> Option<String> {
    let names = zip.file_names_raw();
    let mut roots = names.filter_map(|name| std::str::from_utf8(name).ok()?.strip_suffix(PICKLE));
    let root = roots.next().filter(|root| !root.contains('/'));
    let is_only = roots.next().is_none();
    root.filter(|_| is_only).map(str::to_owned)
}

impl<'a> Archive<'a> {
    fn open(file: &'a Arc<SourceFile>) -> Result<Self, WeightsError> {
        let zip = ZipArchive::new(BufReader::new(&file.file));
        let mut zip = zip.map_err(|error| file.corrupt(error))?;
        let overlap = zip.has_overlapping_entries();
        if overlap.map_err(|error| file.corrupt(error))? {
            return Err(file.corrupt("records of the archive overlap"));
        }
        if zip.has_duplicate_names() {
            return Err(file.corrupt("two records of the archive have one name"));
        }
        let root = root(&zip);
        Ok(Self {
            root: root.ok_or_else(|| file.corrupt("the archive has no data.pkl of its own"))?,
            file,
            zip,
            records: HashMap::new(),
        })
    }

    /// Reads the pickle, after a look at the order of bytes in the numbers.
    fn pickle(&mut self) -> Result<Vec<u8>, WeightsError> {
        if self
            .zip
            .index_for_name(&format!("{}/byteorder", self.root))
            .is_some()
        {
            let order = self.read("byteorder", 16)?;
            if order != b"little" {
                return Err(self
                    .file
                    .corrupt("its numbers are stored with the high byte first"));
            }
        }
        self.read("data.pkl", MAX_BYTES)
    }

    fn read(&mut self, name: &str, most: u64) -> Result<Vec<u8>, WeightsError> {
        let record = self.record(name);
        let (start, length) = record.map_err(|reason| self.file.corrupt(reason))?;
        if length > most {
            return Err(self
                .file
                .corrupt(format!("record {name} has {length} bytes")));
        }
        self.file.read(start, length)
    }

    fn record(&mut self, name: &str) -> Result<Record, String> {
        if let Some(record) = self.records.get(name) {
            return Ok(*record);
        }
        let index = self.zip.index_for_name(&format!("{}/{name}", self.root));
        let index = index.ok_or_else(|| format!("the archive has no record {name}"))?;
        let found = self
            .zip
            .by_index_raw(index)
            .map_err(|error| error.to_string())?;
        let stored = found.compression() == CompressionMethod::Stored && !found.encrypted();
        if !stored || found.size() != found.compressed_size() {
            return Err(format!("record {name} is compressed or encrypted"));
        }
        let start = found.data_start().ok_or("a record has no start")?;
        let record = (start, found.size());
        if start
            .checked_add(found.size())
            .is_none_or(|end| end > self.file.length)
        {
            return Err(format!("record {name} ends after the file"));
        }
        self.records.insert(name.to_owned(), record);
        Ok(record)
    }

    fn entry(&mut self, tensor: &TensorRef<'_>) -> Result<Entry, String> {
        let record = self.record(&format!("data/{}", tensor.storage.key))?;
        let extent = extent(tensor)?;
        let (start, bytes) = byte_range(tensor, extent, record)?;
        let row_major = is_row_major(&tensor.shape, &tensor.strides);
        Ok(Entry {
            file: Arc::clone(self.file),
            offset: start,
            bytes,
            stored: tensor.element.stored.clone(),
            shape: tensor.shape.clone(),
            strides: (!row_major).then(|| tensor.strides.clone()),
        })
    }
}

/// Numbers from the first to the last one of a tensor, both included.
fn extent(tensor: &TensorRef<'_>) -> Result<u64, String> {
    let too_large = || "its shape is too large".to_owned();
    if tensor.shape.len() != tensor.strides.len() {
        return Err("it has not one stride for each axis".to_owned());
    }
    let numbers = tensor
        .shape
        .iter()
        .try_fold(1_i64, |product, &size| product.checked_mul(size));
    if numbers.ok_or_else(too_large)? == 0 {
        return Ok(0);
    }
    let axes = tensor.shape.iter().zip(&tensor.strides);
    let mut last = axes.map(|(&size, &stride)| (size - 1).checked_mul(stride));
    let last = last.try_fold(0_i64, |sum, step| sum.checked_add(step?));
    let extent = last.and_then(|last| u64::try_from(last).ok()?.checked_add(1));
    extent.ok_or_else(too_large)
}

/// Start and length in the file of `extent` numbers of a tensor's storage.
fn byte_range(tensor: &TensorRef<'_>, extent: u64, record: Record) -> Result<Record, String> {
    let outside = || "it lies outside of its storage".to_owned();
    let size = tensor.element.bytes;
    let storage_bytes = storage_bytes(&tensor.storage).ok_or_else(outside)?;
    let (record_start, record_bytes) = record;
    if storage_bytes > record_bytes {
        return Err("its storage is longer than its record".to_owned());
    }
    let start = tensor.offset.checked_mul(size).ok_or_else(outside)?;
    let bytes = extent.checked_mul(size).ok_or_else(outside)?;
    if start
        .checked_add(bytes)
        .is_none_or(|end| end > storage_bytes)
    {
        return Err(outside());
    }
    Ok((record_start + start, bytes))
}

fn storage_bytes(storage: &StorageRef<'_>) -> Option<u64> {
    let element_bytes = storage.element.as_ref().map_or(1, |element| element.bytes);
    storage.length.checked_mul(element_bytes)
}

/// Says whether each row follows the one before. Axes of one place may have any stride.
fn is_row_major(shape: &[i64], strides: &[i64]) -> bool {
    let mut expected = 1_i64;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        if size != 1 && stride != expected {
            return shape.contains(&0);
        }
        expected = expected.saturating_mul(size.max(1));
    }
    true
}

/// The tensors of the outermost dictionary, or of the one dictionary in it that has any.
fn named_tensors<'u, 'a>(
    unpickled: &'u Unpickled<'a>,
) -> Result<Vec<(&'a str, &'u TensorRef<'a>)>, String> {
    let pairs = unpickled
        .pairs(unpickled.top())
        .ok_or("it holds no dictionary of tensors")?;
    let tensors = tensors_of(unpickled, pairs);
    if !tensors.is_empty() {
        return match pairs.iter().find(|pair| hides_tensors(unpickled, pair)) {
            Some(&(key, _)) => Err(format!("{} is no tensor", key_text(unpickled, key))),
            None => Ok(tensors),
        };
    }
    let mut found: Option<(Id, Vec<_>)> = None;
    for (key, nested) in inner_dictionaries(unpickled, pairs) {
        let tensors = tensors_of(unpickled, nested);
        if tensors.is_empty() {
            continue;
        }
        if let Some((other, _)) = found {
            let (one, two) = (key_text(unpickled, other), key_text(unpickled, key));
            return Err(format!(
                "both {one} and {two} hold tensors; save one of them alone"
            ));
        }
        found = Some((key, tensors));
    }
    let (_, tensors) = found.ok_or("it holds no tensors")?;
    Ok(tensors)
}

/// The dictionaries among the values, each under its first key only: one that a pickle mentions a million times is
/// read once.
fn inner_dictionaries<'u>(
    unpickled: &'u Unpickled<'_>,
    pairs: &[(Id, Id)],
) -> Vec<(Id, &'u [(Id, Id)])> {
    let mut seen = HashSet::new();
    let inner = pairs.iter().filter_map(|&(key, value)| {
        let nested = unpickled.pairs(value)?;
        seen.insert(value).then_some((key, nested))
    });
    inner.collect()
}

fn tensors_of<'u, 'a>(
    unpickled: &'u Unpickled<'a>,
    pairs: &[(Id, Id)],
) -> Vec<(&'a str, &'u TensorRef<'a>)> {
    let tensor = |&(key, value): &(Id, Id)| match (unpickled.value(key), unpickled.value(value)) {
        (Some(&Value::Text(name)), Some(Value::Tensor(tensor))) => Some((name, tensor)),
        _ => None,
    };
    pairs.iter().filter_map(tensor).collect()
}

/// Says whether a value beside tensors could hold more of them.
fn hides_tensors(unpickled: &Unpickled<'_>, (key, value): &(Id, Id)) -> bool {
    match unpickled.value(*value) {
        Some(Value::Tensor(_)) => !matches!(unpickled.value(*key), Some(Value::Text(_))),
        Some(Value::Tuple(items) | Value::List(items)) => !items.is_empty(),
        Some(Value::Dict(pairs)) => !pairs.is_empty(),
        Some(Value::Storage(_)) => true,
        _ => false,
    }
}

fn key_text(unpickled: &Unpickled<'_>, key: Id) -> String {
    match unpickled.value(key) {
        Some(Value::Text(text)) => text.chars().take(100).collect(),
        _ => "a value without a name".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_that_is_mentioned_many_times_is_read_once() {
        const MANY: usize = 100_000;
        // Memo 0 holds a dictionary of MANY pairs; the outermost one has it MANY times.
        let mut pickle = b"}q\x00(".to_vec();
        pickle.extend(b"NN".repeat(MANY));
        pickle.extend(b"u0}(");
        pickle.extend(b"Nh\x00".repeat(MANY));
        pickle.extend(b"u.");
        let unpickled = Unpickled::read(&pickle).unwrap();
        let outer = unpickled.pairs(unpickled.top()).unwrap();
        assert_eq!(outer.len(), MANY);
        let inner = inner_dictionaries(&unpickled, outer);
        let looked_at: usize = inner.iter().map(|(_, pairs)| pairs.len()).sum();
        assert_eq!((inner.len(), looked_at), (1, MANY));
        assert_eq!(
            named_tensors(&unpickled).unwrap_err(),
            "it holds no tensors"
        );
    }
}
