//! Decoder-only language models: Llama and Mistral, from folders of transformers or GGUF files.
//!
//! [`LanguageModel`] is network, tokenizer and chat template together, and generates on the thread that calls it.
//! [`LlmEngine`] gives a model a thread of its own, and hands out [`LlmHandle`]s that any number of threads or tasks may
//! ask at once. What a person typed is data: [`ChatMessage::text`] becomes tokens of text only, whatever it spells; marks
//! of a chat are put in by the template alone.

mod cache;
mod chat;
mod config;
mod constraint;
mod control;
mod engine;
mod error;
mod model;
mod network;
mod sampling;
mod stop;
mod tokenizer;

pub use cache::KvCache;
pub use chat::{ChatMessage, ChatTemplate, Role};
pub use config::{DecoderConfig, RopeScaling};
pub use constraint::{Constraint, Ending, JsonField, JsonFields};
pub use control::{LlmControl, Uninterrupted};
pub use engine::{EngineOptions, LlmBackend, LlmEngine, LlmGeneration, LlmHandle};
pub use error::LlmError;
pub use model::{FinishReason, LanguageModel, LlmOptions, LlmOutcome, LlmRequest};
pub use network::Decoder;
pub use sampling::{SamplingOptions, TokenSampler};
pub use stop::RepetitionGuard;
pub use tokenizer::{TextTokenizer, Tokens};
