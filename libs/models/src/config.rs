//! The `config.json` of each network, as diffusers and transformers write them.
//!
//! Keys that are not needed here are ignored. Every value that decides a shape or a loop is checked
//! on reading, so that a hostile file gives an error and never a panic or an absurd allocation.

pub mod scheduler;
pub mod text;
pub mod transformer;
pub mod vae;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::checkpoint::Checkpoint;
use crate::error::LoadError;

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
    /// The noise schedule.
    pub scheduler: SchedulerConfig,
}

impl WanConfig {
    /// Reads and checks all parts, and that they fit each other, in either layout.
    ///
    /// # Errors
    /// `Missing`, `Config` or `Weights`, naming the file.
    pub fn read(folder: &Path) -> Result<Self, LoadError> {
        Checkpoint::read_config(folder)
    }

    /// Pixels per patch along height and width: sizes must be multiples of this.
    #[must_use]
    pub fn size_multiple(&self) -> i64 {
        let [_, height, width] = self.transformer.patch_size;
        self.vae.spatial_stride() * height.max(width)
    }

    /// Says which parts do not fit each other, if any.
    pub(crate) fn check_fit(&self) -> Result<(), String> {
        let (transformer, vae) = (&self.transformer, &self.vae);
        same(
            "in_channels",
            transformer.in_channels,
            "the vae's z_dim",
            vae.z_dim,
        )?;
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
        )
    }
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
