//! Asking servers that speak OpenAI's dialect: whose addresses operators set, and whose answers may be anything.

use std::time::Duration;

use futures::StreamExt;
use kinora_mesh::secret::Secret;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// No answer is longer.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Why a server's answer is none. The texts have nothing of the question.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// It answered that it has too much to do.
    #[error("it answers with status {0}")]
    Busy(u16),
    /// It answered otherwise than with success.
    #[error("it answers with status {0}")]
    Status(u16),
    /// It did not answer in time.
    #[error("it did not answer in time")]
    Timeout,
    /// It could not be reached, or broke off.
    #[error("it cannot be reached")]
    Unreachable,
    /// What it answers is too long, or no JSON of the form that is expected.
    #[error("its answer {0}")]
    Answer(&'static str),
}

/// One path of one server.
#[derive(Clone, Debug)]
pub struct JsonEndpoint {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
}

impl JsonEndpoint {
    /// `path` below `base`, such as `chat/completions` below `http://localhost:8000/v1`. No redirect is followed: the key
    /// goes nowhere else.
    ///
    /// # Errors
    /// [`Error::Options`] when the URL or the key makes no sense, with `name` as the option.
    pub fn new(
        name: &str,
        base: &str,
        path: &str,
        api_key: Option<&Secret>,
    ) -> Result<Self, Error> {
        let wrong = |problem: &str| Error::Options(format!("{name}: {problem}"));
        let url = format!("{}/{path}", base.trim_end_matches('/'));
        let url: Url = url.parse().map_err(|_| wrong("is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("is no http or https URL"));
        }
        let authorization = api_key
            .map(|key| HeaderValue::from_str(&format!("Bearer {}", key.reveal())))
            .transpose()
            .map_err(|_| wrong("its key cannot stand in a header"))?
            .map(|mut value| {
                value.set_sensitive(true);
                value
            });
        // Fails only when a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|_| wrong("TLS cannot be set up"))?;
        Ok(Self {
            client,
            url,
            authorization,
        })
    }

    /// Posts a question and reads the answer, all within `timeout`.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn ask<T: DeserializeOwned>(
        &self,
        question: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, HttpError> {
        let mut request = self.client.post(self.url.clone()).json(question);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let answer = async {
            let response = request.send().await.map_err(|error| {
                if error.is_timeout() {
                    HttpError::Timeout
                } else {
                    HttpError::Unreachable
                }
            })?;
            read(response).await
        };
        let body = tokio::time::timeout(timeout, answer).await;
        let body = body.map_err(|_| HttpError::Timeout)??;
        serde_json::from_slice(&body).map_err(|_| HttpError::Answer("is not what was expected"))
    }
}

async fn read(response: Response) -> Result<Vec<u8>, HttpError> {
    let status = response.status();
    if matches!(status.as_u16(), 429 | 503) {
        return Err(HttpError::Busy(status.as_u16()));
    }
    if !status.is_success() {
        return Err(HttpError::Status(status.as_u16()));
    }
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| HttpError::Unreachable)?;
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(HttpError::Answer("is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
