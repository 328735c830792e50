//! `config.json` of transformers.

use std::path::Path;

use serde::Deserialize;

use super::{DecoderConfig, RopeScaling};
use crate::config::{Checked, read_json};
use crate::error::LoadError;

/// The keys that are read. Field names are those of the file.
#[derive(Clone, Debug, Deserialize)]
struct ConfigFile {
    model_type: String,
    vocab_size: i64,
    hidden_size: i64,
    intermediate_size: i64,
    num_hidden_layers: i64,
    num_attention_heads: i64,
    num_key_value_heads: Option<i64>,
    head_dim: Option<i64>,
    rms_norm_eps: f64,
    max_position_embeddings: i64,
    sliding_window: Option<i64>,
    rope_theta: Option<f64>,
    rope_parameters: Option<RopeFile>,
    rope_scaling: Option<RopeFile>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct RopeFile {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

/// The base where a file does not say: that of the original Llama.
const DEFAULT_THETA: f64 = 10_000.0;

impl DecoderConfig {
    /// Reads and checks a `config.json` of `LlamaForCausalLM` or `MistralForCausalLM`.
    ///
    /// # Errors
    /// `Missing` or `Config`, naming the file.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let file: ConfigFile = read_json(path)?;
        let config = file.config().and_then(|config| {
            config.check()?;
            Ok(config)
        });
        config.map_err(|reason| LoadError::config(path, reason))
    }
}

impl ConfigFile {
    fn config(self) -> Result<DecoderConfig, String> {
        let is_mistral = match self.model_type.as_str() {
            "llama" => false,
            "mistral" => true,
            other => return Err(format!("model_type is {other}, expected llama or mistral")),
        };
        if self.attention_bias || self.mlp_bias {
            return Err("layers with biases are not supported".to_owned());
        }
        if self.hidden_act.as_deref().unwrap_or("silu") != "silu" {
            return Err("hidden_act must be silu".to_owned());
        }
        let heads = self.num_attention_heads;
        let head_width = match self.head_dim {
            Some(width) => width,
            None if heads > 0 && self.hidden_size % heads == 0 => self.hidden_size / heads,
            None => return Err("num_attention_heads does not divide hidden_size".to_owned()),
        };
        let rope = self
            .rope_parameters
            .or(self.rope_scaling)
            .unwrap_or_default();
        let theta = rope.rope_theta.or(self.rope_theta);
        Ok(DecoderConfig {
            vocabulary: self.vocab_size,
            width: self.hidden_size,
            inner_width: self.intermediate_size,
            blocks: self.num_hidden_layers,
            heads,
            kv_heads: self.num_key_value_heads.unwrap_or(heads),
            head_width,
            norm_eps: self.rms_norm_eps,
            rope_theta: theta.unwrap_or(DEFAULT_THETA),
            rope_scaling: rope.scaling(self.max_position_embeddings)?,
            has_interleaved_heads: false,
            context: self.max_position_embeddings,
            sliding_window: self.sliding_window.filter(|_| is_mistral),
            has_tied_head: self.tie_word_embeddings,
        })
    }
}

impl RopeFile {
    fn scaling(&self, context: i64) -> Result<RopeScaling, String> {
        let factor = self.factor.unwrap_or(1.0);
        match self.rope_type.as_deref().unwrap_or("default") {
            "default" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear { factor }),
            "llama3" => Ok(RopeScaling::Llama3 {
                factor,
                low_turns: self.low_freq_factor.unwrap_or(1.0),
                high_turns: self.high_freq_factor.unwrap_or(4.0),
                original_context: self
                    .original_max_position_embeddings
                    .unwrap_or(context as f64),
            }),
            other => Err(format!("rope type {other} is not supported")),
        }
    }
}
