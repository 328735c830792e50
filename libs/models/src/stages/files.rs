//! Tensor files of the single stages.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, View, serialize_to_file};
use tch::{Device, Kind, Tensor};

use super::StageError;

/// Largest input file, in bytes.
const MAX_BYTES: u64 = 64 << 30;

/// The tensors of an input file.
pub(super) struct Inputs {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// Reads a safetensors file.
pub(super) fn read_tensors(path: &Path) -> Result<Inputs, StageError> {
    let fail = |reason: String| file_error(path, reason);
    let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?;
    if size.len() > MAX_BYTES {
        return Err(fail("it is too large".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    SafeTensors::deserialize(&bytes).map_err(|error| fail(error.to_string()))?;
    let path = path.to_owned();
    Ok(Inputs { path, bytes })
}

impl Inputs {
    /// A tensor that must be there, as 32-bit floats on the CPU.
    pub(super) fn float(&self, name: &str, axes: usize) -> Result<Tensor, StageError> {
        let tensor = self.optional_float(name, axes)?;
        tensor.ok_or_else(|| self.missing(name))
    }

    /// A tensor that may be there, as 32-bit floats on the CPU.
    pub(super) fn optional_float(
        &self,
        name: &str,
        axes: usize,
    ) -> Result<Option<Tensor>, StageError> {
        let file = SafeTensors::deserialize(&self.bytes);
        let file = file.map_err(|error| file_error(&self.path, error.to_string()))?;
        let Ok(view) = file.tensor(name) else {
            return Ok(None);
        };
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F64 => Kind::Double,
            Dtype::U8 => Kind::Uint8,
            other => {
                let reason = format!("{name} is stored as {other:?}, must be a float");
                return Err(file_error(&self.path, reason));
            }
        };
        if view.shape().len() != axes {
            let reason = format!("{name} has shape {:?}, must have {axes} axes", view.shape());
            return Err(file_error(&self.path, reason));
        }
        let side = |&side: &usize| i64::try_from(side).unwrap_or(i64::MAX);
        let shape: Vec<i64> = view.shape().iter().map(side).collect();
        let tensor = Tensor::f_from_data_size(view.data(), &shape, kind)?;
        Ok(Some(tensor.f_to_kind(Kind::Float)?))
    }

    pub(super) fn missing(&self, name: &str) -> StageError {
        file_error(&self.path, format!("it has no tensor {name}"))
    }
}

/// A tensor as the writer wants it.
struct Written {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for &Written {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes tensors as 32-bit floats, first beside the file, so that it is whole or not there.
pub(super) fn write_tensors(path: &Path, tensors: &[(&str, Tensor)]) -> Result<(), StageError> {
    let mut written = Vec::new();
    for (name, tensor) in tensors {
        let values = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
        let values = values.f_contiguous()?;
        let mut bytes = vec![0; values.numel() * size_of::<f32>()];
        values.f_copy_data_u8(&mut bytes, values.numel())?;
        let side = |side: i64| usize::try_from(side).unwrap_or_default();
        let shape = values.size().into_iter().map(side).collect();
        written.push((*name, Written { shape, bytes }));
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    let views = written.iter().map(|(name, tensor)| (*name, tensor));
    let fail = |error: &dyn std::fmt::Display| {
        // A file that is half written is of no use to anyone.
        let _ = std::fs::remove_file(&partial);
        file_error(path, error.to_string())
    };
    serialize_to_file(views, None, &partial).map_err(|error| fail(&error))?;
    std::fs::rename(&partial, path).map_err(|error| fail(&error))
}

fn file_error(path: &Path, reason: String) -> StageError {
    StageError::File {
        path: path.to_owned(),
        reason,
    }
}
