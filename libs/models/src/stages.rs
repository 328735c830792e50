//! Single stages of a model, from tensor file to tensor file: the public way to compare with another
//! implementation.
//!
//! Files are safetensors. Only the parts of the model that a stage needs are loaded. All outputs are
//! 32-bit floats.

mod denoising;
mod files;

use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};

use self::denoising::DenoiseInputs;
use self::files::{read_tensors, write_tensors};
use crate::error::{GenerateError, LoadError};
use crate::guard::guarded;
use crate::request::LoadOptions;
use crate::sampler::{Sampler, SigmaGrid};
use crate::text::MAX_TOKENS;
use crate::wan::Parts;

/// Why a stage did not run.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The model cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The stage failed.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// An input or output file cannot be read or written, or lacks a tensor.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl From<tch::TchError> for StageError {
    fn from(error: tch::TchError) -> Self {
        Self::Generate(error.into())
    }
}

/// How to denoise.
#[derive(Clone, Copy, Debug)]
pub struct DenoiseSettings {
    /// Number of steps, 1 to 1000.
    pub steps: u32,
    /// Guidance scale, 0 to 1000; 1 or less ignores the negative prompt.
    pub guidance: f64,
    /// How far the noise levels lean, 0.01 to 1000; what the model says when absent.
    pub shift: Option<f64>,
    /// The solver.
    pub sampler: Sampler,
    /// The noise levels.
    pub grid: SigmaGrid,
    /// Whether the latents are decoded at the end, which needs the autoencoder.
    pub decode: bool,
}

/// What a denoising took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DenoiseReport {
    /// By the clock.
    pub median_step_seconds: f64,
    /// What the memory estimate says that weights and activations take on the device.
    pub estimated_bytes: u64,
}

/// Denoises what a file holds and writes what became of it.
///
/// Inputs: `noise` `[1, c, f, h, w]`, `prompt_embeds` `[1, s, d]` with s up to 512, for guidance above
/// 1 `negative_prompt_embeds` alike, for models that take pictures `image_latents`, which are
/// `[1, 4 + c, f, h, w]` with the mask first, or without it `[1, c, f, h, w]`, or of the first frame
/// alone `[1, c, 1, h, w]`, and `image_embeds` `[1, tokens, width]`.
/// Outputs: `latents` `[steps, 1, c, f, h, w]`, the latents after every step, and `frames`
/// `[f, h, w, 3]` from 0 to 1. `on_step` is called after every step.
///
/// # Errors
/// [`StageError`], naming the file, tensor or setting.
pub fn denoise(
    model: &Path,
    options: &LoadOptions,
    settings: &DenoiseSettings,
    [inputs, outputs]: [&Path; 2],
    on_step: &mut dyn FnMut(u32),
) -> Result<DenoiseReport, StageError> {
    settings.check()?;
    let parts = Parts::open(model, options)?;
    let inputs = read_tensors(inputs)?;
    let case = DenoiseInputs::read(&inputs, &parts)?;
    let network = parts.transformer()?;
    let finished = guarded(|| case.run(&*network.enter()?, &parts, settings, on_step))?;
    drop(network);
    let mut tensors = Vec::new();
    if settings.decode {
        tensors.push(("frames", decoded(&parts, &finished.latents)?));
    }
    tensors.push(("latents", Tensor::f_stack(&finished.after_each, 0)?));
    write_tensors(outputs, &tensors)?;
    Ok(DenoiseReport {
        median_step_seconds: finished.median_step_seconds(),
        estimated_bytes: parts.denoise_bytes(&case.noise.size(), settings.guidance > 1.0),
    })
}

/// Encodes texts: `embeds` `[n, 512, d]` with zeros after each text's end, and `lengths` `[n]`.
///
/// # Errors
/// [`StageError`], naming the file or text.
pub fn encode_text(
    model: &Path,
    options: &LoadOptions,
    texts: &[String],
    outputs: &Path,
) -> Result<(), StageError> {
    let mut encoder = Parts::open(model, options)?.text_encoder()?;
    let (mut embeds, mut lengths) = (Vec::new(), Vec::new());
    for text in texts {
        let embedding = guarded(|| encoder.encode(text))?.f_to_kind(Kind::Float)?; // [s, d]
        let length = embedding.size()[0];
        let padding = i64::try_from(MAX_TOKENS).unwrap_or(length) - length;
        embeds.push(embedding.f_constant_pad_nd([0, 0, 0, padding])?);
        lengths.push(length as f32);
    }
    let embeds = Tensor::f_stack(&embeds, 0)?;
    let lengths = Tensor::from_slice(&lengths);
    write_tensors(outputs, &[("embeds", embeds), ("lengths", lengths)])
}

/// Decodes `latents` `[1, c, f, h, w]` to `frames` `[f, h, w, 3]` from 0 to 1.
///
/// # Errors
/// [`StageError`], naming the file or tensor.
pub fn decode(
    model: &Path,
    options: &LoadOptions,
    [inputs, outputs]: [&Path; 2],
) -> Result<(), StageError> {
    let parts = Parts::open(model, options)?;
    let latents = read_tensors(inputs)?.float("latents", 5)?;
    let channels = parts.config().vae.z_dim;
    if latents.size()[..2] != [1, channels] || latents.numel() == 0 {
        let reason = format!(
            "has shape {:?}, must be [1, {channels}, f, h, w]",
            latents.size()
        );
        return Err(GenerateError::invalid("latents", reason).into());
    }
    write_tensors(outputs, &[("frames", decoded(&parts, &latents)?)])
}

/// Encodes `frames` `[f, h, w, 3]` from 0 to 1 to normalised `latents` `[1, c, f', h', w']`.
///
/// # Errors
/// [`StageError`], naming the file or tensor.
pub fn encode(
    model: &Path,
    options: &LoadOptions,
    [inputs, outputs]: [&Path; 2],
) -> Result<(), StageError> {
    let parts = Parts::open(model, options)?;
    let frames = read_tensors(inputs)?.float("frames", 4)?;
    let vae = &parts.config().vae;
    let (side, stride) = (vae.spatial_stride(), vae.temporal_stride());
    let size = frames.size();
    let fits = size[3] == 3 && size[0] % stride == 1 % stride && frames.numel() > 0;
    if !fits || size[1] % side != 0 || size[2] % side != 0 {
        let reason = format!(
            "has shape {size:?}, must be [{stride}n + 1, h, w, 3], h and w multiples of {side}"
        );
        return Err(GenerateError::invalid("frames", reason).into());
    }
    let network = parts.vae()?;
    let latents = guarded(|| {
        let images = frames.f_permute([0, 3, 1, 2])?.f_contiguous()? * 2.0 - 1.0;
        let images = images.f_to_device(parts.device())?;
        network
            .enter()?
            .encode(&images, &|| false)
            .map_err(|_| GenerateError::Cancelled)
    })?;
    write_tensors(outputs, &[("latents", latents)])
}

impl DenoiseSettings {
    fn check(&self) -> Result<(), GenerateError> {
        if !(1..=1000).contains(&self.steps) {
            return Err(GenerateError::invalid("steps", "must be from 1 to 1000"));
        }
        if !(0.0..=1000.0).contains(&self.guidance) {
            return Err(GenerateError::invalid("guidance", "must be from 0 to 1000"));
        }
        if !(0.01..=1000.0).contains(&self.shift.unwrap_or(1.0)) {
            return Err(GenerateError::invalid("shift", "must be from 0.01 to 1000"));
        }
        Ok(())
    }
}

/// `[1, c, f, h, w]` to `[f, h, w, 3]` from 0 to 1.
fn decoded(parts: &Parts, latents: &Tensor) -> Result<Tensor, StageError> {
    let network = parts.vae()?;
    let frames = guarded(|| {
        let latents = latents.f_to_device(parts.device())?;
        let frames = network.enter()?.decode(&latents, &|| false); // [f, 3, h, w]
        let frames = frames.map_err(|_| GenerateError::Cancelled)?;
        Ok((frames * 0.5 + 0.5)
            .f_clamp(0.0, 1.0)?
            .f_permute([0, 2, 3, 1])?)
    })?;
    Ok(frames)
}
