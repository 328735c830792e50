//! The layout of diffusers: a folder for each part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kinora_nn::WeightsError;
use kinora_nn::weights::weight_files;
use serde::de::DeserializeOwned;

use super::{Layout, ModelFolder, PartFiles, infer};
use crate::config::{
    Checked, ImageEncoderConfig, SchedulerConfig, TransformerConfig, WanConfig, read_checked,
};
use crate::error::LoadError;
use crate::names::Part;

const INDEX: &str = "model_index.json";
const TRANSFORMER_CONFIG: &str = "transformer/config.json";
const VAE_CONFIG: &str = "vae/config.json";
const TEXT_CONFIG: &str = "text_encoder/config.json";
const IMAGE_CONFIG: &str = "image_encoder/config.json";
const SCHEDULER_CONFIG: &str = "scheduler/scheduler_config.json";
const TOKENIZER: &str = "tokenizer/tokenizer.json";

/// What the weight files of each part are called; the first is the one that errors name.
const DIFFUSERS_STEMS: [&str; 1] = ["diffusion_pytorch_model"];
const TRANSFORMERS_STEMS: [&str; 2] = ["model", "pytorch_model"];

pub(super) fn is_at(folder: &Path) -> bool {
    folder.join(INDEX).is_file() || folder.join(TRANSFORMER_CONFIG).is_file()
}

pub(super) fn read_config(folder: &Path) -> Result<WanConfig, LoadError> {
    let transformer = folder.join(TRANSFORMER_CONFIG);
    let network: TransformerConfig = read_checked(&transformer)?;
    let config = WanConfig {
        vae: read_or(folder, VAE_CONFIG, || {
            infer::published_vae(network.out_channels)
        })?,
        text_encoder: read_or(folder, TEXT_CONFIG, || {
            infer::published_text_encoder(network.text_dim)
        })?,
        image_encoder: image_encoder(folder)?,
        scheduler: read_or(
            folder,
            SCHEDULER_CONFIG,
            || Ok(SchedulerConfig::published()),
        )?,
        transformer: network,
    };
    config
        .check_fit()
        .map_err(|reason| LoadError::config(&transformer, reason))?;
    Ok(config)
}

/// Reads a part's configuration. A part that the folder does not have at all has the published shape:
/// single stages do without parts, and whoever asks for its weights hears that there are none.
fn read_or<T: DeserializeOwned + Checked>(
    folder: &Path,
    name: &str,
    published: impl FnOnce() -> Result<T, String>,
) -> Result<T, LoadError> {
    let path = folder.join(name);
    if path.parent().is_some_and(Path::exists) {
        return read_checked(&path);
    }
    published().map_err(|reason| LoadError::config(&path, reason))
}

pub(super) fn missing_scheduler(folder: &Path) -> Option<PathBuf> {
    let path = folder.join(SCHEDULER_CONFIG);
    (!path.is_file()).then_some(path)
}

/// The image encoder's configuration, where the model has one.
fn image_encoder(folder: &Path) -> Result<Option<ImageEncoderConfig>, LoadError> {
    let path = folder.join(IMAGE_CONFIG);
    path.is_file().then(|| read_checked(&path)).transpose()
}

pub(super) fn open(folder: &Path) -> Result<ModelFolder, LoadError> {
    let config = read_config(folder)?;
    let mut config_files: Vec<PathBuf> = [
        TRANSFORMER_CONFIG,
        VAE_CONFIG,
        TEXT_CONFIG,
        SCHEDULER_CONFIG,
    ]
    .map(|name| folder.join(name))
    .into();
    config_files.retain(|path| path.is_file());
    let mut parts = BTreeMap::new();
    let mut expected = vec![Part::Transformer, Part::Vae, Part::TextEncoder];
    if config.image_encoder.is_some() {
        expected.push(Part::ImageEncoder);
        config_files.push(folder.join(IMAGE_CONFIG));
    }
    for part in expected {
        match open_part(folder, part) {
            Ok(files) => {
                parts.insert(part, files);
            }
            // Said when the part is asked for.
            Err(LoadError::Weights {
                source: WeightsError::MissingFile { .. },
                ..
            }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ModelFolder {
        folder: folder.to_owned(),
        layout: Layout::Diffusers,
        config,
        parts,
        tokenizer: folder.join(TOKENIZER),
        config_files,
    })
}

pub(super) fn open_part(folder: &Path, part: Part) -> Result<PartFiles, LoadError> {
    let folder = folder.join(part.name());
    let stems: &[&str] = match part {
        Part::Transformer | Part::Vae => &DIFFUSERS_STEMS,
        Part::TextEncoder | Part::ImageEncoder => &TRANSFORMERS_STEMS,
    };
    let files = first_files(&folder, stems);
    PartFiles::open(part, files.map_err(LoadError::weights(part.name()))?)
}

/// The files of the first stem that has any.
fn first_files(folder: &Path, stems: &[&str]) -> Result<Vec<PathBuf>, WeightsError> {
    let mut missing = None;
    for stem in stems {
        match weight_files(folder, stem) {
            Err(error @ WeightsError::MissingFile { .. }) => missing = missing.or(Some(error)),
            other => return other,
        }
    }
    let path = folder.to_owned();
    Err(missing.unwrap_or(WeightsError::MissingFile { path }))
}
