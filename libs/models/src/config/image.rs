//! Configuration of the image encoder (`CLIPVisionModel`).

use serde::Deserialize;

use super::{Checked, within};

/// Largest number of patches along one side of an image.
const MAX_PATCHES: i64 = 128;

/// Shape of a CLIP vision encoder. Field names are those of the file.
#[derive(Clone, Debug, Deserialize)]
pub struct ImageEncoderConfig {
    /// Width of the residual stream and of the embeddings.
    pub hidden_size: i64,
    /// Inner width of the feed-forward layers.
    pub intermediate_size: i64,
    /// Number of blocks; the last one is not run.
    pub num_hidden_layers: i64,
    /// Attention heads.
    pub num_attention_heads: i64,
    /// Colours of a pixel; must be 3.
    #[serde(default = "default_colours")]
    pub num_channels: i64,
    /// Height and width of the image in pixels.
    pub image_size: i64,
    /// Height and width of a patch in pixels.
    pub patch_size: i64,
    /// The activation of the feed-forward layers.
    #[serde(default)]
    pub hidden_act: ImageActivation,
    /// Added to variances before division.
    #[serde(default = "default_eps")]
    pub layer_norm_eps: f64,
}

/// Activations that CLIP models are trained with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageActivation {
    /// `x` times the normal distribution function.
    Gelu,
    /// `x` times the logistic function of `1.702 x`; what transformers assumes where nothing is said.
    #[default]
    QuickGelu,
}

impl ImageEncoderConfig {
    /// Patches along one side of the image.
    #[must_use]
    pub fn patches_per_side(&self) -> i64 {
        self.image_size / self.patch_size
    }

    /// Positions of the sequence: the patches, and one for the whole image.
    #[must_use]
    pub fn tokens(&self) -> i64 {
        self.patches_per_side() * self.patches_per_side() + 1
    }
}

impl Checked for ImageEncoderConfig {
    fn check(&self) -> Result<(), String> {
        within("hidden_size", self.hidden_size, 1..=65_536)?;
        within("intermediate_size", self.intermediate_size, 1..=262_144)?;
        within("num_hidden_layers", self.num_hidden_layers, 2..=512)?;
        within("num_attention_heads", self.num_attention_heads, 1..=512)?;
        within("num_channels", self.num_channels, 3..=3)?;
        within("patch_size", self.patch_size, 1..=256)?;
        within("image_size", self.image_size, self.patch_size..=4096)?;
        within(
            "image_size / patch_size",
            self.patches_per_side(),
            1..=MAX_PATCHES,
        )?;
        within("layer_norm_eps", self.layer_norm_eps, 1e-12..=0.1)?;
        if self.hidden_size % self.num_attention_heads != 0 {
            return Err("hidden_size must be a multiple of num_attention_heads".to_owned());
        }
        Ok(())
    }
}

fn default_colours() -> i64 {
    3
}

fn default_eps() -> f64 {
    1e-5
}
