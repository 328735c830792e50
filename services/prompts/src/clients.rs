//! Other programs that the service asks, and the language model in its own process, behind one interface.

pub mod http;
pub mod llm_endpoint;
pub mod local_llm;
pub mod moderation;

use futures::future::BoxFuture;
use kinora_enhancement::llm::{Field, Message};
use tokio::time::Instant;

/// Why a language model wrote nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriterError {
    /// Too many wait for it.
    #[error("too many prompts wait for the language model")]
    Busy,
    /// It was too late.
    #[error("the language model was too late")]
    Timeout,
    /// It wrote, and what it wrote is of no use.
    #[error("the language model wrote nothing of use: {0}")]
    Unusable(&'static str),
    /// It is away, broke, or answers what nobody can read. The text is for operators.
    #[error("the language model failed: {0}")]
    Failed(String),
}

/// What a language model is asked for.
#[derive(Clone, Debug)]
pub struct Question {
    /// What it is told.
    pub messages: Vec<Message>,
    /// The text fields of the JSON object that it shall answer with.
    pub fields: &'static [Field],
    /// The same question with the same seed has the same answer, as far as the model can do that.
    pub seed: u64,
    /// When its answer is worth nothing any more.
    pub deadline: Instant,
}

/// A language model.
pub trait Writer: Send + Sync {
    /// Answers with a text that should be a JSON object, and may be anything.
    fn write(&self, question: Question) -> BoxFuture<'_, Result<String, WriterError>>;
}
