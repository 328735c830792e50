//! From text to tokens and back, with control tokens out of reach of texts.

mod gguf;
mod hugging_face;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::error::LlmError;
use crate::error::LoadError;

/// What a token stands for in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// These bytes, which may be a part of a character.
    Bytes(Box<[u8]>),
    /// Nothing: a mark between texts, or an entry that is not used.
    Control,
}

/// A vocabulary as it was read from a file.
struct Vocabulary {
    tokens: Vec<Token>,
    /// Marks by name.
    controls: BTreeMap<String, u32>,
    /// The part of `tokenizer.json` that texts go through, without any of the marks.
    json: Value,
    /// Whether texts get a space in front, which is not part of them.
    adds_space: bool,
}

/// The tokenizer of a language model, for plain text: what a text spells never becomes a control token.
///
/// The marks are kept apart from the tokenizer that sees texts: neither its vocabulary nor its merges have them.
#[derive(Debug)]
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    tokens: Vec<Token>,
    controls: BTreeMap<String, u32>,
    adds_space: bool,
    longest_bytes: usize,
}

/// Ids of tokens.
pub type Tokens = Vec<u32>;

impl TextTokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// `Missing` or `Config`, naming the file.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let vocabulary = hugging_face::read(path)?;
        Self::new(vocabulary).map_err(|reason| LoadError::config(path, reason))
    }

    /// Takes the vocabulary from the metadata of a GGUF file; `path` is for errors.
    ///
    /// # Errors
    /// `Config`, naming the file.
    pub fn from_gguf(path: &Path, metadata: &kinora_nn::GgufMetadata) -> Result<Self, LoadError> {
        gguf::vocabulary(metadata)
            .and_then(Self::new)
            .map_err(|reason| LoadError::config(path, reason))
    }

    fn new(vocabulary: Vocabulary) -> Result<Self, String> {
        let json = serde_json::to_vec(&vocabulary.json).map_err(|error| error.to_string())?;
        let tokenizer = Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
        let lengths = vocabulary.tokens.iter().map(|token| match token {
            Token::Bytes(bytes) => bytes.len(),
            Token::Control => 0,
        });
        Ok(Self {
            tokenizer,
            longest_bytes: lengths.max().unwrap_or(0),
            tokens: vocabulary.tokens,
            controls: vocabulary.controls,
            adds_space: vocabulary.adds_space,
        })
    }

    /// Entries of the vocabulary, control tokens and unused ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The id of a control token.
    #[must_use]
    pub fn control(&self, name: &str) -> Option<u32> {
        self.controls.get(name).copied()
    }

    /// The tokens of a text. Names of control tokens in it are text like any other.
    ///
    /// # Errors
    /// `Engine` if the tokenizer fails.
    pub fn encode(&self, text: &str) -> Result<Tokens, LlmError> {
        let failed = |reason: String| LlmError::Engine(format!("tokenizer: {reason}"));
        if text.is_empty() {
            return Ok(Tokens::new());
        }
        let encoding = self.tokenizer.encode_fast(text, false);
        let encoding = encoding.map_err(|error| failed(error.to_string()))?;
        let ids = encoding.get_ids().to_vec();
        match ids.iter().find(|&&id| self.is_named_control(id)) {
            Some(id) => Err(failed(format!("a text became control token {id}"))),
            None => Ok(ids),
        }
    }

    /// The text of tokens; bytes that are no characters are replaced.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids
            .iter()
            .filter_map(|&id| self.bytes(id))
            .flatten()
            .copied()
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes of a token; absent for control tokens.
    #[must_use]
    pub fn bytes(&self, id: u32) -> Option<&[u8]> {
        let index = usize::try_from(id).ok()?;
        match self.tokens.get(index)? {
            Token::Bytes(bytes) => Some(bytes),
            Token::Control => None,
        }
    }

    /// Bytes of the longest token.
    pub(super) fn longest_bytes(&self) -> usize {
        self.longest_bytes
    }

    /// Whether answers start with a space that is not part of them.
    pub(super) fn adds_space(&self) -> bool {
        self.adds_space
    }

    fn is_named_control(&self, id: u32) -> bool {
        self.bytes(id).is_none() && self.controls.values().any(|&control| control == id)
    }
}

/// A `tokenizer.json` of a byte pair encoding without any control tokens.
fn bpe_json(model: Value, normalizer: Value, pre_tokenizer: Value) -> Value {
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": null,
        "decoder": null,
        "model": model,
    })
}

/// The bytes that a token of a byte-level vocabulary stands for: each is written as a printable character.
/// Absent if there is another character in it.
fn byte_level_bytes(token: &str) -> Option<Box<[u8]>> {
    token.chars().map(byte_level_byte).collect()
}

/// Bytes that are printable characters of Latin-1 stand for themselves, the others for those from U+0100 on, in order.
fn byte_level_byte(character: char) -> Option<u8> {
    let code = u32::from(character);
    let byte = match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// The bytes that a token of a vocabulary of SentencePiece stands for: `▁` is a space and `<0x0A>` a byte.
fn sentence_piece_bytes(token: &str) -> Box<[u8]> {
    let byte = token
        .strip_prefix("<0x")
        .and_then(|rest| rest.strip_suffix('>'));
    let byte = byte.filter(|digits| digits.len() == 2);
    match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
        Some(byte) => Box::new([byte]),
        None => token.replace('▁', " ").into_bytes().into_boxed_slice(),
    }
}

#[cfg(test)]
mod tests;
