//! A loaded Wan text-to-video model and the stages of a generation.

mod denoise;
mod fitting;
mod load;
mod validate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use super::{WanTransformer, WanVae};
use crate::card::ModelCard;
use crate::config::WanConfig;
use crate::error::GenerateError;
use crate::memory::{MAX_PAIRED_TOKENS, MemoryPlan};
use crate::request::{Clip, Control, GenerateRequest, Progress, Stage};
use crate::residency::Placed;
use crate::text::TextEncoder;

use self::fitting::Budget;
use super::vae::Tiling;

pub use denoise::DenoisePlan;

/// Held while noise is drawn: libtorch has one generator for the whole process, and nobody else may
/// seed it in between.
static GENERATOR: Mutex<()> = Mutex::new(());

/// A loaded model. One thread owns it; after any error it can generate again.
#[derive(Debug)]
pub struct WanPipeline {
    card: ModelCard,
    config: WanConfig,
    digests: Vec<(String, String)>,
    text: TextEncoder,
    transformer: Placed<WanTransformer>,
    vae: Placed<WanVae>,
    budget: Budget,
    device: Device,
}

impl WanPipeline {
    /// What the model is and what it may be asked.
    #[must_use]
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// The files the model was loaded from, relative to its folder, with their SHA-256 in
    /// hexadecimal, sorted by name.
    #[must_use]
    pub fn digests(&self) -> &[(String, String)] {
        &self.digests
    }

    /// Generates a clip.
    ///
    /// Deterministic: the same request gives the same bytes on the same machine and thread count.
    ///
    /// # Errors
    /// `Invalid` and `DoesNotFit` before any work is done; `Cancelled` soon after the control says so; `OutOfMemory`
    /// and `Engine` from the device.
    pub fn generate(
        &mut self,
        request: &GenerateRequest,
        control: &mut dyn Control,
    ) -> Result<Clip, GenerateError> {
        self.validate(request)?;
        let memory = self.plan_memory(request)?;
        guarded(|| self.run(request, &memory, control))
    }

    /// The embeddings of a prompt, without padding.
    ///
    /// # Shapes
    /// `[s, c]`
    ///
    /// # Errors
    /// `Invalid` if the tokenizer refuses the text, otherwise from the device.
    pub fn encode_prompt(&mut self, prompt: &str) -> Result<Tensor, GenerateError> {
        guarded(|| self.text.encode(prompt))
    }

    /// The noise a clip starts from. It is drawn on the CPU in 32-bit floats, so that a seed means
    /// the same on every device.
    ///
    /// # Shapes
    /// `[1, c, f, h, w]`
    ///
    /// # Errors
    /// libtorch could not allocate it.
    pub fn initial_noise(
        &self,
        width: u32,
        height: u32,
        frames: u32,
        seed: u64,
    ) -> Result<Tensor, GenerateError> {
        let [latent_frames, rows, columns] = self.latent_size(width, height, frames);
        let shape = [
            1,
            self.config.transformer.in_channels,
            latent_frames,
            rows,
            columns,
        ];
        Ok(seeded_noise(&shape, seed)?.f_to_device(self.device)?)
    }

    /// Runs the sampler from noise to latents.
    ///
    /// # Shapes
    /// noise and result `[1, c, f, h, w]` in 32-bit floats
    ///
    /// # Errors
    /// `Cancelled`, polled between transformer blocks, otherwise from the device.
    pub fn denoise(
        &self,
        plan: &DenoisePlan<'_>,
        noise: &Tensor,
        control: &mut dyn Control,
    ) -> Result<Tensor, GenerateError> {
        guarded(|| self.denoise_steps(plan, noise, MAX_PAIRED_TOKENS, control))
    }

    /// Decodes latents to pixels.
    ///
    /// # Shapes
    /// latents `[1, c, f, h, w]`
    ///
    /// # Errors
    /// `Cancelled`, polled between chunks, otherwise from the device.
    pub fn decode(&self, latents: &Tensor, control: &dyn Control) -> Result<Clip, GenerateError> {
        guarded(|| {
            let frames = self.decode_frames(latents, self.tiling_for(latents), control)?;
            to_clip(&frames)
        })
    }

    /// Encodes a clip to normalised latents.
    ///
    /// # Shapes
    /// result `[1, c, f, h, w]`
    ///
    /// # Errors
    /// `Invalid` if the clip's size or frame count does not fit, otherwise as [`Self::decode`].
    pub fn encode_video(
        &self,
        clip: &Clip,
        control: &dyn Control,
    ) -> Result<Tensor, GenerateError> {
        self.validate_size(clip.width, clip.height, clip.frames)?;
        guarded(|| {
            let frames = from_clip(clip)?.to_device(self.device);
            let vae = self.vae.enter()?;
            Ok(vae.encode(&frames, &|| control.is_cancelled())?)
        })
    }

    fn run(
        &mut self,
        request: &GenerateRequest,
        memory: &MemoryPlan,
        control: &mut dyn Control,
    ) -> Result<Clip, GenerateError> {
        report(control, Stage::Encoding, 0, 1);
        let prompt = self.text.encode(&request.prompt)?;
        let guided = request.guidance > 1.0;
        let negative = guided
            .then(|| self.text.encode(&request.negative_prompt))
            .transpose()?;
        self.synchronize();
        report(control, Stage::Encoding, 1, 1);
        let (width, height, frames) = (request.width, request.height, request.frames);
        let noise = self.initial_noise(width, height, frames, request.seed)?;
        let plan = DenoisePlan {
            prompt: &prompt,
            negative: negative.as_ref(),
            guidance: request.guidance,
            steps: request.steps,
            sampler: request.sampler,
            grid: request.grid,
        };
        let paired = if memory.batch_cfg {
            MAX_PAIRED_TOKENS
        } else {
            0
        };
        let latents = self.denoise_steps(&plan, &noise, paired, control)?;
        report(control, Stage::Decoding, 0, 1);
        let pixels = self.decode_frames(&latents, memory.tiling, control)?;
        let clip = to_clip(&pixels)?;
        report(control, Stage::Decoding, 1, 1);
        Ok(clip)
    }

    /// Latents `[1, c, f, h, w]` to frames `[f, 3, h, w]` from -1 to 1.
    fn decode_frames(
        &self,
        latents: &Tensor,
        tiling: Option<Tiling>,
        control: &dyn Control,
    ) -> Result<Tensor, GenerateError> {
        let vae = self.vae.enter()?;
        let is_cancelled = || control.is_cancelled();
        Ok(match tiling {
            Some(tiling) => vae.decode_tiled(latents, tiling, &is_cancelled)?,
            None => vae.decode(latents, &is_cancelled)?,
        })
    }

    /// Waits until the device has finished what it was given.
    fn synchronize(&self) {
        if let Device::Cuda(index) = self.device {
            tch::Cuda::synchronize(i64::try_from(index).unwrap_or_default());
        }
    }
}

/// Standard normal numbers on the CPU that depend on nothing but the seed.
fn seeded_noise(shape: &[i64], seed: u64) -> Result<Tensor, tch::TchError> {
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed.cast_signed());
    Tensor::f_randn(shape, (Kind::Float, Device::Cpu))
}

fn report(control: &mut dyn Control, stage: Stage, step: u32, steps: u32) {
    control.progress(Progress { stage, step, steps });
}

/// Runs one job without gradients and turns a panic of libtorch into an error.
fn guarded<T>(job: impl FnOnce() -> Result<T, GenerateError>) -> Result<T, GenerateError> {
    catch_unwind(AssertUnwindSafe(|| tch::no_grad(job)))
        .unwrap_or_else(|payload| Err(GenerateError::from_panic(payload.as_ref())))
}

/// Frames `[f, 3, h, w]` from -1 to 1, to bytes.
fn to_clip(frames: &Tensor) -> Result<Clip, GenerateError> {
    let bytes = (frames * 0.5 + 0.5)
        .clamp_(0.0, 1.0)
        .g_mul_scalar_(255.0)
        .round_();
    let bytes = bytes.permute([0, 2, 3, 1]).to_kind(Kind::Uint8); // [f, h, w, 3]
    let bytes = bytes.contiguous().to_device(Device::Cpu);
    let size = bytes.size();
    let side = |axis: usize| {
        u32::try_from(size[axis]).map_err(|error| GenerateError::Engine(error.to_string()))
    };
    let rgb = Vec::<u8>::try_from(bytes.flatten(0, -1))?;
    Ok(Clip {
        width: side(2)?,
        height: side(1)?,
        frames: side(0)?,
        rgb,
    })
}

/// Bytes to frames `[f, 3, h, w]` from -1 to 1.
fn from_clip(clip: &Clip) -> Result<Tensor, GenerateError> {
    let shape = [clip.frames, clip.height, clip.width, 3].map(i64::from);
    let bytes = Tensor::f_from_data_size(&clip.rgb, &shape, Kind::Uint8)?;
    let frames = bytes
        .permute([0, 3, 1, 2])
        .to_kind(Kind::Float)
        .contiguous();
    Ok(frames / 127.5 - 1.0)
}
