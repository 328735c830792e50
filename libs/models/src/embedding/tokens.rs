//! From texts to windows of token ids.

use std::path::Path;

use tch::{Kind, Tensor};
use tokenizers::{Encoding, Tokenizer};

use super::config::SentenceConfig;
use crate::error::{GenerateError, LoadError};

/// Neighbouring windows share one token in so many.
const OVERLAP_DIVISOR: usize = 8;
/// Characters that are read for each token of the windows asked for. English has four or five to a
/// token; without a bound a long text would be tokenised to its end to use the first tokens alone.
const MAX_CHARACTERS_PER_TOKEN: usize = 16;

/// The token ids of one window, marks included.
pub(super) type Window = Vec<i64>;

/// Cuts texts into windows.
#[derive(Debug)]
pub(super) struct Windower {
    tokenizer: Tokenizer,
    /// The ids that a window starts and ends with.
    marks: [i64; 2],
    window_tokens: usize,
    vocabulary: i64,
}

/// The windows of one text.
#[derive(Debug)]
pub(super) struct Windows {
    pub(super) windows: Vec<Window>,
    /// Whether the text goes on after the last one.
    pub(super) is_cut: bool,
}

impl Windower {
    /// Reads the tokenizer's file; lengths that it asks for itself are those of another use.
    pub(super) fn load(path: &Path, config: &SentenceConfig) -> Result<Self, LoadError> {
        if !path.is_file() {
            return Err(LoadError::Missing {
                path: path.to_owned(),
            });
        }
        let reason = |error| LoadError::config(path, error);
        let mut tokenizer = Tokenizer::from_file(path).map_err(reason)?;
        // The tokenizer's own truncation does not keep what it cuts off.
        tokenizer.with_truncation(None).map_err(reason)?;
        tokenizer.with_padding(None);
        let marks = ids(&tokenizer.encode("", true).map_err(reason)?);
        let marks = marks.try_into();
        let marks = marks.map_err(|_| LoadError::config(path, "a text must have two marks"))?;
        Ok(Self {
            tokenizer,
            marks,
            window_tokens: config.window_tokens,
            vocabulary: config.network.vocab_size,
        })
    }

    pub(super) fn window_tokens(&self) -> usize {
        self.window_tokens
    }

    /// The first windows of a text, at least one.
    pub(super) fn windows(&self, text: &str, most: usize) -> Result<Windows, GenerateError> {
        let characters = most
            .saturating_mul(self.window_tokens)
            .saturating_mul(MAX_CHARACTERS_PER_TOKEN);
        let end = text.char_indices().nth(characters).map(|(at, _)| at);
        let read = end.and_then(|end| text.get(..end)).unwrap_or(text);
        let encoding = self.tokenizer.encode(read, false);
        let encoding = encoding.map_err(|error| GenerateError::invalid("text", error.to_string()));
        let mut rest = &ids(&encoding?)[..];
        self.check_known(rest)?;
        let room = self.window_tokens - self.marks.len();
        let step = room - self.window_tokens / OVERLAP_DIVISOR;
        let mut windows = Vec::new();
        while windows.is_empty() || (windows.len() < most && !rest.is_empty()) {
            let part = rest.get(..room).unwrap_or(rest);
            windows.push(self.marked(part));
            let is_last = part.len() == rest.len();
            rest = if is_last { &[] } else { &rest[step..] };
        }
        Ok(Windows {
            windows,
            is_cut: end.is_some() || !rest.is_empty(),
        })
    }

    fn marked(&self, part: &[i64]) -> Window {
        let [first, last] = self.marks;
        [&[first], part, &[last]].concat()
    }

    fn check_known(&self, ids: &[i64]) -> Result<(), GenerateError> {
        let unknown = ids
            .iter()
            .chain(&self.marks)
            .find(|&&id| id >= self.vocabulary);
        match unknown {
            Some(id) => Err(GenerateError::invalid(
                "text",
                format!("unknown token {id}"),
            )),
            None => Ok(()),
        }
    }
}

fn ids(encoding: &Encoding) -> Window {
    encoding.get_ids().iter().copied().map(i64::from).collect()
}

/// Windows side by side, each filled up to the length of the longest: ids, and a mask with 1 at tokens
/// and 0 at padding.
///
/// # Shapes
/// `[b, s]` both
pub(super) fn padded(windows: &[Window]) -> Result<(Tensor, Tensor), GenerateError> {
    let longest = windows.iter().map(Vec::len).max().unwrap_or_default();
    let filled = |of: &dyn Fn(&Window) -> Window| -> Vec<i64> {
        let rows = windows.iter().map(|window| {
            let mut row = of(window);
            row.resize(longest, 0);
            row
        });
        rows.flatten().collect()
    };
    let shape = [dimension(windows.len())?, dimension(longest)?];
    let ids = Tensor::f_from_slice(&filled(&Window::clone))?.f_view(shape)?;
    let mask = Tensor::f_from_slice(&filled(&|window| vec![1; window.len()]))?.f_view(shape)?;
    Ok((ids, mask.f_to_kind(Kind::Bool)?))
}

fn dimension(size: usize) -> Result<i64, GenerateError> {
    i64::try_from(size).map_err(|_| GenerateError::invalid("text", "it is too long"))
}
