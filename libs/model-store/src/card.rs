//! The model card as a pull writes it: the shape of `kinora.json`, which the model crates read.
//!
//! This crate does not depend on those: they need libtorch. A test of the command reads every card with their reader.

use serde::{Deserialize, Serialize};

/// What a model is called, what it defaults to and how far requests may go.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Card {
    /// Name in requests.
    pub id: String,
    /// The family whose pipeline runs it, such as `wan-t2v`.
    pub family: String,
    /// Name for people.
    pub title: String,
    /// Licence of the weights, an SPDX expression where there is one.
    pub licence: String,
    /// What a request gets that says nothing.
    pub defaults: CardDefaults,
    /// How far a request may go.
    pub limits: CardLimits,
}

/// What a request gets that says nothing.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CardDefaults {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames.
    pub frames: u32,
    /// Frames per second of the finished clip.
    pub fps: u32,
    /// Denoising steps.
    pub steps: u32,
    /// Guidance scale.
    pub guidance: f64,
    /// How far the noise levels lean towards high noise, where the checkpoint has no file that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<f64>,
    /// What to avoid.
    #[serde(default)]
    pub negative_prompt: String,
    /// The solver.
    pub sampler: Sampler,
    /// The noise levels.
    pub grid: Grid,
}

/// The solver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampler {
    /// UniPC of order 2.
    UniPc,
    /// First-order Euler.
    Euler,
}

/// Where the noise levels lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grid {
    /// As in the model's own repository.
    Native,
    /// As in diffusers.
    Diffusers,
}

/// How far a request may go.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CardLimits {
    /// Pixels.
    pub min_width: u32,
    /// Pixels.
    pub max_width: u32,
    /// Pixels.
    pub min_height: u32,
    /// Pixels.
    pub max_height: u32,
    /// Frames.
    pub max_frames: u32,
    /// Denoising steps.
    pub max_steps: u32,
    /// Unicode scalar values of a prompt or negative prompt.
    pub max_prompt_chars: u32,
    /// Guidance scale.
    pub max_guidance: f64,
}

impl Card {
    /// What makes the defaults unacceptable under the limits, if anything does.
    #[must_use]
    pub(crate) fn objection(&self) -> Option<String> {
        let (defaults, limits) = (&self.defaults, &self.limits);
        let checks = [
            ("width", defaults.width, limits.min_width, limits.max_width),
            (
                "height",
                defaults.height,
                limits.min_height,
                limits.max_height,
            ),
            ("frames", defaults.frames, 1, limits.max_frames),
            ("steps", defaults.steps, 1, limits.max_steps),
            ("fps", defaults.fps, 1, 240),
        ];
        for (name, value, least, most) in checks {
            if !(least..=most).contains(&value) {
                return Some(format!(
                    "default {name} {value} is not within {least} to {most}"
                ));
            }
        }
        let is_within = (0.0..=limits.max_guidance).contains(&defaults.guidance);
        (!is_within).then(|| format!("default guidance {} is out of limits", defaults.guidance))
    }
}
