//! Sentence embeddings: texts to vectors of unit length that lie close where meanings do.
//!
//! The models are those of sentence-transformers on BERT (all-MiniLM-L6-v2 and its relatives): encoder,
//! mean over the tokens, unit length. A model reads a window of its own size; a longer text becomes
//! several windows, and how many is bounded, so that no text can ask for more than its share of time.

pub mod config;
pub mod network;

mod tokens;

use std::path::Path;

use kinora_nn::Weights;
use tch::{Kind, Tensor};

use self::config::SentenceConfig;
use self::network::BertEncoder;
use self::tokens::{Window, Windower};
use crate::device::{device, kind, set_threads};
use crate::digest::sha256_hex;
use crate::error::{GenerateError, LoadError};
use crate::guard::guarded;
use crate::request::{DeviceChoice, Precision};

/// What the network is called in errors.
const PART: &str = "sentence encoder";
/// Windows that run through the network at once.
const BATCH_WINDOWS: usize = 8;
/// Below this a vector has no direction; as in the reference.
const SMALLEST_LENGTH: f64 = 1e-12;

/// How to load a sentence encoder.
#[derive(Clone, Debug, Default)]
pub struct SentenceOptions {
    /// The device.
    pub device: DeviceChoice,
    /// What matrix products are computed in; see [`fastest_precision`]. With bfloat16 vectors differ
    /// from those of 32-bit floats in the third digit.
    pub precision: Precision,
    /// Threads for operators on the CPU, for the whole process; left as they are when absent.
    pub threads: Option<usize>,
}

/// Tokenizer and network of a sentence embedding model.
///
/// It can be sent to another thread but not be shared: one thread owns it, or a lock does.
#[derive(Debug)]
pub struct SentenceEncoder {
    windower: Windower,
    network: BertEncoder,
    width: usize,
}

/// The vectors of one text.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddedText {
    /// One vector of unit length for each window, from the beginning of the text on; at least one.
    pub windows: Vec<Vec<f32>>,
    /// Whether the text goes on after the last window, so that its end is in no vector.
    pub is_cut: bool,
}

impl SentenceEncoder {
    /// Reads the model of a folder: `config.json`, `tokenizer.json`, `model.safetensors`, and where
    /// they exist `sentence_bert_config.json` (the window) and `1_Pooling/config.json`.
    ///
    /// # Errors
    /// A file is missing or broken, the weights do not fit the configuration, the model pools in
    /// another way than by the mean, or the device is not there.
    pub fn load(folder: &Path, options: &SentenceOptions) -> Result<Self, LoadError> {
        let config = SentenceConfig::read(folder)?;
        let windower = Windower::load(&folder.join("tokenizer.json"), &config)?;
        set_threads(options.threads)?;
        let device = device(options.device)?;
        let kind = kind(options.precision);
        let part = LoadError::weights(PART);
        let weights = Weights::open(folder, "model", device, kind).map_err(&part)?;
        let network = BertEncoder::load(&weights, &config.network).map_err(&part)?;
        weights.finish().map_err(&part)?;
        Ok(Self {
            windower,
            network,
            width: usize::try_from(config.network.hidden_size).unwrap_or_default(),
        })
    }

    /// Numbers in a vector.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Tokens in a window, the two marks at its ends included.
    #[must_use]
    pub fn window_tokens(&self) -> usize {
        self.windower.window_tokens()
    }

    /// The vector of the first window of every text, in their order; what follows is not read.
    ///
    /// # Errors
    /// `Invalid` if the tokenizer refuses a text or knows more words than the network, `OutOfMemory`
    /// and `Engine` from libtorch. The encoder stays usable.
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, GenerateError> {
        let mut windows = Vec::new();
        for text in texts {
            windows.extend(self.windower.windows(text, 1)?.windows);
        }
        self.vectors(&windows)
    }

    /// The vectors of a text's windows, `max_windows` of them at most (and one at least).
    ///
    /// Neighbours share an eighth of their tokens, so that words at a border are seen together once.
    ///
    /// # Errors
    /// As [`SentenceEncoder::encode`].
    pub fn encode_windows(
        &self,
        text: &str,
        max_windows: usize,
    ) -> Result<EmbeddedText, GenerateError> {
        let text = self.windower.windows(text, max_windows.max(1))?;
        Ok(EmbeddedText {
            windows: self.vectors(&text.windows)?,
            is_cut: text.is_cut,
        })
    }

    /// One vector for each window.
    fn vectors(&self, windows: &[Window]) -> Result<Vec<Vec<f32>>, GenerateError> {
        let mut vectors = Vec::with_capacity(windows.len());
        for batch in windows.chunks(BATCH_WINDOWS) {
            vectors.extend(guarded(|| self.batch_vectors(batch))?);
        }
        Ok(vectors)
    }

    fn batch_vectors(&self, batch: &[Window]) -> Result<Vec<Vec<f32>>, GenerateError> {
        let (ids, mask) = tokens::padded(batch)?; // [b, s] both
        let mask = (!is_full(batch)).then_some(&mask);
        let pooled = pooled(&self.network.forward(&ids, mask), mask); // [b, c]
        let length = pooled.norm_scalaropt_dim(2.0, [-1_i64], true);
        let unit = pooled / length.clamp_min(SMALLEST_LENGTH);
        Ok(Vec::<Vec<f32>>::try_from(&unit)?)
    }
}

/// The SHA-256 of a model's weights in lower-case hexadecimal: classifiers are trained on the vectors
/// of one model and mean nothing on another's.
///
/// # Errors
/// `Config` if `model.safetensors` cannot be read.
pub fn weights_digest(folder: &Path) -> Result<String, LoadError> {
    sha256_hex(&folder.join("model.safetensors"))
}

/// The precision that takes the least time on this machine's processor: bfloat16 where there are
/// instructions for it, else 32-bit floats. Elsewhere bfloat16 is emulated and takes many times as long.
#[must_use]
pub fn fastest_precision() -> Precision {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512bf16") {
        return Precision::Bf16;
    }
    Precision::F32
}

/// Whether all windows have the same length, so that none is padded.
fn is_full(batch: &[Window]) -> bool {
    batch.windows(2).all(|pair| pair[0].len() == pair[1].len())
}

/// The mean over the tokens of each text.
///
/// # Shapes
/// hidden `[b, s, c]`, mask `[b, s]` with 1 at tokens and 0 at padding, to `[b, c]`
fn pooled(hidden: &Tensor, mask: Option<&Tensor>) -> Tensor {
    let Some(mask) = mask else {
        return hidden.mean_dim([1_i64].as_slice(), false, Kind::Float);
    };
    let mask = mask
        .to_device(hidden.device())
        .to_kind(Kind::Float)
        .unsqueeze(-1); // [b, s, 1]
    let sum = (hidden * &mask).sum_dim_intlist([1_i64].as_slice(), false, Kind::Float);
    sum / mask.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)
}
