//! The shape of a decoder, from `config.json` or from the metadata of a GGUF file.

mod gguf;
mod hugging_face;

use crate::config::{Checked, within};

pub(super) use gguf::arrays_of;

/// Shape of a Llama or Mistral decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// Entries of the token table.
    pub vocabulary: i64,
    /// Width of the residual stream.
    pub width: i64,
    /// Inner width of the feed-forward layers.
    pub inner_width: i64,
    /// Number of blocks.
    pub blocks: i64,
    /// Attention heads of the queries.
    pub heads: i64,
    /// Attention heads of keys and values; each serves `heads / kv_heads` heads of the queries.
    pub kv_heads: i64,
    /// Channels per head.
    pub head_width: i64,
    /// Added to mean squares before division.
    pub norm_eps: f64,
    /// Base of the frequencies of rotary positions.
    pub rope_theta: f64,
    /// What is done to these frequencies.
    pub rope_scaling: RopeScaling,
    /// Whether the rows of queries and keys lie in interleaved pairs (as in GGUF files and the original
    /// checkpoints) and not as two halves (as in transformers).
    pub has_interleaved_heads: bool,
    /// Most tokens that the model was made for.
    pub context: i64,
    /// Tokens that a token sees, itself included, if not all before it.
    pub sliding_window: Option<i64>,
    /// Whether the output head is the token table.
    pub has_tied_head: bool,
}

/// How rotary frequencies are changed for longer contexts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All are divided by a factor.
    Linear {
        /// The factor, at least 1.
        factor: f64,
    },
    /// Llama 3.1: low frequencies are divided, high ones are kept, and those between go from one to the other.
    Llama3 {
        /// What low frequencies are divided by.
        factor: f64,
        /// Turns within the original context below which a frequency is low.
        low_turns: f64,
        /// Turns from which it is high.
        high_turns: f64,
        /// Tokens of the original context.
        original_context: f64,
    },
}

impl DecoderConfig {
    /// Heads of queries per head of keys and values.
    #[must_use]
    pub fn group(&self) -> i64 {
        self.heads / self.kv_heads
    }

    /// The angle per position of each pair of channels, in 32-bit floats as in training.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the 32-bit float next to it is what is wanted"
    )]
    pub fn rope_frequencies(&self) -> Vec<f32> {
        let theta = self.rope_theta as f32;
        let pairs = (0..self.head_width / 2).map(|pair| (2 * pair) as f32 / self.head_width as f32);
        let plain = pairs.map(|exponent| 1.0 / theta.powf(exponent));
        plain
            .map(|frequency| self.rope_scaling.apply(f64::from(frequency)) as f32)
            .collect()
    }
}

impl RopeScaling {
    fn apply(self, frequency: f64) -> f64 {
        match self {
            Self::None => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 {
                factor,
                low_turns,
                high_turns,
                original_context,
            } => {
                let turns = original_context * frequency / std::f64::consts::TAU;
                let kept = ((turns - low_turns) / (high_turns - low_turns)).clamp(0.0, 1.0);
                (1.0 - kept) * frequency / factor + kept * frequency
            }
        }
    }

    fn check(self) -> Result<(), String> {
        match self {
            Self::None => Ok(()),
            Self::Linear { factor } => within("the factor of rope scaling", factor, 1.0..=1024.0),
            Self::Llama3 {
                factor,
                low_turns,
                high_turns,
                original_context,
            } => {
                within("the factor of rope scaling", factor, 1.0..=1024.0)?;
                within("low_freq_factor", low_turns, 0.0..=1024.0)?;
                within("high_freq_factor", high_turns, low_turns + 1e-3..=4096.0)?;
                let limit = f64::from(1 << 24);
                within("the original context", original_context, 1.0..=limit)
            }
        }
    }
}

impl Checked for DecoderConfig {
    fn check(&self) -> Result<(), String> {
        within("the vocabulary", self.vocabulary, 2..=1 << 24)?;
        within("the width", self.width, 1..=65_536)?;
        within("the inner width", self.inner_width, 1..=262_144)?;
        within("the number of blocks", self.blocks, 1..=512)?;
        within("the number of heads", self.heads, 1..=512)?;
        within("the number of heads of keys", self.kv_heads, 1..=self.heads)?;
        within("the width of a head", self.head_width, 2..=1024)?;
        within("the epsilon of norms", self.norm_eps, 1e-12..=0.1)?;
        within("rope theta", self.rope_theta, 1.0..=1e12)?;
        within("the context", self.context, 1..=1 << 24)?;
        if let Some(window) = self.sliding_window {
            within("the sliding window", window, 1..=1 << 24)?;
        }
        if self.heads % self.kv_heads != 0 {
            return Err("the heads of keys do not divide the heads".to_owned());
        }
        if self.head_width % 2 != 0 {
            return Err("the width of a head is odd".to_owned());
        }
        self.rope_scaling.check()
    }
}

#[cfg(test)]
mod tests;
