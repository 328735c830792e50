//! The `config.json` of each network, as diffusers and transformers write them.
//!
//! Keys that are not needed here are ignored. Every value that decides a shape or a loop is checked
//! on reading, so that a hostile file gives an error and never a panic or an absurd allocation.

pub mod image;
pub mod scheduler;
pub mod text;
pub mod transformer;
pub mod vae;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::error::LoadError;
use crate::folder::ModelFolder;
use crate::wan::Family;

pub use image::ImageEncoderConfig;
pub use scheduler::SchedulerConfig;
pub use text::TextEncoderConfig;
pub use transformer::TransformerConfig;
pub use vae::VaeConfig;

/// A configuration that can say whether its values make sense.
pub trait Checked {
    /// Says what is wrong, if anything is.
    ///
    /// # Errors
    /// The first value out of range, in words.
    fn check(&self) -> Result<(), String>;
}

/// The configurations of all parts of a Wan model, whatever the layout of its folder.
#[derive(Clone, Debug)]
pub struct WanConfig {
    /// The diffusion transformer.
    pub transformer: TransformerConfig,
    /// The video autoencoder.
    pub vae: VaeConfig,
    /// The text encoder.
    pub text_encoder: TextEncoderConfig,
    /// The image encoder, in families that look at pictures.
    pub image_encoder: Option<ImageEncoderConfig>,
    /// The noise schedule.
    pub scheduler: SchedulerConfig,
}

impl WanConfig {
    /// Reads and checks all parts, and that they fit each other, in either layout.
    ///
    /// # Errors
    /// `Missing`, `Config` or `Weights`, naming the file.
    pub fn read(folder: &Path) -> Result<Self, LoadError> {
        ModelFolder::read_config(folder)
    }

    /// Pixels per patch along height and width: sizes must be multiples of this.
    #[must_use]
    pub fn size_multiple(&self) -> i64 {
        let [_, height, width] = self.transformer.patch_size;
        self.vae.spatial_stride() * height.max(width)
    }

    /// The family that a model of this shape belongs to.
    #[must_use]
    pub fn family(&self) -> Family {
        let transformer = &self.transformer;
        if transformer.in_channels != transformer.out_channels {
            if transformer.pos_embed_seq_len.is_some() {
                Family::FirstLastToVideo
            } else {
                Family::ImageToVideo
            }
        } else if self.vae.is_residual {
            Family::TextImageToVideo
        } else {
            Family::TextToVideo
        }
    }

    /// Says which parts do not fit each other, if any.
    pub(crate) fn check_fit(&self) -> Result<(), String> {
        let (transformer, vae) = (&self.transformer, &self.vae);
        check_in_channels(transformer, vae)?;
        same(
            "out_channels",
            transformer.out_channels,
            "the vae's z_dim",
            vae.z_dim,
        )?;
        let text_width = self.text_encoder.d_model;
        same(
            "text_dim",
            transformer.text_dim,
            "the text encoder's d_model",
            text_width,
        )?;
        match (transformer.image_dim, &self.image_encoder) {
            (Some(width), Some(encoder)) => same(
                "image_dim",
                width,
                "the image encoder's hidden_size",
                encoder.hidden_size,
            ),
            _ => Ok(()),
        }
    }
}

/// A text-to-video transformer reads noisy latents alone. One that continues an image reads a mask
/// and the image's latents besides; the mask has a channel for each frame of a latent frame.
fn check_in_channels(transformer: &TransformerConfig, vae: &VaeConfig) -> Result<(), String> {
    let (found, plain) = (transformer.in_channels, vae.z_dim);
    let with_image = 2 * plain + vae.temporal_stride();
    if found == with_image || (found == plain && !transformer.has_image_branch()) {
        return Ok(());
    }
    let expected = if transformer.has_image_branch() {
        format!("{with_image}, as there is an image branch")
    } else {
        format!("{plain} for text to video or {with_image} for image to video")
    };
    Err(format!(
        "in_channels is {found}, but with the vae's z_dim of {plain} it must be {expected}"
    ))
}

/// Reads a JSON file and checks its values.
///
/// # Errors
/// `Missing` or `Config`, naming the file.
pub fn read_checked<T: DeserializeOwned + Checked>(path: &Path) -> Result<T, LoadError> {
    let value: T = read_json(path)?;
    value
        .check()
        .map_err(|reason| LoadError::config(path, reason))?;
    Ok(value)
}

/// Reads a JSON file.
///
/// # Errors
/// `Missing` or `Config`, naming the file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    serde_json::from_str(&text).map_err(|error| LoadError::config(path, error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> LoadError {
    match error.kind() {
        std::io::ErrorKind::NotFound => LoadError::Missing {
            path: PathBuf::from(path),
        },
        _ => LoadError::config(path, error),
    }
}

pub(crate) fn within<T>(name: &str, value: T, range: RangeInclusive<T>) -> Result<(), String>
where
    T: PartialOrd + Display,
{
    if range.contains(&value) {
        return Ok(());
    }
    Err(format!(
        "{name} is {value}, must be from {} to {}",
        range.start(),
        range.end()
    ))
}

fn same(name: &str, value: i64, other_name: &str, other: i64) -> Result<(), String> {
    if value == other {
        return Ok(());
    }
    Err(format!("{name} is {value}, but {other_name} is {other}"))
}

#[cfg(test)]
mod tests;
