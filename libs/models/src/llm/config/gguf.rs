//! The metadata of a GGUF file.

use std::path::Path;

use kinora_nn::{GgufMetadata, GgufValue};

use super::{DecoderConfig, RopeScaling};
use crate::config::Checked;
use crate::error::LoadError;

/// Architectures whose tensors and formulas are those of Llama; files of Mistral say `llama`.
const ARCHITECTURES: [&str; 2] = ["llama", "mistral"];
/// The base where a file does not say.
const DEFAULT_THETA: f64 = 10_000.0;

impl DecoderConfig {
    /// Takes the shape from metadata. `path` is for errors; `has_head` says whether the file has an output
    /// head of its own.
    ///
    /// # Errors
    /// `Config`, naming the file.
    pub fn from_gguf(
        path: &Path,
        metadata: &GgufMetadata,
        has_head: bool,
    ) -> Result<Self, LoadError> {
        let config = Keys::of(metadata).and_then(|keys| {
            let config = keys.config(has_head)?;
            config.check()?;
            Ok(config)
        });
        config.map_err(|reason| LoadError::config(path, reason))
    }
}

/// The metadata of one architecture.
struct Keys<'a> {
    metadata: &'a GgufMetadata,
    architecture: &'a str,
}

impl<'a> Keys<'a> {
    fn of(metadata: &'a GgufMetadata) -> Result<Self, String> {
        let architecture = metadata.get("general.architecture");
        let architecture = architecture
            .and_then(GgufValue::text)
            .ok_or("general.architecture is missing")?;
        if !ARCHITECTURES.contains(&architecture) {
            return Err(format!("architecture {architecture} is not supported"));
        }
        Ok(Self {
            metadata,
            architecture,
        })
    }

    fn config(&self, has_head: bool) -> Result<DecoderConfig, String> {
        if self.integer("expert_count")?.unwrap_or(0) > 0 {
            return Err("mixtures of experts are not supported".to_owned());
        }
        let heads = self.needed("attention.head_count")?;
        let width = self.needed("embedding_length")?;
        let head_width = match self.integer("attention.key_length")? {
            Some(width) => width,
            None if heads > 0 && width % heads == 0 => width / heads,
            None => return Err("the heads do not divide the width".to_owned()),
        };
        let rotated = self.integer("rope.dimension_count")?;
        if rotated.is_some_and(|rotated| rotated != head_width) {
            return Err("heads of which only a part is rotated are not supported".to_owned());
        }
        let tokens = arrays_of(self.metadata, "tokenizer.ggml.tokens")?.len();
        let tokens = i64::try_from(tokens).map_err(|error| error.to_string())?;
        Ok(DecoderConfig {
            vocabulary: self.integer("vocab_size")?.unwrap_or(tokens),
            width,
            inner_width: self.needed("feed_forward_length")?,
            blocks: self.needed("block_count")?,
            heads,
            kv_heads: self.integer("attention.head_count_kv")?.unwrap_or(heads),
            head_width,
            norm_eps: self
                .float("attention.layer_norm_rms_epsilon")?
                .ok_or("the epsilon of norms is missing")?,
            rope_theta: self.float("rope.freq_base")?.unwrap_or(DEFAULT_THETA),
            rope_scaling: self.scaling()?,
            has_interleaved_heads: true,
            context: self.needed("context_length")?,
            sliding_window: self.integer("attention.sliding_window")?,
            has_tied_head: !has_head,
        })
    }

    fn scaling(&self) -> Result<RopeScaling, String> {
        let kind = self.value("rope.scaling.type");
        match kind.and_then(GgufValue::text).unwrap_or("none") {
            "none" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear {
                factor: self.float("rope.scaling.factor")?.unwrap_or(1.0),
            }),
            other => Err(format!("rope scaling {other} is not supported")),
        }
    }

    fn value(&self, key: &str) -> Option<&'a GgufValue> {
        self.metadata.get(&format!("{}.{key}", self.architecture))
    }

    fn integer(&self, key: &str) -> Result<Option<i64>, String> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let value = value.unsigned().and_then(|value| i64::try_from(value).ok());
        value
            .map(Some)
            .ok_or_else(|| format!("{key} is no integer of use"))
    }

    fn needed(&self, key: &str) -> Result<i64, String> {
        self.integer(key)?
            .ok_or_else(|| format!("{key} is missing"))
    }

    fn float(&self, key: &str) -> Result<Option<f64>, String> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        value
            .float()
            .map(Some)
            .ok_or_else(|| format!("{key} is no number"))
    }
}

/// The values of an array that has to be there.
pub(in crate::llm) fn arrays_of<'a>(
    metadata: &'a GgufMetadata,
    key: &str,
) -> Result<&'a [GgufValue], String> {
    let value = metadata.get(key).and_then(GgufValue::array);
    value.ok_or_else(|| format!("{key} is missing, or is no array"))
}
