//! Denoising from and to tensor files.

use std::time::Instant;

use tch::{Device, Tensor};

use super::files::Inputs;
use super::{DenoiseSettings, StageError};
use crate::error::GenerateError;
use crate::text::MAX_TOKENS;
use crate::wan::{DenoisePlan, Denoising, GivenFrames, Parts, WanTransformer};

/// The tensors that a denoising starts from, checked against the model.
pub(super) struct DenoiseInputs {
    pub(super) noise: Tensor,
    prompt: Tensor,
    negative: Option<Tensor>,
    given: Option<GivenFrames>,
}

impl DenoiseInputs {
    pub(super) fn read(inputs: &Inputs, parts: &Parts) -> Result<Self, StageError> {
        let device = parts.device();
        let noise = inputs.float("noise", 5)?.f_to_device(device)?;
        let config = &parts.config().transformer;
        let ([_, height, width], size) = (config.patch_size, noise.size());
        if size[..2] != [1, config.out_channels]
            || noise.numel() == 0
            || size[3] % height != 0
            || size[4] % width != 0
        {
            let reason = format!(
                "has shape {size:?}, must be [1, {}, f, h, w], h and w multiples of {height} and {width}",
                config.out_channels
            );
            return Err(GenerateError::invalid("noise", reason).into());
        }
        let text = |name| -> Result<Option<Tensor>, StageError> {
            let Some(embeds) = inputs.optional_float(name, 3)? else {
                return Ok(None);
            };
            let size = embeds.size();
            let most = i64::try_from(MAX_TOKENS).unwrap_or(i64::MAX);
            if size[0] != 1 || size[2] != config.text_dim || !(1..=most).contains(&size[1]) {
                let reason = format!(
                    "has shape {size:?}, must be [1, 1 to {most}, {}]",
                    config.text_dim
                );
                return Err(GenerateError::invalid(name, reason).into());
            }
            let embeds = without_padding(&embeds.f_squeeze_dim(0)?)?;
            Ok(Some(embeds.f_to_device(device)?))
        };
        let prompt = text("prompt_embeds")?.ok_or_else(|| inputs.missing("prompt_embeds"))?;
        Ok(Self {
            prompt,
            negative: text("negative_prompt_embeds")?,
            given: given_frames(inputs, parts, &size)?,
            noise,
        })
    }

    pub(super) fn run(
        &self,
        network: &WanTransformer,
        parts: &Parts,
        settings: &DenoiseSettings,
        on_step: &mut dyn FnMut(u32),
    ) -> Result<Finished, GenerateError> {
        if settings.guidance > 1.0 && self.negative.is_none() {
            let reason = "must be given with a guidance above 1";
            return Err(GenerateError::invalid("negative_prompt_embeds", reason));
        }
        let scheduler = &parts.config().scheduler;
        let plan = DenoisePlan {
            prompt: &self.prompt,
            negative: self.negative.as_ref(),
            given: self.given.as_ref(),
            guidance: settings.guidance,
            steps: settings.steps,
            sampler: settings.sampler,
            grid: settings.grid,
            shift: settings.shift.unwrap_or(scheduler.flow_shift),
            train_timesteps: scheduler.num_train_timesteps,
            step_cache: parts.options().step_cache,
            pairs: true,
        };
        let mut denoising = Denoising::begin(network, plan, &self.noise, None)?;
        let (mut after_each, mut seconds) = (Vec::new(), Vec::new());
        let mut begun = Instant::now();
        while denoising.step(&|| false).unwrap_or(false) {
            // The copy waits for the device.
            after_each.push(denoising.state().latents.f_to_device(Device::Cpu)?.copy());
            seconds.push(begun.elapsed().as_secs_f64());
            begun = Instant::now();
            on_step(denoising.finished_steps());
        }
        Ok(Finished {
            after_each,
            latents: denoising.latents(),
            seconds,
        })
    }
}

/// What a denoising left behind.
pub(super) struct Finished {
    pub(super) after_each: Vec<Tensor>,
    /// To be decoded.
    pub(super) latents: Tensor,
    /// What each step took.
    seconds: Vec<f64>,
}

impl Finished {
    pub(super) fn median_step_seconds(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

/// Embeddings `[s, d]` without the zeros after their end, which the network adds by itself.
fn without_padding(embeds: &Tensor) -> Result<Tensor, StageError> {
    let is_used = embeds.f_abs()?.f_amax([1].as_slice(), false)?.f_gt(0.0)?;
    let is_used = Vec::<bool>::try_from(is_used)?;
    let used = is_used
        .iter()
        .rposition(|&used| used)
        .map_or(1, |last| last + 1);
    Ok(embeds.f_narrow(0, 0, i64::try_from(used).unwrap_or(1))?)
}

/// What the file says of given frames, in the form that the model wants.
fn given_frames(
    inputs: &Inputs,
    parts: &Parts,
    noise: &[i64],
) -> Result<Option<GivenFrames>, StageError> {
    let Some(latents) = inputs.optional_float("image_latents", 5)? else {
        return Ok(None);
    };
    let (config, size) = (parts.config(), latents.size());
    let [channels, extra] = [
        config.transformer.out_channels,
        config.transformer.in_channels - config.transformer.out_channels,
    ];
    let whole = [noise[2], noise[3], noise[4]];
    let first = [1, noise[3], noise[4]];
    let fits_space = size[0] == 1 && (size[2..] == whole || size[2..] == first);
    let has_mask = extra > 0 && size[1] == extra && size[2..] == whole;
    let is_plain = size[1] == channels && (extra == 0 || size[2..] == whole);
    if !fits_space || !(has_mask || is_plain) {
        let reason = format!("has shape {size:?}, which does not fit this model and the noise");
        return Err(GenerateError::invalid("image_latents", reason).into());
    }
    let latents = latents.f_to_device(parts.device())?;
    if extra == 0 {
        return Ok(Some(GivenFrames::First(latents.f_narrow(2, 0, 1)?)));
    }
    let latents = if has_mask {
        latents
    } else {
        let has_last = config.transformer.pos_embed_seq_len.is_some();
        GivenFrames::with_mask(&latents, config.vae.temporal_stride(), has_last)?
    };
    let tokens = inputs.optional_float("image_embeds", 3)?;
    let tokens = tokens.map(|tokens| tokens.f_flatten(0, 1)?.f_to_device(parts.device()));
    Ok(Some(GivenFrames::Channels {
        channels: latents,
        tokens: tokens.transpose()?,
    }))
}
