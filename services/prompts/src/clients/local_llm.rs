//! The language model that runs in this process, on a thread of its own.

use std::path::Path;

use futures::future::BoxFuture;
use kinora_enhancement::llm::{self, Field, Message};
use kinora_models::llm::{
    ChatMessage, EngineOptions, FinishReason, JsonField, JsonFields, LlmEngine, LlmError,
    LlmHandle, LlmRequest, Role, SamplingOptions,
};

use super::{Question, Writer, WriterError};
use crate::config::llm::LlmOptions;
use crate::error::Error;

/// Some liveliness; the seed keeps it repeatable.
const TEMPERATURE: f64 = 0.3;
const TOP_P: f64 = 0.9;
/// Small models say things twice.
const REPETITION_PENALTY: f64 = 1.1;

/// The model's thread.
pub struct LocalLlm {
    engine: LlmHandle,
    max_tokens: usize,
}

impl LocalLlm {
    /// Loads the model, which takes seconds.
    ///
    /// # Errors
    /// [`Error::Options`] when it cannot be read, or is of a kind that is not known.
    pub fn open(path: &Path, options: &LlmOptions) -> Result<Self, Error> {
        let threads = (options.threads > 0).then_some(options.threads);
        let model = kinora_models::llm::LlmOptions {
            threads,
            ..Default::default()
        };
        let engine = EngineOptions {
            model,
            queue: options.queue,
        };
        let engine = LlmEngine::start(path, &engine)
            .map_err(|error| Error::Options(format!("--llm-model: {}: {error}", path.display())))?;
        Ok(Self {
            engine,
            max_tokens: usize::try_from(options.max_tokens).unwrap_or(usize::MAX),
        })
    }

    async fn ask(&self, question: Question) -> Result<String, WriterError> {
        let request = LlmRequest {
            messages: question.messages.iter().map(turn).collect(),
            options: SamplingOptions {
                max_tokens: self.max_tokens,
                temperature: TEMPERATURE,
                top_p: TOP_P,
                repetition_penalty: REPETITION_PENALTY,
                seed: question.seed,
                ..Default::default()
            },
            constraint: Some(constraint(question.fields)),
            deadline: question.deadline.into_std(),
        };
        let generation = self.engine.generate(request).map_err(read_error)?;
        let outcome = generation.outcome().await.map_err(read_error)?;
        match outcome.finish {
            FinishReason::Deadline | FinishReason::Cancelled => Err(WriterError::Timeout),
            FinishReason::Repetition => Err(WriterError::Unusable("it repeats itself")),
            FinishReason::End | FinishReason::Stop | FinishReason::Whole | FinishReason::Length => {
                Ok(outcome.text)
            }
        }
    }
}

impl Writer for LocalLlm {
    fn write(&self, question: Question) -> BoxFuture<'_, Result<String, WriterError>> {
        Box::pin(self.ask(question))
    }
}

/// An object of these fields, and nothing else.
fn constraint(fields: &[Field]) -> JsonFields {
    let fields = fields.iter().map(|field| JsonField {
        name: field.name.to_owned(),
        max_characters: u32::try_from(field.max_chars).unwrap_or(u32::MAX),
    });
    JsonFields::new(fields.collect())
}

fn turn(message: &Message) -> ChatMessage {
    let role = match message.role {
        llm::Role::System => Role::System,
        llm::Role::User => Role::User,
    };
    ChatMessage::new(role, message.text.clone())
}

fn read_error(error: LlmError) -> WriterError {
    match error {
        LlmError::Busy { .. } => WriterError::Busy,
        LlmError::Stopped
        | LlmError::TooLong { .. }
        | LlmError::Invalid { .. }
        | LlmError::NoTokenFits
        | LlmError::NotFinite
        | LlmError::OutOfMemory
        | LlmError::Engine(_) => WriterError::Failed(error.to_string()),
    }
}
