//! Loading a model from a folder of transformers or from a GGUF file.

use std::path::{Path, PathBuf};

use kinora_nn::weights::weight_files;
use kinora_nn::{GgufMetadata, GgufValue, NameMap, Weights};
use serde::Deserialize;
use tch::{Device, Kind};

use super::super::cache::KvCache;
use super::super::chat::ChatTemplate;
use super::super::config::DecoderConfig;
use super::super::network::Decoder;
use super::super::tokenizer::TextTokenizer;
use super::{LanguageModel, LlmOptions};
use crate::config::read_json;
use crate::device::{device, kind, set_threads};
use crate::error::LoadError;
use crate::guard::guarded;

/// What errors call the network.
const PART: &str = "language model";
/// What files of transformers have and nobody needs.
const HUGGING_FACE_NAMES: &str = include_str!("hugging_face.toml");
/// What GGUF files call the tensors.
const GGUF_NAMES: &str = include_str!("gguf.toml");
/// Most tokens of a context that memory is taken for.
const MAX_CONTEXT: usize = 1 << 20;

/// What a folder or file holds besides the tensors.
struct Parts {
    files: Vec<PathBuf>,
    names: NameMap,
    config: DecoderConfig,
    tokenizer: TextTokenizer,
    template: ChatTemplate,
}

#[derive(Default, Deserialize)]
struct TokenizerConfig {
    chat_template: Option<Template>,
}

/// A template, or several with names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Template {
    One(String),
    Many(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

impl LanguageModel {
    /// Loads a model: `path` is a GGUF file, or a folder with `config.json`, `tokenizer.json`,
    /// `tokenizer_config.json` and `model.safetensors` or its shards.
    ///
    /// # Errors
    /// A file is missing or broken, is of a kind that is not supported, or there is no memory for it.
    pub fn load(path: &Path, options: &LlmOptions) -> Result<Self, LoadError> {
        let parts = if path.is_dir() {
            Parts::of_folder(path)?
        } else {
            Parts::of_gguf(path)?
        };
        set_threads(options.threads)?;
        let (device, kind) = (device(options.device)?, kind(options.precision));
        let context = context(options, &parts.config)?;
        let load = || Ok(parts.load(device, kind, context));
        guarded(load).map_err(|error| LoadError::Engine(error.to_string()))?
    }
}

impl Parts {
    fn load(self, device: Device, kind: Kind, context: i64) -> Result<LanguageModel, LoadError> {
        let (known, rows) = (self.tokenizer.len(), self.config.vocabulary);
        if i64::try_from(known).is_ok_and(|known| known > rows) {
            let reason = format!("the tokenizer has {known} tokens, the network {rows}");
            let path = self.files.first().cloned().unwrap_or_default();
            return Err(LoadError::Config { path, reason });
        }
        let part = LoadError::weights(PART);
        let maps = std::slice::from_ref(&self.names);
        let weights = Weights::open_files(&self.files, maps, device, kind).map_err(&part)?;
        let decoder = Decoder::load(&weights, &self.config, context).map_err(&part)?;
        weights.finish().map_err(&part)?;
        let cache = KvCache::new(&self.config, context, device, kind)?;
        Ok(LanguageModel {
            decoder,
            tokenizer: self.tokenizer,
            template: self.template,
            cache,
        })
    }

    fn of_folder(folder: &Path) -> Result<Self, LoadError> {
        let part = LoadError::weights(PART);
        let config = DecoderConfig::read(&folder.join("config.json"))?;
        let path = folder.join("tokenizer.json");
        let tokenizer = TextTokenizer::read(&path)?;
        let path = folder.join("tokenizer_config.json");
        Ok(Self {
            files: weight_files(folder, "model").map_err(&part)?,
            names: map(HUGGING_FACE_NAMES, &path)?,
            template: template(&folder_template(folder)?, &tokenizer, &path)?,
            config,
            tokenizer,
        })
    }

    fn of_gguf(path: &Path) -> Result<Self, LoadError> {
        let part = LoadError::weights(PART);
        let metadata = GgufMetadata::read(path).map_err(&part)?;
        let names = map(GGUF_NAMES, path)?;
        let files = vec![path.to_owned()];
        let maps = std::slice::from_ref(&names);
        let headers = Weights::open_files(&files, maps, Device::Cpu, Kind::Float).map_err(&part)?;
        let has_head = headers.has("lm_head.weight");
        let tokenizer = TextTokenizer::from_gguf(path, &metadata)?;
        let text = metadata
            .get("tokenizer.chat_template")
            .and_then(GgufValue::text);
        Ok(Self {
            files,
            names,
            config: DecoderConfig::from_gguf(path, &metadata, has_head)?,
            template: template(text.unwrap_or_default(), &tokenizer, path)?,
            tokenizer,
        })
    }
}

fn map(toml: &str, path: &Path) -> Result<NameMap, LoadError> {
    NameMap::from_toml(toml).map_err(|reason| LoadError::config(path, reason))
}

fn template(text: &str, tokenizer: &TextTokenizer, path: &Path) -> Result<ChatTemplate, LoadError> {
    ChatTemplate::choose(text, tokenizer)
        .ok_or_else(|| LoadError::config(path, "it has no chat template of a known kind"))
}

/// The template of a folder: a file of its own, or in the configuration of the tokenizer.
fn folder_template(folder: &Path) -> Result<String, LoadError> {
    let path = folder.join("chat_template.jinja");
    if path.is_file() {
        return std::fs::read_to_string(&path).map_err(|error| LoadError::config(&path, error));
    }
    let config: TokenizerConfig = read_json(&folder.join("tokenizer_config.json"))?;
    Ok(match config.chat_template {
        None => String::new(),
        Some(Template::One(template)) => template,
        Some(Template::Many(templates)) => {
            let default = templates.into_iter().find(|one| one.name == "default");
            default.map(|one| one.template).unwrap_or_default()
        }
    })
}

/// Tokens that memory is taken for: what was asked for, as far as the model was made for it.
fn context(options: &LlmOptions, config: &DecoderConfig) -> Result<i64, LoadError> {
    let asked = options.context_tokens.clamp(2, MAX_CONTEXT);
    let asked = i64::try_from(asked).map_err(|error| LoadError::Engine(error.to_string()))?;
    Ok(asked.min(config.context.max(2)))
}
