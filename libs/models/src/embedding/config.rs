//! Configuration of a sentence embedding model: network, window and pooling.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::{Checked, read_checked, within};
use crate::error::LoadError;

/// Tokens that a window must be able to hold: two marks and something between them.
const SMALLEST_WINDOW: i64 = 8;

/// Shape of a BERT encoder. Field names are those of the file.
#[derive(Clone, Debug, Deserialize)]
pub struct BertConfig {
    /// Entries of the token table.
    pub vocab_size: i64,
    /// Width of the residual stream and of the vectors.
    pub hidden_size: i64,
    /// Inner width of the feed-forward layers.
    pub intermediate_size: i64,
    /// Number of blocks.
    pub num_hidden_layers: i64,
    /// Attention heads.
    pub num_attention_heads: i64,
    /// Entries of the position table.
    pub max_position_embeddings: i64,
    /// Entries of the table of text kinds, of which only the first is used.
    pub type_vocab_size: i64,
    /// Added to variances before division.
    #[serde(default = "default_eps")]
    pub layer_norm_eps: f64,
    /// The activation of the feed-forward layers; only `gelu` is known.
    pub hidden_act: String,
    /// How positions enter; only `absolute` is known.
    #[serde(default = "default_positions")]
    pub position_embedding_type: String,
}

/// What a folder says about its model.
#[derive(Clone, Debug)]
pub struct SentenceConfig {
    /// The network.
    pub network: BertConfig,
    /// Tokens that the model reads at once, the two marks included.
    pub window_tokens: usize,
}

/// `sentence_bert_config.json`.
#[derive(Debug, Deserialize)]
struct WindowFile {
    max_seq_length: Option<i64>,
}

/// `1_Pooling/config.json`.
#[derive(Debug, Deserialize)]
struct PoolingFile {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
}

impl SentenceConfig {
    /// Reads and checks the files of a folder.
    ///
    /// # Errors
    /// `Missing` or `Config`, naming the file.
    pub fn read(folder: &Path) -> Result<Self, LoadError> {
        let network: BertConfig = read_checked(&folder.join("config.json"))?;
        read_if_there::<PoolingFile>(&folder.join("1_Pooling/config.json"))?;
        let path = folder.join("sentence_bert_config.json");
        let window = read_if_there::<WindowFile>(&path)?.and_then(|file| file.max_seq_length);
        let positions = network.max_position_embeddings;
        let window = window.unwrap_or(positions).min(positions);
        Ok(Self {
            network,
            window_tokens: usize::try_from(window).unwrap_or_default(),
        })
    }
}

impl Checked for BertConfig {
    fn check(&self) -> Result<(), String> {
        within("vocab_size", self.vocab_size, 2..=1 << 24)?;
        within("hidden_size", self.hidden_size, 1..=65_536)?;
        within("intermediate_size", self.intermediate_size, 1..=262_144)?;
        within("num_hidden_layers", self.num_hidden_layers, 1..=512)?;
        within("num_attention_heads", self.num_attention_heads, 1..=512)?;
        let positions = SMALLEST_WINDOW..=65_536;
        within(
            "max_position_embeddings",
            self.max_position_embeddings,
            positions,
        )?;
        within("type_vocab_size", self.type_vocab_size, 1..=1024)?;
        within("layer_norm_eps", self.layer_norm_eps, 1e-12..=0.1)?;
        if self.hidden_size % self.num_attention_heads != 0 {
            return Err("hidden_size must be a multiple of num_attention_heads".to_owned());
        }
        if self.hidden_act != "gelu" {
            return Err("hidden_act must be gelu".to_owned());
        }
        if self.position_embedding_type != "absolute" {
            return Err("position_embedding_type must be absolute".to_owned());
        }
        Ok(())
    }
}

impl Checked for WindowFile {
    fn check(&self) -> Result<(), String> {
        let window = self.max_seq_length.unwrap_or(SMALLEST_WINDOW);
        within("max_seq_length", window, SMALLEST_WINDOW..=65_536)
    }
}

impl Checked for PoolingFile {
    fn check(&self) -> Result<(), String> {
        let others = [
            self.pooling_mode_cls_token,
            self.pooling_mode_max_tokens,
            self.pooling_mode_mean_sqrt_len_tokens,
        ];
        if others.contains(&true) {
            return Err("the vectors must be the mean over the tokens".to_owned());
        }
        Ok(())
    }
}

/// Reads a file that a model may lack.
fn read_if_there<T>(path: &Path) -> Result<Option<T>, LoadError>
where
    T: DeserializeOwned + Checked,
{
    match read_checked(path) {
        Ok(value) => Ok(Some(value)),
        Err(LoadError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn default_eps() -> f64 {
    1e-12
}

fn default_positions() -> String {
    "absolute".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &str = r#"{
        "vocab_size": 100, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 64, "type_vocab_size": 2,
        "hidden_act": "gelu"
    }"#;

    fn read(files: &[(&str, &str)]) -> Result<SentenceConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        SentenceConfig::read(folder.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_window_is_the_files_or_all_positions_and_never_more() {
        let window = |file: &str| {
            let files = [
                ("config.json", NETWORK),
                ("sentence_bert_config.json", file),
            ];
            read(&files).map(|config| config.window_tokens)
        };
        assert_eq!(window(r#"{"max_seq_length": 32}"#), Ok(32));
        assert_eq!(window(r#"{"max_seq_length": 256}"#), Ok(64));
        assert_eq!(window(r#"{"max_seq_length": null}"#), Ok(64));
        assert!(window(r#"{"max_seq_length": 0}"#).is_err());
        let alone = read(&[("config.json", NETWORK)]);
        assert_eq!(alone.unwrap().window_tokens, 64);
    }

    #[test]
    fn models_of_another_kind_are_refused_by_name() {
        let refused = |files: &[(&str, &str)], word: &str| {
            let error = read(files).unwrap_err();
            assert!(error.contains(word), "{error}");
        };
        refused(&[], "config.json is missing");
        for (from, to, word) in [
            ("gelu", "relu", "hidden_act"),
            ("\"hidden_size\": 16", "\"hidden_size\": 18", "multiple"),
            ("\"vocab_size\": 100", "\"vocab_size\": -1", "vocab_size"),
            (": 64", ": 0", "max_position_embeddings"),
        ] {
            refused(&[("config.json", &NETWORK.replace(from, to))], word);
        }
        let pooling = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#;
        let files = [("config.json", NETWORK), ("1_Pooling/config.json", pooling)];
        refused(&files, "mean over the tokens");
    }
}
