//! A loaded Wan model and the stages of a generation.

mod checkpoint;
mod denoise;
mod fitting;
mod given;
mod load;
mod pixels;
mod preview;
mod surroundings;
mod validate;

use std::cell::{Cell, OnceCell};
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use super::{
    CancelCheck, Cancelled, DenoisePlan, DenoiseState, Family, GivenFrames, WanTransformer, WanVae,
};
use crate::card::ModelCard;
use crate::clip::ClipVisionEncoder;
use crate::config::WanConfig;
use crate::error::GenerateError;
use crate::guard::guarded;
use crate::memory::MemoryPlan;
use crate::request::{Clip, Control, GenerateRequest, Progress, Signal, Stage};
use crate::residency::Placed;
use crate::text::TextEncoder;
use crate::wan::vae::Tiling;

pub use fitting::Forecast;
pub use surroundings::Surroundings;

use self::denoise::{Denoised, hand_over};
use self::fitting::Budget;
use self::pixels::{from_clip, to_clip};
use self::preview::PreviewMap;

/// Held while noise is drawn: libtorch has one generator for the whole process, and nobody else may
/// seed it in between.
static GENERATOR: Mutex<()> = Mutex::new(());

/// A loaded model. One thread owns it; after any error it can generate again.
pub struct WanPipeline {
    card: ModelCard,
    config: WanConfig,
    digests: Vec<(String, String)>,
    text: TextEncoder,
    /// Only in families that look at pictures.
    image_encoder: Option<Placed<ClipVisionEncoder>>,
    transformer: Placed<WanTransformer>,
    vae: Placed<WanVae>,
    budget: Budget,
    device: Device,
    /// What besides the request decides the bytes of a clip.
    surroundings: Surroundings,
    /// Latents to colours, found at the first preview; none when that failed.
    preview: OnceCell<Option<PreviewMap>>,
}

/// A generated clip and what is known of how it came about.
#[derive(Clone, Debug)]
pub struct Rendering {
    /// The frames.
    pub clip: Clip,
    /// SHA-256 of the final latents as 32-bit floats in row-major order, in hexadecimal.
    pub latents_sha256: String,
    /// Whether both prompts went through the transformer at once.
    pub pairs: bool,
    /// Side and overlap of the autoencoder's tiles in latent positions; none for whole pictures.
    pub tiles: Option<[i64; 2]>,
    /// [`WanPipeline::fingerprint`] of the request.
    pub fingerprint: String,
    /// The step of the checkpoint that the generation went on from; 0 when it began anew.
    pub resumed_step: u32,
}

impl std::fmt::Debug for WanPipeline {
    /// The id only: networks are long.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "WanPipeline({})", self.card.id)
    }
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

    /// Generates a clip from the beginning.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn generate(
        &mut self,
        request: &GenerateRequest,
        control: &mut dyn Control,
    ) -> Result<Clip, GenerateError> {
        Ok(self.render(request, None, control)?.clip)
    }

    /// Generates a clip, from a checkpoint of the same request if there is one.
    ///
    /// Deterministic: requests of one [`Self::fingerprint`] give the same bytes, resumed or not, in
    /// this process or another. A checkpoint that does not belong to the request or is damaged is
    /// reported to the control and ignored.
    ///
    /// # Errors
    /// `Invalid` and `DoesNotFit` before any work is done; `Cancelled` or `Paused` soon after the control says so;
    /// `NotFinite`, `OutOfMemory` and `Engine` from the device.
    pub fn render(
        &mut self,
        request: &GenerateRequest,
        checkpoint: Option<&[u8]>,
        control: &mut dyn Control,
    ) -> Result<Rendering, GenerateError> {
        self.validate(request)?;
        let memory = self.plan_memory(request)?;
        guarded(|| self.run(request, &memory, checkpoint, control))
    }

    #[cfg(test)]
    pub(super) fn transformer(&self) -> &Placed<WanTransformer> {
        &self.transformer
    }

    /// The shapes of all networks.
    #[must_use]
    pub fn config(&self) -> &WanConfig {
        &self.config
    }

    /// The family, which decides what pictures a request needs or may have.
    #[must_use]
    pub fn family(&self) -> Family {
        self.config.family()
    }

    /// SHA-256 in hexadecimal of everything that decides the bytes of the clip: the request, the
    /// model's files, the precision, the kind of machine and what its memory makes necessary. A
    /// checkpoint is good for its own fingerprint only.
    ///
    /// # Errors
    /// `DoesNotFit`.
    pub fn fingerprint(&self, request: &GenerateRequest) -> Result<String, GenerateError> {
        Ok(self.fingerprint_of(request, &self.plan_memory(request)?))
    }

    fn fingerprint_of(&self, request: &GenerateRequest, memory: &MemoryPlan) -> String {
        checkpoint::fingerprint(request, &self.digests, &self.surroundings, memory)
    }

    /// What besides the request and the model's files decides the bytes of a clip.
    #[must_use]
    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
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
        let shape = [1, self.config.vae.z_dim, latent_frames, rows, columns];
        Ok(seeded_noise(&shape, seed)?.f_to_device(self.device)?)
    }

    /// How a request is denoised.
    #[must_use]
    pub fn plan<'a>(
        &self,
        request: &GenerateRequest,
        prompt: &'a Tensor,
        negative: Option<&'a Tensor>,
        given: Option<&'a GivenFrames>,
    ) -> DenoisePlan<'a> {
        let shift = self.card.defaults.shift;
        DenoisePlan {
            prompt,
            negative,
            given,
            guidance: request.guidance,
            steps: request.steps,
            sampler: request.sampler,
            grid: request.grid,
            shift: shift.unwrap_or(self.config.scheduler.flow_shift),
            train_timesteps: self.config.scheduler.num_train_timesteps,
            step_cache: self.surroundings.step_cache,
            pairs: true,
        }
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
        let denoised = guarded(|| self.denoise_steps(plan, noise, None, "", control));
        denoised.map(|denoised| denoised.latents)
    }

    /// Decodes latents to pixels.
    ///
    /// # Shapes
    /// latents `[1, c, f, h, w]`
    ///
    /// # Errors
    /// `Cancelled`, polled between chunks, otherwise from the device.
    pub fn decode(&self, latents: &Tensor, control: &dyn Control) -> Result<Clip, GenerateError> {
        guarded(|| to_clip(&self.decode_frames(latents, self.tiling_for(latents), control)?))
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
            stoppable(control, |stop| vae.encode(&frames, stop))
        })
    }

    fn run(
        &mut self,
        request: &GenerateRequest,
        memory: &MemoryPlan,
        checkpoint: Option<&[u8]>,
        control: &mut dyn Control,
    ) -> Result<Rendering, GenerateError> {
        let fingerprint = self.fingerprint_of(request, memory);
        report(control, Stage::Encoding, 0, 1);
        let prompt = self.text.encode(&request.prompt)?;
        let guided = request.guidance > 1.0;
        let negative = guided
            .then(|| self.text.encode(&request.negative_prompt))
            .transpose()?;
        let given = self.given_frames(request, control)?;
        self.synchronize();
        report(control, Stage::Encoding, 1, 1);
        let (width, height, frames) = (request.width, request.height, request.frames);
        let noise = self.initial_noise(width, height, frames, request.seed)?;
        let plan = DenoisePlan {
            pairs: memory.batch_cfg,
            ..self.plan(request, &prompt, negative.as_ref(), given.as_ref())
        };
        let start = self.usable(checkpoint, &fingerprint, &noise, control);
        let resumed_step = start.as_ref().map_or(0, |state| state.solver.step);
        let Denoised { latents, state } =
            self.denoise_steps(&plan, &noise, start, &fingerprint, control)?;
        report(control, Stage::Decoding, 0, 1);
        let pixels = self.decode_frames(&latents, memory.tiling, control);
        if let Err(GenerateError::Paused) = pixels {
            hand_over(&state, request.steps, &fingerprint, control)?;
        }
        let pixels = pixels?;
        let clip = to_clip(&pixels)?;
        report(control, Stage::Decoding, 1, 1);
        Ok(Rendering {
            clip,
            latents_sha256: checkpoint::tensor_sha256(&latents)?,
            pairs: memory.batch_cfg,
            tiles: memory
                .tiling
                .map(|tiling| [tiling.tile(), tiling.overlap()]),
            fingerprint,
            resumed_step: u32::try_from(resumed_step).unwrap_or(u32::MAX),
        })
    }

    /// Latents `[1, c, f, h, w]` to frames `[f, 3, h, w]` from -1 to 1.
    fn decode_frames(
        &self,
        latents: &Tensor,
        tiling: Option<Tiling>,
        control: &dyn Control,
    ) -> Result<Tensor, GenerateError> {
        let vae = self.vae.enter()?;
        stoppable(control, |stop| match tiling {
            Some(tiling) => vae.decode_tiled(latents, tiling, stop),
            None => vae.decode(latents, stop),
        })
    }

    /// Reads a checkpoint, or says why it cannot be used.
    fn usable(
        &self,
        checkpoint: Option<&[u8]>,
        fingerprint: &str,
        noise: &Tensor,
        control: &mut dyn Control,
    ) -> Option<DenoiseState> {
        match checkpoint::read(checkpoint?, fingerprint, &noise.size(), self.device) {
            Ok(state) => Some(state),
            Err(reason) => {
                control.checkpoint_refused(&reason);
                None
            }
        }
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

/// Runs a network that can be stopped, and says why it was.
fn stoppable<T>(
    control: &dyn Control,
    network: impl FnOnce(CancelCheck<'_>) -> Result<T, Cancelled>,
) -> Result<T, GenerateError> {
    let reason = Cell::new(GenerateError::Cancelled);
    let is_stopped = || match control.signal() {
        Signal::GoOn => false,
        Signal::Pause => {
            reason.set(GenerateError::Paused);
            true
        }
        Signal::Cancel => true,
    };
    let result = network(&is_stopped);
    result.map_err(|Cancelled| reason.into_inner())
}

fn report(control: &mut dyn Control, stage: Stage, step: u32, steps: u32) {
    control.progress(Progress { stage, step, steps });
}
