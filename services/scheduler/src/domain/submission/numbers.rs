//! The numbers of a clip against what the model makes.

use std::ops::RangeInclusive;

use super::{Invalid, MAX_SEED, Stills};
use crate::domain::job::VideoSpec;
use crate::domain::model::ModelLimits;

/// Checks sizes, frames, steps, guidance and seed.
pub(super) fn check_numbers(
    spec: &VideoSpec,
    stills: Stills,
    limits: &ModelLimits,
) -> Result<(), Invalid> {
    check_side("width", spec.width, &limits.widths(), limits.size_multiple)?;
    check_side(
        "height",
        spec.height,
        &limits.heights(),
        limits.size_multiple,
    )?;
    // A last picture needs a latent frame of its own.
    let fewest = match stills.last {
        Some(_) => limits.frame_stride + 1,
        None => 1,
    };
    check_frames(spec.frames, fewest, limits)?;
    check_steps(spec.steps, limits)?;
    check_guidance(spec.guidance, limits)?;
    check_seed(spec.seed)
}

fn check_side(
    field: &'static str,
    value: u32,
    legal: &RangeInclusive<u32>,
    multiple: u32,
) -> Result<(), Invalid> {
    if legal.contains(&value) && value.is_multiple_of(multiple) {
        return Ok(());
    }
    let (lowest, highest) = (*legal.start(), *legal.end());
    let below = value / multiple * multiple;
    let nearest = around(below, below.saturating_add(multiple), lowest, highest);
    let message = format!(
        "the {field} must be a multiple of {multiple} from {lowest} to {highest}; nearest: {nearest}"
    );
    let invalid = Invalid::new("SIZE_INVALID", field, message);
    Err(invalid
        .with("nearest", nearest)
        .with("min", lowest)
        .with("max", highest))
}

fn check_frames(frames: u32, fewest: u32, limits: &ModelLimits) -> Result<(), Invalid> {
    let stride = limits.frame_stride;
    let highest = (limits.max_frames - 1) / stride * stride + 1;
    // A model of single frames has nothing else to offer.
    let fewest = fewest.min(highest);
    if (fewest..=highest).contains(&frames) && (frames - 1).is_multiple_of(stride) {
        return Ok(());
    }
    let below = frames.saturating_sub(1) / stride * stride + 1;
    let above = if frames == 0 {
        1
    } else {
        below.saturating_add(stride)
    };
    let nearest = around(below, above, fewest, highest);
    let message = format!(
        "frames must be a multiple of {stride}, plus one, from {fewest} to {highest}; nearest: {nearest}"
    );
    let invalid = Invalid::new("FRAMES_INVALID", "frames", message);
    Err(invalid.with("nearest", nearest).with("max", highest))
}

fn check_steps(steps: u32, limits: &ModelLimits) -> Result<(), Invalid> {
    let most = limits.max_steps;
    if (1..=most).contains(&steps) {
        return Ok(());
    }
    let message = format!("steps must be from 1 to {most}");
    let invalid = Invalid::new("STEPS_INVALID", "steps", message);
    Err(invalid
        .with("nearest", steps.clamp(1, most))
        .with("max", most))
}

fn check_guidance(guidance: f64, limits: &ModelLimits) -> Result<(), Invalid> {
    let most = limits.max_guidance;
    if guidance.is_finite() && (0.0..=most).contains(&guidance) {
        return Ok(());
    }
    let message = format!("guidance must be a number from 0 to {most}");
    Err(Invalid::new("GUIDANCE_INVALID", "guidance", message).with("max", most))
}

fn check_seed(seed: u64) -> Result<(), Invalid> {
    if seed <= MAX_SEED {
        return Ok(());
    }
    let message = format!("the seed must be from 0 to {MAX_SEED}");
    Err(Invalid::new("SEED_OUT_OF_RANGE", "seed", message).with("max", MAX_SEED))
}

/// The legal values next to an illegal one, below first: one of them where only one is legal.
fn around(below: u32, above: u32, lowest: u32, highest: u32) -> String {
    let (below, above) = (below.clamp(lowest, highest), above.clamp(lowest, highest));
    if below == above {
        below.to_string()
    } else {
        format!("{below},{above}")
    }
}
