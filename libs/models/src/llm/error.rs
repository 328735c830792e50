//! Why a language model did not answer.

use crate::error::GenerateError;

/// Why a request was not answered. The engine stays usable after every one of them but `Stopped`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LlmError {
    /// As many requests are waiting as may.
    #[error("{waiting} requests are waiting already")]
    Busy {
        /// How many may wait.
        waiting: usize,
    },
    /// The engine's thread has ended.
    #[error("the engine has stopped")]
    Stopped,
    /// The messages do not fit into the context.
    #[error("the messages have {tokens} tokens, at most {limit} fit")]
    TooLong {
        /// Tokens of the messages with the marks of the chat; of very long ones, the fewest that they can have.
        tokens: usize,
        /// Tokens that fit when one is left to be generated.
        limit: usize,
    },
    /// The request asks for something that makes no sense.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field of [`super::LlmRequest`].
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No token of the vocabulary can follow under the constraint.
    #[error("no token of the vocabulary fits the constraint")]
    NoTokenFits,
    /// The logits are not numbers any more.
    #[error("the network computes no numbers")]
    NotFinite,
    /// The device has too little memory for this request.
    #[error("the device is out of memory")]
    OutOfMemory,
    /// libtorch or the tokenizer failed in another way.
    #[error("engine: {0}")]
    Engine(String),
}

impl LlmError {
    /// An `Invalid` error.
    pub(super) fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            reason: reason.into(),
        }
    }
}

impl From<GenerateError> for LlmError {
    fn from(error: GenerateError) -> Self {
        match error {
            GenerateError::OutOfMemory => Self::OutOfMemory,
            GenerateError::Engine(reason) => Self::Engine(reason),
            other => Self::Engine(other.to_string()),
        }
    }
}

impl From<tch::TchError> for LlmError {
    fn from(error: tch::TchError) -> Self {
        GenerateError::from(error).into()
    }
}
