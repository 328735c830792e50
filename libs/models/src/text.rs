//! From a prompt to embeddings: cleaning, tokens, encoder, and a memory of recent prompts.

use std::path::Path;

use kinora_nn::Weights;
use tch::Tensor;
use tokenizers::{Tokenizer, TruncationParams};

use crate::config::TextEncoderConfig;
use crate::error::{GenerateError, LoadError};
use crate::names::Part;
use crate::prompt;
use crate::residency::{Placed, Placement};
use crate::t5::T5Encoder;

/// Tokens that a prompt may have, the end mark included; longer ones are cut.
pub const MAX_TOKENS: usize = 512;
/// How many prompts' embeddings are kept.
const REMEMBERED_PROMPTS: usize = 32;

/// Tokenizer and encoder of one model.
#[derive(Debug)]
pub struct TextEncoder {
    tokenizer: Tokenizer,
    network: Placed<T5Encoder>,
    vocabulary: i64,
    /// Most recently used last.
    recent: Vec<(String, Tensor)>,
}

impl TextEncoder {
    /// Reads the tokenizer's file and the network.
    ///
    /// # Errors
    /// The file is missing or broken, or the weights do not fit the configuration.
    pub fn load(
        tokenizer: &Path,
        weights: &Weights,
        config: &TextEncoderConfig,
        placement: &Placement,
    ) -> Result<Self, LoadError> {
        let tokenizer = load_tokenizer(tokenizer)?;
        let part = LoadError::weights(Part::TextEncoder.name());
        let network = T5Encoder::load_as(weights, config, placement.weights).map_err(&part)?;
        weights.finish().map_err(&part)?;
        Ok(Self {
            tokenizer,
            network: placement.place(network)?,
            vocabulary: config.vocab_size,
            recent: Vec::new(),
        })
    }

    /// The embeddings of a prompt, without padding.
    ///
    /// # Shapes
    /// `[s, c]` with `s` at most [`MAX_TOKENS`]
    ///
    /// # Errors
    /// `Invalid` if the tokenizer refuses the text or knows more words than the encoder.
    pub fn encode(&mut self, text: &str) -> Result<Tensor, GenerateError> {
        let text = prompt::clean(text);
        let known = self.recent.iter().position(|(prompt, _)| *prompt == text);
        let entry = match known {
            Some(index) => self.recent.remove(index),
            None => {
                let ids = self.token_ids(&text)?;
                let embeddings = self.network.enter()?.forward(&ids);
                (text, embeddings)
            }
        };
        if self.recent.len() >= REMEMBERED_PROMPTS {
            drop(self.recent.remove(0));
        }
        let embeddings = entry.1.shallow_clone();
        self.recent.push(entry);
        Ok(embeddings)
    }

    /// The token ids of a cleaned prompt, with the end mark.
    ///
    /// # Errors
    /// `Invalid`, as [`TextEncoder::encode`].
    pub fn token_ids(&self, text: &str) -> Result<Vec<i64>, GenerateError> {
        let encoding = self.tokenizer.encode(text, true);
        let encoding =
            encoding.map_err(|error| GenerateError::invalid("prompt", error.to_string()))?;
        let ids: Vec<i64> = encoding.get_ids().iter().copied().map(i64::from).collect();
        if ids.is_empty() {
            return Err(GenerateError::invalid("prompt", "it has no tokens"));
        }
        match ids.iter().find(|&&id| id >= self.vocabulary) {
            Some(id) => Err(GenerateError::invalid(
                "prompt",
                format!("unknown token {id}"),
            )),
            None => Ok(ids),
        }
    }
}

fn load_tokenizer(path: &Path) -> Result<Tokenizer, LoadError> {
    if !path.is_file() {
        return Err(LoadError::Missing {
            path: path.to_owned(),
        });
    }
    let mut tokenizer =
        Tokenizer::from_file(path).map_err(|error| LoadError::config(path, error))?;
    let truncation = TruncationParams {
        max_length: MAX_TOKENS,
        ..TruncationParams::default()
    };
    tokenizer
        .with_truncation(Some(truncation))
        .map_err(|error| LoadError::config(path, error))?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}
