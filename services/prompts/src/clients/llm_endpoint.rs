//! A language model behind a server in OpenAI's dialect.

use futures::future::BoxFuture;
use kinora_enhancement::llm::{Message, Role};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::http::{HttpError, JsonEndpoint};
use super::{Question, Writer, WriterError};
use crate::config::llm::LlmOptions;
use crate::error::Error;

/// Some liveliness; the seed keeps it repeatable.
const TEMPERATURE: f32 = 0.3;

/// The server.
pub struct LlmEndpoint {
    endpoint: JsonEndpoint,
    model: String,
    max_tokens: u32,
    places: Semaphore,
}

impl LlmEndpoint {
    /// As the options say; `base` is the URL before `/chat/completions`.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn new(base: &str, options: &LlmOptions) -> Result<Self, Error> {
        let key = options.api_key.as_ref();
        Ok(Self {
            endpoint: JsonEndpoint::new("--llm-endpoint", base, "chat/completions", key)?,
            model: options.endpoint_model.clone(),
            max_tokens: options.max_tokens,
            places: Semaphore::new(options.queue.max(1)),
        })
    }

    async fn ask(&self, question: Question) -> Result<String, WriterError> {
        let _place = self.places.try_acquire().map_err(|_| WriterError::Busy)?;
        let body = Completion {
            model: &self.model,
            messages: question.messages.iter().map(Turn::of).collect(),
            max_tokens: self.max_tokens,
            temperature: TEMPERATURE,
            // Servers read it as a signed number of 64 bits at most.
            seed: question.seed >> 1,
            stream: false,
            response_format: ResponseFormat {
                kind: "json_object",
            },
        };
        let left = question.deadline.saturating_duration_since(Instant::now());
        let answer: Answer = self.endpoint.ask(&body, left).await.map_err(read_error)?;
        let choice = answer.choices.into_iter().next();
        choice
            .and_then(|choice| choice.message.content)
            .ok_or_else(|| WriterError::Failed("its answer has no text".to_owned()))
    }
}

impl Writer for LlmEndpoint {
    fn write(&self, question: Question) -> BoxFuture<'_, Result<String, WriterError>> {
        Box::pin(self.ask(question))
    }
}

fn read_error(error: HttpError) -> WriterError {
    match error {
        HttpError::Busy(_) => WriterError::Busy,
        HttpError::Timeout => WriterError::Timeout,
        HttpError::Status(_) | HttpError::Unreachable | HttpError::Answer(_) => {
            WriterError::Failed(error.to_string())
        }
    }
}

#[derive(Serialize)]
struct Completion<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    model: &'a str,
    messages: Vec<Turn<'a>>,
    max_tokens: u32,
    temperature: f32,
    seed: u64,
    stream: bool,
    response_format: ResponseFormat,
}

#[derive(Serialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: &'a str,
}

impl<'a> Turn<'a> {
    fn of(message: &'a Message) -> Self {
        Self {
            role: match message.role {
                Role::System => "system",
                Role::User => "user",
            },
            content: &message.text,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
}
