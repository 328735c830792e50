//! Configuration of the text encoder (`UMT5EncoderModel`).

use serde::Deserialize;

use super::{Checked, within};

/// Shape of a UMT5 encoder. Field names are those of the file.
#[derive(Clone, Debug, Deserialize)]
pub struct TextEncoderConfig {
    /// Entries of the token table.
    pub vocab_size: i64,
    /// Width of the residual stream and of the embeddings.
    pub d_model: i64,
    /// Channels per head.
    pub d_kv: i64,
    /// Inner width of the feed-forward layers.
    pub d_ff: i64,
    /// Number of blocks.
    pub num_layers: i64,
    /// Attention heads.
    pub num_heads: i64,
    /// Buckets of relative positions.
    #[serde(default = "default_buckets")]
    pub relative_attention_num_buckets: i64,
    /// Distance from which all positions share a bucket.
    #[serde(default = "default_max_distance")]
    pub relative_attention_max_distance: i64,
    /// Added to mean squares before division.
    #[serde(default = "default_eps")]
    pub layer_norm_epsilon: f64,
    /// The feed-forward layer; only `gated-gelu` is known.
    #[serde(default = "default_feed_forward")]
    pub feed_forward_proj: String,
}

impl TextEncoderConfig {
    /// Width of the heads side by side.
    #[must_use]
    pub fn attention_width(&self) -> i64 {
        self.num_heads * self.d_kv
    }
}

impl Checked for TextEncoderConfig {
    fn check(&self) -> Result<(), String> {
        within("vocab_size", self.vocab_size, 2..=1 << 24)?;
        within("d_model", self.d_model, 1..=65_536)?;
        within("d_kv", self.d_kv, 1..=1024)?;
        within("d_ff", self.d_ff, 1..=262_144)?;
        within("num_layers", self.num_layers, 1..=512)?;
        within("num_heads", self.num_heads, 1..=512)?;
        let buckets = self.relative_attention_num_buckets;
        within("relative_attention_num_buckets", buckets, 4..=4096)?;
        let distance = self.relative_attention_max_distance;
        within(
            "relative_attention_max_distance",
            distance,
            buckets / 4 + 1..=1 << 20,
        )?;
        within("layer_norm_epsilon", self.layer_norm_epsilon, 1e-12..=0.1)?;
        if self.feed_forward_proj != "gated-gelu" {
            return Err("feed_forward_proj must be gated-gelu".to_owned());
        }
        Ok(())
    }
}

fn default_buckets() -> i64 {
    32
}

fn default_max_distance() -> i64 {
    128
}

fn default_eps() -> f64 {
    1e-6
}

fn default_feed_forward() -> String {
    "gated-gelu".to_owned()
}
