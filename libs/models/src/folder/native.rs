//! The native layout: `config.json` and all weight files side by side, under names that people change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kinora_nn::WeightsError;
use kinora_nn::weights::{FileFormat, weight_files};
use serde::Deserialize;

use super::{Layout, ModelFolder, PartFiles, infer};
use crate::config::{SchedulerConfig, WanConfig, read_json};
use crate::error::LoadError;
use crate::names::Part;

const CONFIG: &str = "config.json";
/// What the transformer's files are called, unless somebody renamed them.
const TRANSFORMER_STEM: &str = "diffusion_pytorch_model";
/// Where the tokenizer may lie; the first is where it is published.
const TOKENIZERS: [&str; 3] = [
    "google/umt5-xxl/tokenizer.json",
    "tokenizer/tokenizer.json",
    "tokenizer.json",
];
/// The names that parts are published under, for errors.
const TEXT_ENCODER: &str = "models_t5_umt5-xxl-enc-bf16.pth";
const VAE: &str = "Wan2.1_VAE.pth";

/// What the native `config.json` may say. What it leaves out is seen in the weights.
#[derive(Debug, Default, Deserialize)]
pub(super) struct NativeConfig {
    #[serde(rename = "_class_name")]
    class_name: Option<String>,
    model_type: Option<String>,
    pub(super) dim: Option<i64>,
    pub(super) num_heads: Option<i64>,
    pub(super) num_layers: Option<i64>,
    pub(super) ffn_dim: Option<i64>,
    pub(super) freq_dim: Option<i64>,
    pub(super) text_dim: Option<i64>,
    pub(super) in_dim: Option<i64>,
    pub(super) out_dim: Option<i64>,
    pub(super) eps: Option<f64>,
}

impl NativeConfig {
    fn is_of_wan(&self) -> bool {
        let kinds = ["t2v", "i2v", "ti2v", "flf2v"];
        let kind = self
            .model_type
            .as_deref()
            .is_some_and(|kind| kinds.contains(&kind));
        self.class_name.as_deref() == Some("WanModel") || kind
    }
}

/// The weight files of a folder, sorted by what their names say they are.
#[derive(Default)]
struct Found {
    text_encoder: Vec<PathBuf>,
    image_encoder: Vec<PathBuf>,
    vae: Vec<PathBuf>,
    other: Vec<PathBuf>,
}

/// A broken `config.json` counts as one, so that the error names it. Without any, the weight files of
/// all parts must be there.
pub(super) fn is_at(folder: &Path) -> bool {
    let path = folder.join(CONFIG);
    if !path.exists() {
        let found = Found::in_folder(folder).unwrap_or_default();
        let parts = [found.text_encoder, found.vae, found.other];
        return parts.iter().all(|files| !files.is_empty());
    }
    path.is_file() && read_json::<NativeConfig>(&path).map_or(true, |config| config.is_of_wan())
}

pub(super) fn open(folder: &Path) -> Result<ModelFolder, LoadError> {
    let config_path = folder.join(CONFIG);
    let has_config = config_path.exists();
    let native: NativeConfig = match has_config {
        true => read_json(&config_path)?,
        false => NativeConfig::default(),
    };
    let parts = Found::in_folder(folder)?.open(folder)?;
    let config = config(&parts, &native, &config_path)?;
    Ok(ModelFolder {
        folder: folder.to_owned(),
        layout: Layout::Native,
        config,
        parts,
        tokenizer: tokenizer(folder),
        config_files: has_config.then_some(config_path).into_iter().collect(),
    })
}

/// What the model is; `path` is where `native` was read.
fn config(
    parts: &BTreeMap<Part, PartFiles>,
    native: &NativeConfig,
    path: &Path,
) -> Result<WanConfig, LoadError> {
    let part = |part: Part| {
        let reason = || format!("there are no weights of the {}", part.name());
        parts
            .get(&part)
            .ok_or_else(|| LoadError::config(path, reason()))
    };
    let config = WanConfig {
        transformer: infer::transformer(part(Part::Transformer)?, native, path)?,
        vae: infer::vae(part(Part::Vae)?)?,
        text_encoder: infer::text_encoder(part(Part::TextEncoder)?)?,
        image_encoder: parts
            .get(&Part::ImageEncoder)
            .map(infer::image_encoder)
            .transpose()?,
        scheduler: SchedulerConfig::published(),
    };
    let fit = config.check_fit();
    fit.map_err(|reason| LoadError::config(path, reason))?;
    Ok(config)
}

impl Found {
    fn in_folder(folder: &Path) -> Result<Self, LoadError> {
        let unreadable = |error| LoadError::config(folder, error);
        let mut found = Self::default();
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            paths.push(entry.map_err(unreadable)?.path());
        }
        paths.sort();
        for path in paths {
            // Nobody publishes the parts of a model as ONNX; such a file is something else.
            let is_weights = !matches!(FileFormat::of(&path), None | Some(FileFormat::Onnx));
            if !is_weights || !path.is_file() {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = name.to_lowercase();
            let list = if name.starts_with("models_t5") || name.contains("umt5") {
                &mut found.text_encoder
            } else if name.contains("clip") {
                &mut found.image_encoder
            } else if name.contains("vae") {
                &mut found.vae
            } else {
                &mut found.other
            };
            list.push(path);
        }
        Ok(found)
    }

    /// Reads the headers of all parts; the image encoder may be absent.
    fn open(self, folder: &Path) -> Result<BTreeMap<Part, PartFiles>, LoadError> {
        let (text, vae) = (folder.join(TEXT_ENCODER), folder.join(VAE));
        let mut files = vec![
            (Part::Transformer, transformer_files(folder, &self.other)?),
            (
                Part::TextEncoder,
                only(Part::TextEncoder, self.text_encoder, &text)?,
            ),
            (Part::Vae, only(Part::Vae, self.vae, &vae)?),
        ];
        if !self.image_encoder.is_empty() {
            let image = only(Part::ImageEncoder, self.image_encoder, folder)?;
            files.push((Part::ImageEncoder, image));
        }
        let open = |(part, files)| Ok((part, PartFiles::open(part, files)?));
        files.into_iter().map(open).collect()
    }
}

/// The files under the published name, or else the only weight file that is nothing else.
fn transformer_files(folder: &Path, other: &[PathBuf]) -> Result<Vec<PathBuf>, LoadError> {
    let part = Part::Transformer;
    match weight_files(folder, TRANSFORMER_STEM) {
        Err(WeightsError::MissingFile { path }) if path.parent() == Some(folder) => {
            let expected = path.file_stem() == Some(TRANSFORMER_STEM.as_ref());
            if expected {
                return only(part, other.to_vec(), &path);
            }
            Err(LoadError::weights(part.name())(WeightsError::MissingFile {
                path,
            }))
        }
        result => result.map_err(LoadError::weights(part.name())),
    }
}

/// The one file there should be. Of the same file in two formats, safetensors is taken.
fn only(part: Part, mut files: Vec<PathBuf>, expected: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let is_safe = |path: &PathBuf| FileFormat::of(path) == Some(FileFormat::Safetensors);
    let stem = files
        .first()
        .and_then(|path| path.file_stem().map(ToOwned::to_owned));
    let is_one_name = files.iter().all(|path| path.file_stem() == stem.as_deref());
    if is_one_name && let Some(position) = files.iter().position(is_safe) {
        files = vec![files.swap_remove(position)];
    }
    match files.as_slice() {
        [] => {
            let path = expected.to_owned();
            Err(LoadError::weights(part.name())(WeightsError::MissingFile {
                path,
            }))
        }
        [_] => Ok(files),
        [first, second, ..] => {
            let name = part.name();
            let reason = format!("{} could be the {name} as well; keep one", second.display());
            Err(LoadError::config(first, reason))
        }
    }
}

fn tokenizer(folder: &Path) -> PathBuf {
    let mut places = TOKENIZERS.iter().map(|name| folder.join(name));
    let found = places.find(|path| path.is_file());
    found.unwrap_or_else(|| folder.join(TOKENIZERS[0]))
}
