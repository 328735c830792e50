//! The one way weights enter a model: a cursor over the tensors of weight files.
//!
//! Only the header of each file is read when it is opened; every tensor is read when a layer asks for
//! it, so that loading needs the model and one tensor of memory, never the model twice. Files may be
//! safetensors, GGUF, ONNX files or checkpoints of `torch.save`, and may be of another layout than layers ask for.

mod entry;
mod error;
mod files;
mod gguf;
mod header;
mod names;
mod onnx;
mod pickle;
mod pth;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tch::{Device, Kind, TchError, Tensor};

use self::entry::{Entry, SourceFile};
use self::names::Stored;

pub use self::error::WeightsError;
pub use self::files::{FileFormat, weight_files};
pub use self::gguf::{GgufMetadata, GgufValue};
pub use self::names::NameMap;
pub use self::onnx::onnx_metadata;

/// A tensor that some files with 8-bit weights have to say that they do. Its value does not matter.
const SCALED_MARKER: &str = "scaled_fp8";
/// What the scale of an 8-bit `weight` is called beside it.
const SCALE_NAMES: [&str; 2] = ["scale_weight", "weight_scale"];
/// What the scale of the inputs is called beside it, which only 8-bit arithmetic needs.
const INPUT_SCALE_NAMES: [&str; 2] = ["scale_input", "input_scale"];

/// A position in a tree of named tensors, shared by all cursors made from it.
///
/// Cloning and [`Weights::sub`] are cheap; what was read is remembered across all of them.
#[derive(Clone, Debug)]
pub struct Weights {
    store: Arc<Store>,
    prefix: String,
    device: Device,
    kind: Kind,
}

#[derive(Debug)]
struct Store {
    entries: Arc<BTreeMap<String, Entry>>,
    map: NameMap,
    /// What the names of the file start with, before those that the map gives.
    file_prefix: String,
    read: Mutex<ReadMarks>,
}

/// What was read, by name in the file.
#[derive(Debug, Default)]
struct ReadMarks {
    whole: BTreeSet<String>,
    /// Slices of joint tensors.
    parts: BTreeMap<String, BTreeSet<u32>>,
}

impl Weights {
    /// Opens the files called `stem` in `folder`, in the layout that layers ask for; see
    /// [`weight_files`].
    ///
    /// `kind` is what [`Weights::get`] converts to. Reads headers only.
    ///
    /// # Errors
    /// `MissingFile` if there are none, `Corrupt` if a header or the index cannot be read.
    pub fn open(
        folder: &Path,
        stem: &str,
        device: Device,
        kind: Kind,
    ) -> Result<Self, WeightsError> {
        Self::open_files(&weight_files(folder, stem)?, &[], device, kind)
    }

    /// Opens files whose layout is that of the first map whose marker they have, or the one that
    /// layers ask for if there is none.
    ///
    /// # Errors
    /// `MissingFile` or `Corrupt`, naming the file.
    pub fn open_files(
        files: &[PathBuf],
        maps: &[NameMap],
        device: Device,
        kind: Kind,
    ) -> Result<Self, WeightsError> {
        let mut entries = BTreeMap::new();
        for path in files {
            add_file(path, &mut entries)?;
        }
        let has = |name: &str| entries.contains_key(name);
        let chosen = maps.iter().find_map(|map| Some((map, map.prefix_in(has)?)));
        let (map, file_prefix) = match chosen {
            Some((map, prefix)) => (map.clone(), prefix.to_owned()),
            None => (NameMap::default(), String::new()),
        };
        let store = Store {
            entries: Arc::new(entries),
            map,
            file_prefix,
            read: Mutex::default(),
        };
        Ok(Self {
            store: Arc::new(store),
            prefix: String::new(),
            device,
            kind,
        })
    }

    /// A cursor at the root of the same files, with another device and compute type, and nothing
    /// read yet.
    #[must_use]
    pub fn anew(&self, device: Device, kind: Kind) -> Self {
        let store = Store {
            entries: Arc::clone(&self.store.entries),
            map: self.store.map.clone(),
            file_prefix: self.store.file_prefix.clone(),
            read: Mutex::default(),
        };
        Self {
            store: Arc::new(store),
            prefix: String::new(),
            device,
            kind,
        }
    }

    /// The cursor one name deeper: `weights.sub("blocks").sub(3)` is at `blocks.3.`.
    #[must_use]
    pub fn sub(&self, name: impl Display) -> Self {
        Self {
            prefix: format!("{}{name}.", self.prefix),
            ..self.clone()
        }
    }

    /// The device tensors are put on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// The type [`Weights::get`] converts to.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Says whether a tensor of this name exists, without marking it as read.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.shape(name).is_some()
    }

    /// The shape of a tensor as layers see it, without reading it; absent if there is none.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<Vec<i64>> {
        let stored = self.store.find(&self.full_name(name));
        let entry = self.store.entries.get(&stored.name)?;
        let shape = match stored.part {
            Some((part, of)) => entry.part(part, of)?.shape,
            None => entry.shape.clone(),
        };
        Some(if stored.squeeze {
            squeezed(&shape)
        } else {
            shape
        })
    }

    /// What the file calls a tensor.
    #[must_use]
    pub fn stored_name(&self, name: &str) -> String {
        self.store.find(&self.full_name(name)).name
    }

    /// Marks a tensor as known without reading it: a duplicate that the format allows.
    pub fn skip(&self, name: &str) {
        self.store.mark(&self.store.find(&self.full_name(name)));
    }

    /// Reads a tensor in the compute type.
    ///
    /// # Errors
    /// `MissingTensor`, `Misshaped`, `WrongDtype` or `Corrupt`, naming the tensor.
    pub fn get(&self, name: &str, shape: &[i64]) -> Result<Tensor, WeightsError> {
        self.get_as(name, shape, self.kind)
    }

    /// Reads a tensor as 32-bit floats: for the parts that stay in full precision whatever the
    /// compute type is.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn get_f32(&self, name: &str, shape: &[i64]) -> Result<Tensor, WeightsError> {
        self.get_as(name, shape, Kind::Float)
    }

    /// Fails if the files hold tensors that nobody read.
    ///
    /// # Errors
    /// `Surplus`, with the names.
    pub fn finish(&self) -> Result<(), WeightsError> {
        let marks = self.store.marks();
        let left = self.store.entries.keys().filter(|name| {
            let known = marks.whole.contains(*name) || self.store.ignores(name);
            !known
        });
        let names: Vec<String> = left.cloned().collect();
        if names.is_empty() {
            Ok(())
        } else {
            Err(WeightsError::Surplus { names })
        }
    }

    /// An error of libtorch at this place in the tree.
    #[must_use]
    pub fn torch_error(&self, source: TchError) -> WeightsError {
        WeightsError::Torch {
            name: self.prefix.trim_end_matches('.').to_owned(),
            source,
        }
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn get_as(&self, name: &str, shape: &[i64], kind: Kind) -> Result<Tensor, WeightsError> {
        let asked = self.full_name(name);
        let stored = self.store.find(&asked);
        let name = label(&asked, &stored);
        let entry = self.store.entry(&name, &stored, shape)?;
        let dtype = entry.stored.kind();
        let dtype = dtype.ok_or_else(|| WeightsError::WrongDtype {
            name: name.clone(),
            found: entry.stored.to_string(),
        })?;
        let scale = match entry.stored.is_8_bit() {
            true => self.store.scale(&stored.name)?,
            false => None,
        };
        let bytes = entry.read()?;
        let tensor = entry.tensor(&bytes, dtype);
        drop(bytes);
        let tensor = tensor
            .and_then(|tensor| scaled(&tensor, scale))
            .and_then(|tensor| tensor.f_to_kind(kind))
            .and_then(|tensor| tensor.f_view(shape))
            .and_then(|tensor| tensor.f_to_device(self.device))
            .map_err(|source| WeightsError::Torch { name, source })?;
        self.store.mark(&stored);
        Ok(tensor)
    }
}

impl Store {
    fn find(&self, asked: &str) -> Stored {
        let mut stored = self.map.find(asked);
        stored.name.insert_str(0, &self.file_prefix);
        stored
    }

    fn ignores(&self, name: &str) -> bool {
        let name = name.strip_prefix(&self.file_prefix).unwrap_or(name);
        name == SCALED_MARKER || self.map.ignores(name)
    }

    /// The tensor, or its slice, if it has the shape that is expected.
    fn entry(&self, name: &str, stored: &Stored, expected: &[i64]) -> Result<Entry, WeightsError> {
        let found = self.entries.get(&stored.name);
        let found = found.ok_or_else(|| WeightsError::MissingTensor {
            name: name.to_owned(),
            expected: expected.to_vec(),
        })?;
        let entry = match stored.part {
            Some((part, of)) => found.part(part, of),
            None => Some(found.clone()),
        };
        let fits = |entry: &Entry| match stored.squeeze {
            true => squeezed(&entry.shape) == squeezed(expected),
            false => entry.shape == expected,
        };
        entry.filter(fits).ok_or_else(|| WeightsError::Misshaped {
            name: name.to_owned(),
            expected: expected.to_vec(),
            found: found.shape.clone(),
        })
    }

    /// The factor that lies beside an 8-bit weight, if one does.
    fn scale(&self, weight: &str) -> Result<Option<f64>, WeightsError> {
        let Some(layer) = weight.strip_suffix("weight") else {
            return Ok(None);
        };
        for name in INPUT_SCALE_NAMES {
            self.marks().whole.insert(format!("{layer}{name}"));
        }
        for name in SCALE_NAMES {
            let name = format!("{layer}{name}");
            let Some(entry) = self.entries.get(&name) else {
                continue;
            };
            let scale = entry.scalar(&name)?;
            self.marks().whole.insert(name);
            return Ok(Some(scale));
        }
        Ok(None)
    }

    fn mark(&self, stored: &Stored) {
        let mut marks = self.marks();
        let Some((part, of)) = stored.part else {
            marks.whole.insert(stored.name.clone());
            return;
        };
        let parts = marks.parts.entry(stored.name.clone()).or_default();
        parts.insert(part);
        if parts.len() as u64 == u64::from(of) {
            marks.whole.insert(stored.name.clone());
        }
    }

    fn marks(&self) -> std::sync::MutexGuard<'_, ReadMarks> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add_file(path: &Path, entries: &mut BTreeMap<String, Entry>) -> Result<(), WeightsError> {
    if !path.is_file() {
        let path = path.to_owned();
        return Err(WeightsError::MissingFile { path });
    }
    let file = Arc::new(SourceFile::open(path)?);
    let found = match FileFormat::of(path) {
        Some(FileFormat::Safetensors) => header::read_header(&file)?,
        Some(FileFormat::Gguf) => gguf::read_tensors(&file)?,
        Some(FileFormat::Torch) => pth::read_checkpoint(&file)?,
        Some(FileFormat::Onnx) => onnx::read_initialisers(&file)?,
        None => return Err(file.corrupt("its ending is not that of a weight file")),
    };
    for (name, entry) in found {
        if entries.contains_key(&name) {
            return Err(file.corrupt(format!("tensor {name} is in two shards")));
        }
        entries.insert(name, entry);
    }
    Ok(())
}

/// The tensor times its scale, computed in 32-bit floats.
fn scaled(tensor: &Tensor, scale: Option<f64>) -> Result<Tensor, TchError> {
    match scale {
        Some(scale) => tensor.f_to_kind(Kind::Float)?.f_mul_scalar(scale),
        None => Ok(tensor.shallow_clone()),
    }
}

/// A tensor's name for messages: as in the file, and as the layer calls it if that differs.
fn label(asked: &str, stored: &Stored) -> String {
    if asked == stored.name {
        return stored.name.clone();
    }
    format!("{} ({asked})", stored.name)
}

/// A shape without axes of one place.
fn squeezed(shape: &[i64]) -> Vec<i64> {
    shape.iter().copied().filter(|&size| size != 1).collect()
}

#[cfg(test)]
mod tests;
