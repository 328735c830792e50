//! The parts of a model folder, each loaded when it is asked for.

use std::path::{Path, PathBuf};

use tch::{Device, Kind};

use super::{WanTransformer, WanVae};
use crate::clip::ClipVisionEncoder;
use crate::config::WanConfig;
use crate::device::{device, kind, set_threads};
use crate::digest::sha256_hex_of_all;
use crate::error::LoadError;
use crate::folder::ModelFolder;
use crate::memory::activations::{self, LatentSize};
use crate::memory::{MAX_PAIRED_TOKENS, WeightCount, with_margin};
use crate::names::Part;
use crate::request::{LoadOptions, Precision};
use crate::residency::{Placed, Placement, Residency};
use crate::text::TextEncoder;

/// A model folder whose configuration has been read and whose networks can be loaded.
#[derive(Debug)]
pub struct Parts {
    folder: PathBuf,
    files: ModelFolder,
    options: LoadOptions,
    placement: Placement,
}

impl Parts {
    /// Reads configuration and headers; loads no weights. Sets the number of threads for the whole
    /// process. Networks stay on the device unless the options say otherwise.
    ///
    /// # Errors
    /// A configuration is missing or wrong, or the device is not there.
    pub fn open(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        let files = ModelFolder::open(folder)?;
        set_threads(options.threads)?;
        let placement = Placement {
            device: device(options.device)?,
            kind: kind(options.precision),
            weights: options.weights,
            residency: options.residency.unwrap_or_default(),
        };
        Ok(Self {
            folder: folder.to_owned(),
            files,
            options: options.clone(),
            placement,
        })
    }

    /// From now on networks are placed by this policy.
    pub fn set_residency(&mut self, residency: Residency) {
        self.placement.residency = residency;
    }

    /// The shapes of all networks.
    #[must_use]
    pub fn config(&self) -> &WanConfig {
        self.files.config()
    }

    /// The device that networks compute on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.placement.device
    }

    /// How networks are loaded.
    #[must_use]
    pub fn options(&self) -> &LoadOptions {
        &self.options
    }

    /// The file that says how far the noise levels lean, where the folder should have one and has not.
    #[must_use]
    pub fn missing_scheduler(&self) -> Option<PathBuf> {
        self.files.missing_scheduler()
    }

    /// Tokenizer and text encoder.
    ///
    /// # Errors
    /// A file is missing or broken, or the weights do not fit the configuration.
    pub fn text_encoder(&self) -> Result<TextEncoder, LoadError> {
        let (device, kind) = (self.placement.load_device(), self.placement.kind);
        let weights = self.files.weights(Part::TextEncoder, device, kind)?;
        let config = &self.config().text_encoder;
        TextEncoder::load(self.files.tokenizer(), &weights, config, &self.placement)
    }

    /// The image encoder, in families that have one.
    ///
    /// # Errors
    /// The transformer needs one that is not there, or the weights do not fit the configuration.
    pub fn image_encoder(&self) -> Result<Option<Placed<ClipVisionEncoder>>, LoadError> {
        let Some(config) = &self.config().image_encoder else {
            if self.config().transformer.has_image_branch() {
                let reason = "the transformer has an image branch, but there is no image_encoder";
                return Err(LoadError::config(&self.folder, reason));
            }
            return Ok(None);
        };
        let part = LoadError::weights(Part::ImageEncoder.name());
        let (device, kind) = (self.placement.load_device(), self.placement.kind);
        let weights = self.files.weights(Part::ImageEncoder, device, kind)?;
        let network = ClipVisionEncoder::load(&weights, config).map_err(&part)?;
        weights.finish().map_err(&part)?;
        Ok(Some(self.placement.place(network)?))
    }

    /// The diffusion transformer.
    ///
    /// # Errors
    /// The weights do not fit the configuration.
    pub fn transformer(&self) -> Result<Placed<WanTransformer>, LoadError> {
        let part = LoadError::weights(Part::Transformer.name());
        let (device, kind) = (self.placement.load_device(), self.placement.kind);
        let weights = self.files.weights(Part::Transformer, device, kind)?;
        let config = &self.config().transformer;
        let network = WanTransformer::load_as(&weights, config, self.placement.weights);
        let network = network.map_err(&part)?;
        weights.finish().map_err(&part)?;
        Ok(self.placement.place(network)?)
    }

    /// The video autoencoder, which always computes in 32-bit floats.
    ///
    /// # Errors
    /// The weights do not fit the configuration.
    pub fn vae(&self) -> Result<Placed<WanVae>, LoadError> {
        let part = LoadError::weights(Part::Vae.name());
        let device = self.placement.load_device();
        let weights = self.files.weights(Part::Vae, device, Kind::Float)?;
        let network = WanVae::load(&weights, &self.config().vae).map_err(&part)?;
        weights.finish().map_err(&part)?;
        Ok(self.placement.place(network)?)
    }

    /// What the memory estimate says of denoising latents of this size, `[1, c, f, h, w]`.
    #[must_use]
    pub fn denoise_bytes(&self, latents: &[i64], is_guided: bool) -> u64 {
        let config = &self.config().transformer;
        let side = |axis: usize| latents.get(axis).map_or(0, |side| side.unsigned_abs());
        let size = LatentSize {
            frames: side(2),
            height: side(3),
            width: side(4),
        };
        let is_small = activations::tokens(config, size) <= MAX_PAIRED_TOKENS.unsigned_abs();
        let batch = if is_guided && is_small { 2 } else { 1 };
        let compute = match self.options.precision {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        };
        let count = WeightCount::of_transformer(config);
        let prompts = if is_guided { 2 } else { 1 };
        let cache = if self.options.step_cache > 0.0 {
            activations::step_cache(config, size, prompts)
        } else {
            0
        };
        let image = config.pos_embed_seq_len.unwrap_or_default().unsigned_abs();
        let live = activations::denoise(config, size, batch, image, compute)
            + cache
            + count.temporary_bytes(compute, self.placement.weights);
        let is_cpu = self.placement.device == Device::Cpu;
        count.bytes(compute, self.placement.weights) + with_margin(live, is_cpu)
    }

    /// SHA-256 in hexadecimal of every file that decides what the model generates, by name relative
    /// to the folder, sorted.
    ///
    /// # Errors
    /// A file is missing or cannot be read.
    pub fn digests(&self) -> Result<Vec<(String, String)>, LoadError> {
        let files = self.files.files();
        let digests = sha256_hex_of_all(&files)?;
        let name = |file: &PathBuf| {
            let name = file.strip_prefix(&self.folder).unwrap_or(file);
            name.to_string_lossy().into_owned()
        };
        Ok(files.iter().map(name).zip(digests).collect())
    }
}
