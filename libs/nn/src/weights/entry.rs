//! Where a tensor lies in which file, and reading it from there.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tch::{Kind, TchError, Tensor};

use super::WeightsError;
use super::gguf::blocks::BlockFormat;

/// From this many bytes on, a tensor is read by several threads: one thread alone does not keep a
/// fast disk or a network volume busy.
const PARALLEL_FROM_BYTES: u64 = 64 << 20;
/// Threads that read one large tensor.
const READ_THREADS: u64 = 4;

/// An open weight file. It stays open, so that it is the same file from the header to the last tensor.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) length: u64,
}

/// What the numbers of a tensor are stored as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StoredType {
    F64,
    F32,
    F16,
    BF16,
    F8E4M3,
    F8E5M2,
    /// Blocks of few bits, which are computed with as 32-bit floats.
    Blocks(BlockFormat),
    /// Known to the format, but nothing to compute with.
    Other(&'static str),
}

/// Where a tensor lies. Everything in it was checked against the file when the header was read.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) file: std::sync::Arc<SourceFile>,
    /// Where the tensor's bytes start in the file.
    pub(super) offset: u64,
    /// Bytes from the first to the last number of the tensor.
    pub(super) bytes: u64,
    pub(super) stored: StoredType,
    pub(super) shape: Vec<i64>,
    /// Steps between neighbours along each axis, in numbers; absent when row follows row.
    pub(super) strides: Option<Vec<i64>>,
}

impl SourceFile {
    pub(super) fn open(path: &Path) -> Result<Self, WeightsError> {
        let open = || {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        };
        let (file, length) = open().map_err(|error: std::io::Error| corrupt(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            length,
        })
    }

    /// Reads a range, in parallel if it is large.
    ///
    /// The range is checked against the file's length before memory is taken for it.
    pub(super) fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, WeightsError> {
        let end = offset.checked_add(length);
        if end.is_none_or(|end| end > self.length) {
            return Err(self.corrupt("it ends within a tensor"));
        }
        let size = usize::try_from(length).map_err(|error| self.corrupt(error))?;
        let mut bytes = vec![0; size];
        let result = if length < PARALLEL_FROM_BYTES {
            self.file.read_exact_at(&mut bytes, offset)
        } else {
            self.read_in_parallel(&mut bytes, offset)
        };
        result.map_err(|error| self.corrupt(error))?;
        Ok(bytes)
    }

    fn read_in_parallel(&self, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
        let chunk = (bytes.len() as u64).div_ceil(READ_THREADS);
        let size = usize::try_from(chunk).unwrap_or(usize::MAX);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0_u64..)
                .zip(bytes.chunks_mut(size))
                .map(|(index, part)| {
                    scope.spawn(move || self.file.read_exact_at(part, offset + index * chunk))
                })
                .collect();
            for reader in readers {
                let result = reader.join();
                result.unwrap_or_else(|_| Err(std::io::Error::other("a reading thread ended")))?;
            }
            Ok(())
        })
    }

    pub(super) fn corrupt(&self, reason: impl fmt::Display) -> WeightsError {
        corrupt(&self.path, reason)
    }
}

impl StoredType {
    /// The type in libtorch that [`Entry::tensor`] gives, if it can be computed with.
    pub(super) fn kind(&self) -> Option<Kind> {
        match self {
            Self::F64 => Some(Kind::Double),
            Self::F32 | Self::Blocks(_) => Some(Kind::Float),
            Self::F16 => Some(Kind::Half),
            Self::BF16 => Some(Kind::BFloat16),
            Self::F8E4M3 => Some(Kind::Float8e4m3fn),
            Self::F8E5M2 => Some(Kind::Float8e5m2),
            Self::Other(_) => None,
        }
    }

    /// Says whether it is one of the 8-bit types, which checkpoints store with a scale beside them.
    pub(super) fn is_8_bit(&self) -> bool {
        matches!(self, Self::F8E4M3 | Self::F8E5M2)
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E5M2 => "F8_E5M2",
            Self::Blocks(format) => format.name(),
            Self::Other(name) => name,
        })
    }
}

impl Entry {
    /// One of `of` equal slices along the first axis; absent if it does not divide, or if the rows
    /// do not follow each other.
    pub(super) fn part(&self, index: u32, of: u32) -> Option<Self> {
        let rows = *self.shape.first()?;
        if self.strides.is_some() || of == 0 || index >= of || rows % i64::from(of) != 0 {
            return None;
        }
        let bytes = self.bytes / u64::from(of);
        let mut shape = self.shape.clone();
        shape[0] = rows / i64::from(of);
        Some(Self {
            offset: self.offset + u64::from(index) * bytes,
            bytes,
            shape,
            ..self.clone()
        })
    }

    /// Reads a tensor of one finite number; `name` is what it is called.
    pub(super) fn scalar(&self, name: &str) -> Result<f64, WeightsError> {
        let found = self.shape.clone();
        if found.iter().any(|&size| size != 1) {
            return Err(WeightsError::Misshaped {
                name: name.to_owned(),
                expected: Vec::new(),
                found,
            });
        }
        let kind = self.stored.kind();
        let kind = kind.ok_or_else(|| WeightsError::WrongDtype {
            name: name.to_owned(),
            found: self.stored.to_string(),
        })?;
        let bytes = self.read()?;
        let value = self.tensor(&bytes, kind).and_then(|tensor| {
            tensor
                .f_view([1])?
                .f_to_kind(Kind::Double)?
                .f_double_value(&[0])
        });
        let value = value.map_err(|source| WeightsError::Torch {
            name: name.to_owned(),
            source,
        })?;
        if !value.is_finite() {
            return Err(self
                .file
                .corrupt(format!("tensor {name} is no finite number")));
        }
        Ok(value)
    }

    /// Reads the tensor's bytes.
    pub(super) fn read(&self) -> Result<Vec<u8>, WeightsError> {
        self.file.read(self.offset, self.bytes)
    }

    /// The tensor, as stored, of bytes that [`Entry::read`] gave; of blocks, what they stand for.
    pub(super) fn tensor(&self, bytes: &[u8], stored: Kind) -> Result<Tensor, TchError> {
        if let StoredType::Blocks(format) = self.stored {
            return Tensor::f_from_slice(&format.dequantise(bytes))?.f_view(self.shape.as_slice());
        }
        let Some(strides) = &self.strides else {
            return Tensor::f_from_data_size(bytes, &self.shape, stored);
        };
        let numbers = bytes.len() / stored.elt_size_in_bytes();
        let numbers = i64::try_from(numbers).unwrap_or(i64::MAX);
        Tensor::f_from_data_size(bytes, &[numbers], stored)?
            .f_as_strided(&self.shape, strides, 0)?
            .f_contiguous()
    }
}

pub(super) fn corrupt(path: &Path, reason: impl fmt::Display) -> WeightsError {
    WeightsError::Corrupt {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_reads_give_the_same_bytes() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("numbers");
        let written: Vec<u8> = (0..10_007_u32)
            .map(|number| number.to_le_bytes()[0])
            .collect();
        std::fs::write(&path, &written).unwrap();
        let file = SourceFile::open(&path).unwrap();
        for length in [1, 3, 4, 5, 1000, 10_000] {
            let mut bytes = vec![0; length];
            file.read_in_parallel(&mut bytes, 7).unwrap();
            assert_eq!(bytes, written[7..7 + length]);
        }
        assert!(file.read_in_parallel(&mut [0; 10_007], 1).is_err());
        assert!(file.read(10_000, 8).is_err());
        assert!(file.read(u64::MAX, 8).is_err());
    }
}
