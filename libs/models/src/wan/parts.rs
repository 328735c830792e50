//! The parts of a model folder, each loaded when it is asked for.

use std::path::{Path, PathBuf};

use kinora_nn::Weights;
use kinora_nn::weights::weight_files;
use tch::{Cuda, Device, Kind};

use super::{WanTransformer, WanVae};
use crate::clip::ClipVisionEncoder;
use crate::config::WanConfig;
use crate::digest::sha256_hex;
use crate::error::LoadError;
use crate::request::{DeviceChoice, LoadOptions, Precision};
use crate::text::TextEncoder;

/// Name of the weight files of networks in diffusers' layout.
const DIFFUSERS_STEM: &str = "diffusion_pytorch_model";
/// Name of the weight files of networks in transformers' layout.
const TRANSFORMERS_STEM: &str = "model";

/// A model folder whose configuration has been read and whose networks can be loaded.
#[derive(Clone, Debug)]
pub struct Parts {
    folder: PathBuf,
    config: WanConfig,
    options: LoadOptions,
    device: Device,
    kind: Kind,
}

impl Parts {
    /// Reads the configuration; loads no weights. Sets the number of threads for the whole process.
    ///
    /// # Errors
    /// A configuration is missing or wrong, or the device is not there.
    pub fn open(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        let config = WanConfig::read(folder)?;
        if let Some(threads) = options.threads {
            let reason = |_| LoadError::Device {
                reason: "too many threads".to_owned(),
            };
            tch::set_num_threads(i32::try_from(threads.max(1)).map_err(reason)?);
        }
        Ok(Self {
            folder: folder.to_owned(),
            config,
            options: options.clone(),
            device: device(options.device)?,
            kind: match options.precision {
                Precision::F32 => Kind::Float,
                Precision::Bf16 => Kind::BFloat16,
            },
        })
    }

    /// The shapes of all networks.
    #[must_use]
    pub fn config(&self) -> &WanConfig {
        &self.config
    }

    /// The device that networks compute on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// How networks are loaded.
    #[must_use]
    pub fn options(&self) -> &LoadOptions {
        &self.options
    }

    /// Tokenizer and text encoder.
    ///
    /// # Errors
    /// A file is missing or broken, or the weights do not fit the configuration.
    pub fn text_encoder(&self) -> Result<TextEncoder, LoadError> {
        let config = &self.config.text_encoder;
        TextEncoder::load(&self.folder, config, self.device, self.kind)
    }

    /// The image encoder, in families that have one.
    ///
    /// # Errors
    /// The weights do not fit the configuration.
    pub fn image_encoder(&self) -> Result<Option<ClipVisionEncoder>, LoadError> {
        let Some(config) = &self.config.image_encoder else {
            return Ok(None);
        };
        let part = LoadError::weights("image_encoder");
        let folder = self.folder.join("image_encoder");
        let weights = Weights::open(&folder, TRANSFORMERS_STEM, self.device, self.kind);
        let weights = weights.map_err(&part)?;
        let network = ClipVisionEncoder::load(&weights, config).map_err(&part)?;
        weights.finish().map_err(&part)?;
        Ok(Some(network))
    }

    /// The diffusion transformer.
    ///
    /// # Errors
    /// The weights do not fit the configuration.
    pub fn transformer(&self) -> Result<WanTransformer, LoadError> {
        let part = LoadError::weights("transformer");
        let folder = self.folder.join("transformer");
        let weights = Weights::open(&folder, DIFFUSERS_STEM, self.device, self.kind);
        let weights = weights.map_err(&part)?;
        let network = WanTransformer::load(&weights, &self.config.transformer).map_err(&part)?;
        weights.finish().map_err(&part)?;
        Ok(network)
    }

    /// The video autoencoder, which always computes in 32-bit floats.
    ///
    /// # Errors
    /// The weights do not fit the configuration.
    pub fn vae(&self) -> Result<WanVae, LoadError> {
        let part = LoadError::weights("vae");
        let folder = self.folder.join("vae");
        let weights = Weights::open(&folder, DIFFUSERS_STEM, self.device, Kind::Float);
        let weights = weights.map_err(&part)?;
        let network = WanVae::load(&weights, &self.config.vae).map_err(&part)?;
        weights.finish().map_err(&part)?;
        Ok(network)
    }

    /// SHA-256 in hexadecimal of every file that decides what the model generates, by name relative
    /// to the folder, sorted.
    ///
    /// # Errors
    /// A file is missing or cannot be read.
    pub fn digests(&self) -> Result<Vec<(String, String)>, LoadError> {
        let mut files: Vec<PathBuf> = [
            "kinora.json",
            "transformer/config.json",
            "vae/config.json",
            "text_encoder/config.json",
            "scheduler/scheduler_config.json",
            "tokenizer/tokenizer.json",
        ]
        .map(|name| self.folder.join(name))
        .into();
        let mut parts = vec![
            ("transformer", DIFFUSERS_STEM),
            ("vae", DIFFUSERS_STEM),
            ("text_encoder", TRANSFORMERS_STEM),
        ];
        if self.config.image_encoder.is_some() {
            parts.push(("image_encoder", TRANSFORMERS_STEM));
            files.push(self.folder.join("image_encoder/config.json"));
        }
        for (part, stem) in parts {
            let folder = self.folder.join(part);
            files.extend(weight_files(&folder, stem).map_err(LoadError::weights(part))?);
        }
        files.sort();
        let mut digests = Vec::with_capacity(files.len());
        for file in files {
            let name = file.strip_prefix(&self.folder).unwrap_or(&file);
            digests.push((name.to_string_lossy().into_owned(), sha256_hex(&file)?));
        }
        Ok(digests)
    }
}

fn device(choice: DeviceChoice) -> Result<Device, LoadError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(index) => {
            let count = if Cuda::is_available() {
                Cuda::device_count()
            } else {
                0
            };
            let known = usize::try_from(count).is_ok_and(|count| index < count);
            let reason = format!("there is no CUDA device {index}, only {count} in all");
            if known {
                Ok(Device::Cuda(index))
            } else {
                Err(LoadError::Device { reason })
            }
        }
    }
}
