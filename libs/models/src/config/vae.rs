//! Configuration of the video autoencoder (`AutoencoderKLWan`, the 2.1 layout).

use serde::Deserialize;

use super::{Checked, within};

/// Shape of a Wan autoencoder. Field names are those of the file.
#[derive(Clone, Debug, Deserialize)]
pub struct VaeConfig {
    /// Channels of the first level of the encoder.
    pub base_dim: i64,
    /// Channels of the last level of the decoder; `base_dim` when absent.
    pub decoder_base_dim: Option<i64>,
    /// Latent channels.
    pub z_dim: i64,
    /// Channel multiplier of each level.
    pub dim_mult: Vec<i64>,
    /// Residual blocks per level of the encoder; the decoder has one more.
    pub num_res_blocks: i64,
    /// Levels with attention; none in any known model.
    #[serde(default)]
    pub attn_scales: Vec<f64>,
    /// Whether each step between levels halves time as well (the file's own spelling).
    #[serde(rename = "temperal_downsample")]
    pub temporal_downsample: Vec<bool>,
    /// Mean of each latent channel.
    pub latents_mean: Vec<f64>,
    /// Standard deviation of each latent channel.
    pub latents_std: Vec<f64>,
    /// True in the 2.2 layout, which this family does not cover.
    #[serde(default)]
    pub is_residual: bool,
    /// Set in the 2.2 layout, which this family does not cover.
    pub patch_size: Option<i64>,
}

impl VaeConfig {
    /// Pixels per latent position along height and width.
    #[must_use]
    pub fn spatial_stride(&self) -> i64 {
        self.temporal_downsample.iter().map(|_| 2).product()
    }

    /// Frames per latent frame, after the first one.
    #[must_use]
    pub fn temporal_stride(&self) -> i64 {
        self.temporal_downsample
            .iter()
            .map(|&halves| if halves { 2 } else { 1 })
            .product()
    }

    /// Channels of the encoder's levels, first to last.
    #[must_use]
    pub fn encoder_widths(&self) -> Vec<i64> {
        self.dim_mult
            .iter()
            .map(|factor| factor * self.base_dim)
            .collect()
    }

    /// Channels of the decoder's levels, first (smallest picture) to last.
    #[must_use]
    pub fn decoder_widths(&self) -> Vec<i64> {
        let base = self.decoder_base_dim.unwrap_or(self.base_dim);
        self.dim_mult
            .iter()
            .rev()
            .map(|factor| factor * base)
            .collect()
    }

    fn check_latent_statistics(&self) -> Result<(), String> {
        for (name, values) in [
            ("latents_mean", &self.latents_mean),
            ("latents_std", &self.latents_std),
        ] {
            if i64::try_from(values.len()) != Ok(self.z_dim) {
                return Err(format!(
                    "{name} has {} values, z_dim is {}",
                    values.len(),
                    self.z_dim
                ));
            }
        }
        for &mean in &self.latents_mean {
            within("latents_mean", mean, -1e3..=1e3)?;
        }
        for &deviation in &self.latents_std {
            within("latents_std", deviation, 1e-6..=1e3)?;
        }
        Ok(())
    }
}

impl Checked for VaeConfig {
    fn check(&self) -> Result<(), String> {
        within("base_dim", self.base_dim, 1..=4096)?;
        within(
            "decoder_base_dim",
            self.decoder_base_dim.unwrap_or(1),
            1..=4096,
        )?;
        within("z_dim", self.z_dim, 1..=1024)?;
        within("dim_mult length", self.dim_mult.len(), 2..=8)?;
        for &factor in &self.dim_mult {
            within("dim_mult", factor, 1..=64)?;
        }
        within("num_res_blocks", self.num_res_blocks, 1..=64)?;
        if self.temporal_downsample.len() + 1 != self.dim_mult.len() {
            return Err("temperal_downsample must be one shorter than dim_mult".to_owned());
        }
        if self.decoder_widths().iter().any(|&width| width < 2) {
            return Err("the decoder needs at least 2 channels on every level".to_owned());
        }
        if !self.attn_scales.is_empty() {
            return Err("attn_scales must be empty".to_owned());
        }
        if self.is_residual || self.patch_size.is_some_and(|side| side != 1) {
            return Err("this is an autoencoder of the 2.2 layout, 2.1 is expected".to_owned());
        }
        self.check_latent_statistics()
    }
}
