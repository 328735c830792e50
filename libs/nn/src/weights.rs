//! The one way weights enter a model: a cursor over safetensors files.
//!
//! Only the header of each file is read when it is opened; every tensor is read when a layer asks for
//! it, so that loading needs the model and one tensor of memory, never the model twice.

mod files;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use safetensors::tensor::Dtype;
use tch::{Device, Kind, Tensor};

use self::files::{Entry, read_bytes, read_header};

pub use self::files::weight_files;

/// How many names an error message lists before it only counts.
const MAX_LISTED: usize = 8;

/// Why weights could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A weight file, or the index that names it, is not there.
    #[error("no weights at {}", path.display())]
    MissingFile {
        /// The file looked for.
        path: PathBuf,
    },
    /// A weight file or index exists and cannot be read.
    #[error("{}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that a layer needs is in no file.
    #[error("tensor {name} is missing, expected shape {expected:?}")]
    MissingTensor {
        /// Full name of the tensor.
        name: String,
        /// Shape the layer needs.
        expected: Vec<i64>,
    },
    /// A tensor has another shape than its layer needs.
    #[error("tensor {name} has shape {found:?}, expected {expected:?}")]
    Misshaped {
        /// Full name of the tensor.
        name: String,
        /// Shape the layer needs.
        expected: Vec<i64>,
        /// Shape in the file.
        found: Vec<i64>,
    },
    /// A tensor is not stored as floating point numbers that can be computed with.
    #[error("tensor {name} is stored as {found}, expected F32, F16, BF16 or F64")]
    WrongDtype {
        /// Full name of the tensor.
        name: String,
        /// Type in the file.
        found: String,
    },
    /// The files hold tensors that no layer asked for.
    #[error("{} tensors belong to no layer: {}", names.len(), list(names))]
    Surplus {
        /// Full names, sorted.
        names: Vec<String>,
    },
    /// libtorch refused the data.
    #[error("tensor {name}")]
    Torch {
        /// Full name of the tensor.
        name: String,
        /// What libtorch said.
        source: tch::TchError,
    },
}

/// A position in a tree of named tensors, shared by all cursors made from it.
///
/// Cloning and [`Weights::sub`] are cheap; what was read is remembered across all of them.
#[derive(Clone, Debug)]
pub struct Weights {
    store: Rc<Store>,
    prefix: String,
    device: Device,
    kind: Kind,
}

#[derive(Debug)]
struct Store {
    entries: BTreeMap<String, Entry>,
    read: RefCell<BTreeSet<String>>,
}

impl Weights {
    /// Opens `{stem}.safetensors` in `folder`, or the shards that `{stem}.safetensors.index.json` names.
    ///
    /// `kind` is what [`Weights::get`] converts to. Reads headers only.
    ///
    /// # Errors
    /// `MissingFile` if neither is there, `Corrupt` if a header or the index cannot be read.
    pub fn open(
        folder: &Path,
        stem: &str,
        device: Device,
        kind: Kind,
    ) -> Result<Self, WeightsError> {
        let mut entries = BTreeMap::new();
        for path in weight_files(folder, stem)? {
            read_header(&path, &mut entries)?;
        }
        let read = RefCell::default();
        Ok(Self {
            store: Rc::new(Store { entries, read }),
            prefix: String::new(),
            device,
            kind,
        })
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
        self.store.entries.contains_key(&self.full_name(name))
    }

    /// Marks a tensor as known without reading it: a duplicate that the format allows.
    pub fn skip(&self, name: &str) {
        self.store.read.borrow_mut().insert(self.full_name(name));
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
        let read = self.store.read.borrow();
        let names: Vec<String> = self
            .store
            .entries
            .keys()
            .filter(|name| !read.contains(*name))
            .cloned()
            .collect();
        if names.is_empty() {
            Ok(())
        } else {
            Err(WeightsError::Surplus { names })
        }
    }

    /// An error of libtorch at this place in the tree.
    #[must_use]
    pub fn torch_error(&self, source: tch::TchError) -> WeightsError {
        WeightsError::Torch {
            name: self.prefix.trim_end_matches('.').to_owned(),
            source,
        }
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn get_as(&self, name: &str, shape: &[i64], kind: Kind) -> Result<Tensor, WeightsError> {
        let name = self.full_name(name);
        let Some(entry) = self.store.entries.get(&name) else {
            return Err(WeightsError::MissingTensor {
                name,
                expected: shape.to_vec(),
            });
        };
        let found = signed_shape(&entry.info.shape);
        if found != shape {
            return Err(WeightsError::Misshaped {
                name,
                expected: shape.to_vec(),
                found,
            });
        }
        let Some(stored) = float_kind(entry.info.dtype) else {
            let found = format!("{:?}", entry.info.dtype);
            return Err(WeightsError::WrongDtype { name, found });
        };
        let bytes = read_bytes(entry)?;
        let tensor = Tensor::f_from_data_size(&bytes, shape, stored)
            .and_then(|tensor| tensor.f_to_kind(kind))
            .and_then(|tensor| tensor.f_to_device(self.device))
            .map_err(|source| WeightsError::Torch {
                name: name.clone(),
                source,
            })?;
        self.store.read.borrow_mut().insert(name);
        Ok(tensor)
    }
}

fn signed_shape(shape: &[usize]) -> Vec<i64> {
    shape
        .iter()
        .map(|&size| i64::try_from(size).unwrap_or(i64::MAX))
        .collect()
}

fn float_kind(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::F64 => Some(Kind::Double),
        _ => None,
    }
}

fn list(names: &[String]) -> String {
    let mut text = names
        .iter()
        .take(MAX_LISTED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > MAX_LISTED {
        text.push_str(", ...");
    }
    text
}

#[cfg(test)]
mod tests;
