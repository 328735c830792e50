//! `tokenizer.json` of Hugging Face's library, taken apart: what texts go through, and the marks.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{Token, Vocabulary, bpe_json, byte_level_bytes, sentence_piece_bytes};
use crate::config::read_json;
use crate::error::LoadError;

/// Largest id accepted.
const MAX_ID: u32 = 1 << 24;

/// The parts of the file that are looked at.
#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
    model: Value,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    special: bool,
}

pub(super) fn read(path: &Path) -> Result<Vocabulary, LoadError> {
    let file: TokenizerFile = read_json(path)?;
    file.vocabulary()
        .map_err(|reason| LoadError::config(path, reason))
}

impl TokenizerFile {
    fn vocabulary(mut self) -> Result<Vocabulary, String> {
        let is_byte_level = mentions(&self.decoder, "ByteLevel");
        let adds_space = mentions(&self.normalizer, "Prepend")
            || self
                .pre_tokenizer
                .get("prepend_scheme")
                .is_some_and(|scheme| scheme != "never");
        let mut tokens = self.tokens(is_byte_level)?;
        let mut controls = BTreeMap::new();
        for added in &self.added_tokens {
            let index = usize::try_from(added.id).map_err(|error| error.to_string())?;
            if added.id > MAX_ID {
                return Err(format!("a token has id {}", added.id));
            }
            if tokens.len() <= index {
                tokens.resize(index + 1, Token::Control);
            }
            tokens[index] = match added.special {
                true => Token::Control,
                false => Token::Bytes(added.content.as_bytes().into()),
            };
            if added.special {
                controls.insert(added.content.clone(), added.id);
            }
        }
        self.remove_from_model(&controls);
        Ok(Vocabulary {
            tokens,
            controls,
            json: bpe_json(self.model, self.normalizer, self.pre_tokenizer),
            adds_space,
        })
    }

    fn tokens(&self, is_byte_level: bool) -> Result<Vec<Token>, String> {
        if self.model.get("type").and_then(Value::as_str) != Some("BPE") {
            return Err("only tokenizers of byte pairs are supported".to_owned());
        }
        let vocabulary = self.model.get("vocab").and_then(Value::as_object);
        let vocabulary = vocabulary.ok_or("it has no vocabulary")?;
        let mut tokens = vec![Token::Control; vocabulary.len()];
        for (text, id) in vocabulary {
            let id = id.as_u64().filter(|id| *id <= u64::from(MAX_ID));
            let id = id.and_then(|id| usize::try_from(id).ok());
            let id = id.ok_or_else(|| format!("the id of {text} is no number of use"))?;
            if tokens.len() <= id {
                tokens.resize(id + 1, Token::Control);
            }
            tokens[id] = match is_byte_level {
                true => byte_level_bytes(text).map_or(Token::Control, Token::Bytes),
                false => Token::Bytes(sentence_piece_bytes(text)),
            };
        }
        Ok(tokens)
    }

    /// Takes marks out of the vocabulary and of what merges make. The unknown token stays, which the model asks for.
    fn remove_from_model(&mut self, controls: &BTreeMap<String, u32>) {
        let unknown = self.model.get("unk_token").and_then(Value::as_str);
        let unknown = unknown.map(str::to_owned);
        let is_mark = |text: &str| controls.contains_key(text) && unknown.as_deref() != Some(text);
        if let Some(vocabulary) = self.model.get_mut("vocab").and_then(Value::as_object_mut) {
            vocabulary.retain(|text, _| !is_mark(text));
        }
        if let Some(merges) = self.model.get_mut("merges").and_then(Value::as_array_mut) {
            merges.retain(|merge| !is_mark(&merged(merge)));
        }
    }
}

/// What a merge makes; merges are `"a b"` or `["a", "b"]`.
fn merged(merge: &Value) -> String {
    match merge {
        Value::String(pair) => pair.replacen(' ', "", 1),
        Value::Array(pair) => pair.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}

/// Whether a step of this type is among those that a value describes.
fn mentions(value: &Value, step: &str) -> bool {
    match value {
        Value::Object(fields) => {
            fields.get("type").and_then(Value::as_str) == Some(step)
                || fields.values().any(|inner| mentions(inner, step))
        }
        Value::Array(items) => items.iter().any(|inner| mentions(inner, step)),
        _ => false,
    }
}
