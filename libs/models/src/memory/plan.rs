//! The fastest way to serve a request within a limit, or what would fit instead.

use kinora_nn::WeightFormat;

use super::estimate::{Choice, given_size, latent_size};
use super::{ClipSize, Estimate, MemoryOptions, activations, readable, size};
use crate::config::WanConfig;
use crate::residency::Residency;
use crate::wan::vae::Tiling;

/// Up to this many tokens both prompts go through the network as a batch of two. That takes 0.77 of
/// the time of two passes on a clip of 80 tokens (CPU, one thread); large clips keep the device busy
/// one by one, and a pair would only double their memory.
pub const MAX_PAIRED_TOKENS: i64 = 4096;

/// How to serve a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Where the weights are.
    pub residency: Residency,
    /// The tiles in which given pictures are encoded; whole pictures when absent.
    pub encode_tiling: Option<Tiling>,
    /// The tiles in which the clip is decoded; whole pictures when absent.
    pub tiling: Option<Tiling>,
    /// Whether both prompts go through the transformer at once.
    pub batch_cfg: bool,
    /// What that takes.
    pub estimate: Estimate,
}

/// No allowed policy fits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "needs {} of memory, {} are available; {advice}",
    readable(*needed_bytes),
    readable(*available_bytes)
)]
pub struct DoesNotFit {
    /// The least that an allowed policy needs.
    pub needed_bytes: u64,
    /// The limit.
    pub available_bytes: u64,
    /// What to change so that it fits.
    pub advice: String,
}

/// Picks the first plan that stays within `limit_bytes`: resident before offload before block swap,
/// pictures before tiles, a pair of prompts before one by one.
///
/// # Errors
/// [`DoesNotFit`], with the change that would help most.
pub fn plan(
    config: &WanConfig,
    clip: ClipSize,
    options: &MemoryOptions,
    limit_bytes: u64,
) -> Result<MemoryPlan, DoesNotFit> {
    let mut needed_bytes = u64::MAX;
    for choice in choices(config, clip, options) {
        let estimate = Estimate::new(config, clip, options, choice);
        if estimate.total <= limit_bytes {
            return Ok(MemoryPlan {
                residency: choice.residency,
                encode_tiling: choice.encode_tile.map(|_| Tiling::default()),
                tiling: choice.tile.map(|_| Tiling::default()),
                batch_cfg: choice.batch > 1,
                estimate,
            });
        }
        needed_bytes = needed_bytes.min(estimate.total);
    }
    Err(DoesNotFit {
        needed_bytes,
        available_bytes: limit_bytes,
        advice: advice(config, clip, options, limit_bytes),
    })
}

/// All allowed choices, the fastest first. On the processor weights are in the memory that counts
/// wherever they rest, so other policies than resident only count when they are asked for.
fn choices(config: &WanConfig, clip: ClipSize, options: &MemoryOptions) -> Vec<Choice> {
    let policies = match options.residency {
        Some(residency) => vec![residency],
        None if options.is_cpu => vec![Residency::Resident],
        None => Residency::ALL.to_vec(),
    };
    let tile = size(Tiling::default().tile());
    let latents = latent_size(config, clip);
    let is_large = latents.height.max(latents.width) > tile;
    let tiles_if = |is_useful: bool| {
        if is_useful {
            vec![None, Some(tile)]
        } else {
            vec![None]
        }
    };
    let encode_tiles = tiles_if(is_large && given_size(config, latents).is_some());
    let tokens = activations::tokens(&config.transformer, latents);
    let is_pair = options.is_guided && tokens <= size(MAX_PAIRED_TOKENS);
    let batches = if is_pair { vec![2, 1] } else { vec![1] };
    let mut choices = Vec::new();
    for residency in policies {
        for &encode_tile in &encode_tiles {
            for tile in tiles_if(is_large) {
                choices.extend(batches.iter().map(|&batch| Choice {
                    residency,
                    encode_tile,
                    tile,
                    batch,
                }));
            }
        }
    }
    choices
}

/// What the leanest allowed choice takes.
pub(super) fn least_bytes(config: &WanConfig, clip: ClipSize, options: &MemoryOptions) -> u64 {
    let choices = choices(config, clip, options).into_iter();
    let totals = choices.map(|choice| Estimate::new(config, clip, options, choice).total);
    totals.min().unwrap_or_default()
}

/// Whether any allowed choice fits.
fn fits(config: &WanConfig, clip: ClipSize, options: &MemoryOptions, limit_bytes: u64) -> bool {
    choices(config, clip, options)
        .into_iter()
        .any(|choice| Estimate::new(config, clip, options, choice).total <= limit_bytes)
}

/// The smallest change that makes the request fit: another policy, another format, another compute
/// type, all of them, fewer frames, a smaller picture.
fn advice(config: &WanConfig, clip: ClipSize, options: &MemoryOptions, limit_bytes: u64) -> String {
    let is_fixed = options
        .residency
        .is_some_and(|policy| policy != Residency::BlockSwap);
    let freed = MemoryOptions {
        residency: if options.is_cpu {
            Some(Residency::Resident)
        } else {
            None
        },
        ..*options
    };
    if is_fixed && fits(config, clip, &freed, limit_bytes) {
        return match plan(config, clip, &freed, limit_bytes) {
            Ok(plan) => format!("it fits with --residency {}", plan.residency),
            Err(refusal) => refusal.advice,
        };
    }
    for format in [WeightFormat::Int8, WeightFormat::Fp8] {
        let smaller = MemoryOptions {
            weights: format,
            ..*options
        };
        if options.weights == WeightFormat::Native && fits(config, clip, &smaller, limit_bytes) {
            return "it fits with --weights fp8 or --weights int8".to_owned();
        }
    }
    smaller_clip(config, clip, options, limit_bytes).unwrap_or_else(|| {
        let smallest = smallest_clip(config, clip);
        let least = readable(least_bytes(config, smallest, options));
        format!("even the smallest clip of this model needs {least}")
    })
}

/// The longest clip of this size that fits, or the largest picture of this shape.
fn smaller_clip(
    config: &WanConfig,
    clip: ClipSize,
    options: &MemoryOptions,
    limit_bytes: u64,
) -> Option<String> {
    let stride = u32::try_from(config.vae.temporal_stride())
        .unwrap_or(1)
        .max(1);
    let mut frames = clip.frames;
    while frames > stride {
        frames -= stride;
        if fits(config, ClipSize { frames, ..clip }, options, limit_bytes) {
            let (width, height) = (clip.width, clip.height);
            return Some(format!("{frames} frames of {width}x{height} would fit"));
        }
    }
    let multiple = u32::try_from(config.size_multiple()).unwrap_or(1).max(1);
    let mut width = clip.width;
    while width > multiple {
        width -= multiple;
        let height = u64::from(clip.height) * u64::from(width) / u64::from(clip.width.max(1));
        let height = u32::try_from(height).unwrap_or(u32::MAX) / multiple * multiple;
        let smaller = ClipSize {
            width,
            height: height.max(multiple),
            frames: clip.frames,
        };
        if fits(config, smaller, options, limit_bytes) {
            let (height, frames) = (smaller.height, smaller.frames);
            return Some(format!("{frames} frames of {width}x{height} would fit"));
        }
    }
    None
}

/// One frame of the fewest pixels.
fn smallest_clip(config: &WanConfig, clip: ClipSize) -> ClipSize {
    let side = u32::try_from(config.size_multiple()).unwrap_or(1);
    ClipSize {
        width: side.min(clip.width),
        height: side.min(clip.height),
        frames: 1,
    }
}

#[cfg(test)]
mod tests;
