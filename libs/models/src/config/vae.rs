//! Configuration of the video autoencoder (`AutoencoderKLWan`, in the layouts of Wan 2.1 and 2.2).

use serde::Deserialize;

use super::{Checked, same, within};

/// Colours of a pixel.
const RGB: i64 = 3;

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
    /// Whether every level has a shortcut around it: the 2.2 layout.
    #[serde(default)]
    pub is_residual: bool,
    /// Side of the squares of pixels that are taken as channels; none or 1 in the 2.1 layout.
    pub patch_size: Option<i64>,
    /// Channels of the encoder's input: the colours of one square of pixels.
    #[serde(default = "default_colours")]
    pub in_channels: i64,
    /// Channels of the decoder's output: the colours of one square of pixels.
    #[serde(default = "default_colours")]
    pub out_channels: i64,
    /// Where present, what [`VaeConfig::spatial_stride`] must be.
    pub scale_factor_spatial: Option<i64>,
    /// Where present, what [`VaeConfig::temporal_stride`] must be.
    pub scale_factor_temporal: Option<i64>,
}

/// Channels of one level, and what it does to the size of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelShape {
    /// Channels that enter the level.
    pub inputs: i64,
    /// Channels of its residual blocks.
    pub width: i64,
    /// Channels that leave it, after its step to the next size.
    pub outputs: i64,
    /// Whether the step to the next size changes the number of frames as well; none at the last
    /// level, which has no such step.
    pub resampled: Option<bool>,
}

impl LevelShape {
    /// Frames per frame, and rows per row, between the larger and the smaller size.
    #[must_use]
    pub fn factors(&self) -> (i64, i64) {
        match self.resampled {
            Some(true) => (2, 2),
            Some(false) => (1, 2),
            None => (1, 1),
        }
    }

    fn has_shortcut_down(&self) -> bool {
        let (frames, side) = self.factors();
        self.inputs * frames * side * side % self.outputs == 0
    }

    fn has_shortcut_up(&self) -> bool {
        let (frames, side) = self.factors();
        self.resampled.is_none() || self.outputs * frames * side * side % self.inputs == 0
    }
}

impl VaeConfig {
    /// Pixels per latent position along height and width, squares of pixels included.
    #[must_use]
    pub fn spatial_stride(&self) -> i64 {
        let levels: i64 = self.temporal_downsample.iter().map(|_| 2).product();
        levels * self.patch_side()
    }

    /// Side of the squares of pixels that are taken as channels; 1 means single pixels.
    #[must_use]
    pub fn patch_side(&self) -> i64 {
        self.patch_size.unwrap_or(1)
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

    /// The encoder's levels, largest picture first.
    #[must_use]
    pub fn encoder_levels(&self) -> Vec<LevelShape> {
        let mut inputs = self.base_dim;
        let mut levels = Vec::new();
        for (index, width) in self.encoder_widths().into_iter().enumerate() {
            levels.push(LevelShape {
                inputs,
                width,
                outputs: width,
                resampled: self.temporal_downsample.get(index).copied(),
            });
            inputs = width;
        }
        levels
    }

    /// The decoder's levels, smallest picture first.
    ///
    /// An upsampler halves the channels in the 2.1 layout and keeps them in 2.2.
    #[must_use]
    pub fn decoder_levels(&self) -> Vec<LevelShape> {
        let widths = self.decoder_widths();
        let mut inputs = widths.first().copied().unwrap_or_default();
        let mut levels = Vec::new();
        for (index, width) in widths.into_iter().enumerate() {
            let resampled = self.temporal_downsample.iter().rev().nth(index).copied();
            let halves = resampled.is_some() && !self.is_residual;
            let outputs = if halves { width / 2 } else { width };
            levels.push(LevelShape {
                inputs,
                width,
                outputs,
                resampled,
            });
            inputs = outputs;
        }
        levels
    }

    fn check_levels(&self) -> Result<(), String> {
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
        Ok(())
    }

    /// A shortcut spreads channels evenly over positions, or averages them evenly.
    fn check_shortcuts(&self) -> Result<(), String> {
        if !self.is_residual {
            return Ok(());
        }
        let (down, up) = (self.encoder_levels(), self.decoder_levels());
        let broken_down = down.into_iter().find(|level| !level.has_shortcut_down());
        let broken_up = up.into_iter().find(|level| !level.has_shortcut_up());
        match broken_down.or(broken_up) {
            None => Ok(()),
            Some(level) => Err(format!(
                "no shortcut leads from {} to {} channels, check dim_mult",
                level.inputs, level.outputs
            )),
        }
    }

    fn check_pixels(&self) -> Result<(), String> {
        let side = self.patch_side();
        within("patch_size", side, 1..=8)?;
        let square = "the colours of a square of patch_size pixels";
        same("in_channels", self.in_channels, square, RGB * side * side)?;
        same("out_channels", self.out_channels, square, RGB * side * side)?;
        let (spatial, temporal) = (self.spatial_stride(), self.temporal_stride());
        same(
            "scale_factor_spatial",
            self.scale_factor_spatial.unwrap_or(spatial),
            "the stride of the levels and patch_size",
            spatial,
        )?;
        same(
            "scale_factor_temporal",
            self.scale_factor_temporal.unwrap_or(temporal),
            "the stride of temperal_downsample",
            temporal,
        )
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
        self.check_levels()?;
        self.check_shortcuts()?;
        self.check_pixels()?;
        self.check_latent_statistics()
    }
}

fn default_colours() -> i64 {
    RGB
}
