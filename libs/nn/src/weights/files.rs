//! Finding weight files.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::WeightsError;
use super::entry::corrupt;

/// Endings of files that `torch.save` writes, in order of preference.
const TORCH_ENDINGS: [&str; 3] = ["pth", "pt", "bin"];
/// The ending of safetensors files.
const SAFETENSORS_ENDING: &str = "safetensors";
/// The ending of GGUF files.
const GGUF_ENDING: &str = "gguf";
/// The ending of ONNX files.
const ONNX_ENDING: &str = "onnx";

/// What a weight file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// A safetensors file.
    Safetensors,
    /// A file written by `torch.save`.
    Torch,
    /// A GGUF file.
    Gguf,
    /// An ONNX file, of which only the initialisers are read.
    Onnx,
}

impl FileFormat {
    /// The format that a file's ending promises.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        if ending == SAFETENSORS_ENDING {
            Some(Self::Safetensors)
        } else if ending == GGUF_ENDING {
            Some(Self::Gguf)
        } else if ending == ONNX_ENDING {
            Some(Self::Onnx)
        } else {
            let known = TORCH_ENDINGS.contains(&ending.as_str());
            known.then_some(Self::Torch)
        }
    }
}

/// The files that hold the weights called `stem`: one file, or the shards that an index names;
/// safetensors before the others.
///
/// # Errors
/// `MissingFile` if there are none, `Corrupt` if the index is not what it should be.
pub fn weight_files(folder: &Path, stem: &str) -> Result<Vec<PathBuf>, WeightsError> {
    for ending in [SAFETENSORS_ENDING].iter().chain(&TORCH_ENDINGS) {
        let single = folder.join(format!("{stem}.{ending}"));
        if single.is_file() {
            return Ok(vec![single]);
        }
        let index = folder.join(format!("{stem}.{ending}.index.json"));
        if index.is_file() {
            let shards = shard_names(&index)?.into_iter();
            return shards.map(|shard| existing(folder.join(shard))).collect();
        }
    }
    let path = folder.join(format!("{stem}.{SAFETENSORS_ENDING}"));
    Err(WeightsError::MissingFile { path })
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
