//! The model card: `kinora.json` in a model folder says what the model is and what it may be asked.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::{Checked, WanConfig, read_checked, within};
use crate::error::LoadError;
use crate::sampler::{Sampler, SigmaGrid};

/// Largest side of a clip that any card may allow, in pixels.
const MAX_SIDE: u32 = 8192;

/// What a model is called, what it defaults to and how far requests may go.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct ModelCard {
    /// Name in requests: lower-case letters, digits, `.`, `-` and `_`.
    pub id: String,
    /// The family whose pipeline runs it, such as `wan-t2v`.
    pub family: String,
    /// Name for people.
    pub title: String,
    /// Licence of the weights, an SPDX expression where there is one.
    pub licence: String,
    /// What a request gets that says nothing.
    pub defaults: Defaults,
    /// How far a request may go.
    pub limits: Limits,
    /// Words the model understands, if it only understands a few; empty means any text.
    #[serde(default)]
    pub vocabulary: Vec<String>,
    /// How prompts for it are written, where that is not how they are for its family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_family: Option<PromptFamily>,
    /// Width and height must be multiples of this. Derived from the configurations, not in the file.
    #[serde(default, skip_deserializing)]
    pub size_multiple: u32,
    /// Frames must be one more than a multiple of this. Derived, not in the file.
    #[serde(default, skip_deserializing)]
    pub frame_stride: u32,
}

/// For which kind of models a prompt is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptFamily {
    /// One short sentence of a few words.
    Tiny,
    /// Wan 2.1 and 2.2.
    Wan,
    /// Mochi-1.
    Mochi,
    /// Ovi at 720x720.
    #[serde(rename = "ovi-720")]
    Ovi720,
    /// Ovi at 960x960.
    #[serde(rename = "ovi-960")]
    Ovi960,
}

/// What a request gets that says nothing.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Defaults {
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
    /// What to avoid.
    #[serde(default)]
    pub negative_prompt: String,
    /// The solver.
    pub sampler: Sampler,
    /// The noise levels.
    pub grid: SigmaGrid,
    /// How far the noise levels lean towards high noise; what the scheduler's file says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<f64>,
}

/// How far a request may go.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Limits {
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

impl ModelCard {
    /// Reads `kinora.json`, and the networks' configurations for what is derived from them.
    ///
    /// # Errors
    /// `Missing` or `Config`, naming the file.
    pub fn read(folder: &Path) -> Result<Self, LoadError> {
        Self::read_with(folder, &WanConfig::read(folder)?)
    }

    /// Reads `kinora.json` when the configurations are already known.
    ///
    /// # Errors
    /// `Missing` or `Config`, naming the file.
    pub fn read_with(folder: &Path, config: &WanConfig) -> Result<Self, LoadError> {
        let path = folder.join("kinora.json");
        let mut card: Self = read_checked(&path)?;
        let derived = |value: i64| u32::try_from(value).map_err(|e| LoadError::config(&path, e));
        card.size_multiple = derived(config.size_multiple())?;
        card.frame_stride = derived(config.vae.temporal_stride())?;
        card.check_defaults()
            .map_err(|reason| LoadError::config(&path, reason))?;
        Ok(card)
    }

    /// The defaults must themselves be acceptable.
    fn check_defaults(&self) -> Result<(), String> {
        let (defaults, limits) = (&self.defaults, &self.limits);
        within(
            "default width",
            defaults.width,
            limits.min_width..=limits.max_width,
        )?;
        within(
            "default height",
            defaults.height,
            limits.min_height..=limits.max_height,
        )?;
        within("default frames", defaults.frames, 1..=limits.max_frames)?;
        within("default steps", defaults.steps, 1..=limits.max_steps)?;
        within(
            "default shift",
            defaults.shift.unwrap_or(1.0),
            0.01..=1000.0,
        )?;
        within(
            "default guidance",
            defaults.guidance,
            0.0..=limits.max_guidance,
        )?;
        let multiple = self.size_multiple;
        if defaults.width % multiple != 0 || defaults.height % multiple != 0 {
            return Err(format!(
                "default width and height must be multiples of {multiple}"
            ));
        }
        if defaults.frames % self.frame_stride != 1 % self.frame_stride {
            return Err(format!(
                "default frames must be 1 more than a multiple of {}",
                self.frame_stride
            ));
        }
        Ok(())
    }
}

impl Checked for ModelCard {
    fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if self.id.is_empty() || self.id.len() > 64 || !self.id.chars().all(plain) {
            return Err("id must be 1 to 64 of a-z, 0-9, '.', '_', '-'".to_owned());
        }
        let limits = &self.limits;
        within(
            "max_width",
            limits.max_width,
            limits.min_width.max(1)..=MAX_SIDE,
        )?;
        within(
            "max_height",
            limits.max_height,
            limits.min_height.max(1)..=MAX_SIDE,
        )?;
        within("max_frames", limits.max_frames, 1..=4097)?;
        within("max_steps", limits.max_steps, 1..=1000)?;
        within("max_prompt_chars", limits.max_prompt_chars, 1..=100_000)?;
        within("max_guidance", limits.max_guidance, 1.0..=1000.0)?;
        within("default fps", self.defaults.fps, 1..=240)
    }
}

#[cfg(test)]
mod tests;
