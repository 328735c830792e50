//! Configuration of the diffusion transformer (`WanTransformer3DModel`).

use serde::Deserialize;

use super::{Checked, same, within};

/// Largest width of the network and of its feed-forward layer.
const MAX_WIDTH: i64 = 65_536;
/// Largest number of image tokens; known models have 514.
const MAX_IMAGE_TOKENS: i64 = 65_536;

/// Shape of a Wan transformer. Field names are those of the file.
#[derive(Clone, Debug, Deserialize)]
pub struct TransformerConfig {
    /// Latent positions per token along time, height and width.
    pub patch_size: [i64; 3],
    /// Attention heads.
    pub num_attention_heads: i64,
    /// Channels per head; even.
    pub attention_head_dim: i64,
    /// Channels in: the latents' own, and in image-to-video models mask and image latents besides.
    pub in_channels: i64,
    /// Latent channels out.
    pub out_channels: i64,
    /// Width of the text embeddings.
    pub text_dim: i64,
    /// Width of the sinusoidal time embedding; even.
    pub freq_dim: i64,
    /// Inner width of the feed-forward layers.
    pub ffn_dim: i64,
    /// Number of blocks.
    pub num_layers: i64,
    /// Whether the input of cross attention is normalised with learned scale and shift.
    #[serde(default = "yes")]
    pub cross_attn_norm: bool,
    /// The kind of query and key norm; only `rms_norm_across_heads` exists.
    pub qk_norm: Option<String>,
    /// Added to variances before division.
    #[serde(default = "default_eps")]
    pub eps: f64,
    /// Positions per axis that rotary tables may have.
    #[serde(default = "default_rope_positions")]
    pub rope_max_seq_len: i64,
    /// Width of the image features, in models with an image branch.
    pub image_dim: Option<i64>,
    /// Width of the embedded image features, in models with an image branch; must be the network's
    /// own width.
    pub added_kv_proj_dim: Option<i64>,
    /// Image tokens of the first and the last frame together, in models that take both.
    pub pos_embed_seq_len: Option<i64>,
}

impl TransformerConfig {
    /// Width of the residual stream.
    #[must_use]
    pub fn width(&self) -> i64 {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Whether the blocks attend to image features besides the text.
    #[must_use]
    pub fn has_image_branch(&self) -> bool {
        self.image_dim.is_some()
    }

    /// Latent positions per token.
    #[must_use]
    pub fn patch_volume(&self) -> i64 {
        self.patch_size.iter().product()
    }

    fn check_image_branch(&self) -> Result<(), String> {
        match (self.image_dim, self.added_kv_proj_dim) {
            (None, None) if self.pos_embed_seq_len.is_none() => return Ok(()),
            (Some(image_dim), Some(_)) => within("image_dim", image_dim, 1..=MAX_WIDTH)?,
            _ => {
                let reason = "image_dim and added_kv_proj_dim must both be there or both be absent, \
                              and pos_embed_seq_len needs both";
                return Err(reason.to_owned());
            }
        }
        same(
            "added_kv_proj_dim",
            self.added_kv_proj_dim.unwrap_or_default(),
            "the width",
            self.width(),
        )?;
        let tokens = self.pos_embed_seq_len.unwrap_or(2);
        within("pos_embed_seq_len", tokens, 2..=MAX_IMAGE_TOKENS)?;
        if tokens % 2 != 0 {
            return Err("pos_embed_seq_len must be even, half of it for each frame".to_owned());
        }
        Ok(())
    }
}

impl Checked for TransformerConfig {
    fn check(&self) -> Result<(), String> {
        for side in self.patch_size {
            within("patch_size", side, 1..=16)?;
        }
        within("num_attention_heads", self.num_attention_heads, 1..=512)?;
        within("attention_head_dim", self.attention_head_dim, 6..=1024)?;
        within("width", self.width(), 6..=MAX_WIDTH)?;
        within("in_channels", self.in_channels, 1..=1024)?;
        within("out_channels", self.out_channels, 1..=1024)?;
        within("text_dim", self.text_dim, 1..=MAX_WIDTH)?;
        within("freq_dim", self.freq_dim, 2..=8192)?;
        within("ffn_dim", self.ffn_dim, 1..=4 * MAX_WIDTH)?;
        within("num_layers", self.num_layers, 1..=512)?;
        within("eps", self.eps, 1e-12..=0.1)?;
        within("rope_max_seq_len", self.rope_max_seq_len, 1..=1 << 20)?;
        if self.attention_head_dim % 2 != 0 || self.freq_dim % 2 != 0 {
            return Err("attention_head_dim and freq_dim must be even".to_owned());
        }
        if self.qk_norm.as_deref() != Some("rms_norm_across_heads") {
            return Err("qk_norm must be rms_norm_across_heads".to_owned());
        }
        self.check_image_branch()
    }
}

fn yes() -> bool {
    true
}

fn default_eps() -> f64 {
    1e-6
}

fn default_rope_positions() -> i64 {
    1024
}
