//! A client of the REST interface.

mod accounts;
mod admin;
mod billing;
pub mod download;
pub mod follow;
mod groups;
pub mod sse;
mod submission;
pub mod view;
mod webhooks;

use std::time::Duration;

use kinora_edge::problem::ProblemDocument;
use kinora_mesh::error::chain;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::groups::GroupKind;
pub use self::submission::{BatchSubmission, Character, SequenceSubmission, Submission};
use self::view::{Estimate, Model, ModelList, Video, VideoList};
pub use self::webhooks::WebhookChange;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than a mesh takes in a body with pictures.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(90);
const READY_TIMEOUT: Duration = Duration::from_secs(3);
const PAGE: usize = 100;

/// A mesh, and the key to it.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    key: String,
    client: Client,
}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody answers at the address.
    #[error("no mesh answers at {base}: {cause}")]
    Unreachable {
        /// The address.
        base: String,
        /// What went wrong on the way.
        cause: String,
        /// Whether the call may have arrived all the same.
        is_sent: bool,
    },
    /// The mesh refused the call, and says why.
    #[error("{}", explain(.0))]
    Refused(Box<ProblemDocument>),
    /// The answer is not what a mesh says.
    #[error("the answer is not one of a mesh: {0}")]
    Protocol(String),
    /// Something on this machine is in the way.
    #[error("{0}")]
    Local(String),
}

impl Api {
    /// A client for the mesh at `base`, for example `http://127.0.0.1:8080`.
    ///
    /// # Errors
    ///
    /// [`ApiError::Local`] when `base` is no URL, or TLS cannot be set up.
    pub fn new(base: &str, key: String) -> Result<Self, ApiError> {
        let url = reqwest::Url::parse(base)
            .map_err(|error| ApiError::Local(format!("`{base}` is not a URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ApiError::Local(format!(
                "`{base}` must begin with http:// or https://"
            )));
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("kinora/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ApiError::Local(chain(&error)))?;
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            key,
            client,
        })
    }

    /// The address.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether the mesh says that it is ready.
    pub async fn is_ready(&self) -> bool {
        let request = self.request(Method::GET, "/readyz").timeout(READY_TIMEOUT);
        request
            .send()
            .await
            .is_ok_and(|response| response.status().is_success())
    }

    /// Accepts a job. With the same key the same job is answered, so it is safe to ask again.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn submit(&self, submission: &Submission, key: &str) -> Result<Video, ApiError> {
        self.submit_to("/v1/videos", submission, key).await
    }

    /// Tells what a job would take.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn estimate(&self, submission: &Submission) -> Result<Estimate, ApiError> {
        let request = self.request(Method::POST, "/v1/videos:estimate");
        self.json(request.json(submission)).await
    }

    /// Lets the clip be made whose preview awaits approval.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn approve(&self, id: &str) -> Result<Video, ApiError> {
        let path = format!("/v1/videos/{}:approve", segment(id));
        self.json(self.request(Method::POST, &path)).await
    }

    /// Reads a job.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn video(&self, id: &str) -> Result<Video, ApiError> {
        self.json(self.request(Method::GET, &format!("/v1/videos/{}", segment(id))))
            .await
    }

    /// Lists at most `limit` jobs that fit `filter`: parameters of the list with their values.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn videos(
        &self,
        limit: usize,
        filter: &[(&str, &str)],
    ) -> Result<Vec<Video>, ApiError> {
        self.pages("/v1/videos", filter, limit, |page: VideoList| {
            (page.data, page.next_page_token)
        })
        .await
    }

    /// Ends a job.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn cancel(&self, id: &str) -> Result<Video, ApiError> {
        self.json(self.request(Method::POST, &format!("/v1/videos/{}:cancel", segment(id))))
            .await
    }

    /// Lists the models.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn models(&self) -> Result<Vec<Model>, ApiError> {
        let list: ModelList = self.json(self.request(Method::GET, "/v1/models")).await?;
        Ok(list.data)
    }

    /// Lists at most `limit` items of a path, page by page.
    async fn pages<P: DeserializeOwned, T>(
        &self,
        path: &str,
        filter: &[(&str, &str)],
        limit: usize,
        items_of: impl Fn(P) -> (Vec<T>, String),
    ) -> Result<Vec<T>, ApiError> {
        let mut items = Vec::new();
        let mut page_token = String::new();
        while items.len() < limit {
            let page_size = (limit - items.len()).min(PAGE).to_string();
            let query = [
                ("page_size", page_size.as_str()),
                ("page_token", page_token.as_str()),
            ];
            let query = query.into_iter().chain(filter.iter().copied());
            let url = reqwest::Url::parse_with_params(&format!("{}{path}", self.base), query)
                .map_err(|error| ApiError::Local(error.to_string()))?;
            let request = self.client.get(url).bearer_auth(&self.key);
            let (more, next) = items_of(self.json(request).await?);
            items.extend(more);
            page_token = next;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(items)
    }

    /// Posts something that may be sent again under the same key.
    async fn submit_to<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        key: &str,
    ) -> Result<T, ApiError> {
        let request = self.request(Method::POST, path);
        let request = request.header("Idempotency-Key", key).json(body);
        self.json_within(SUBMIT_TIMEOUT, request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.key)
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ApiError> {
        self.json_within(CALL_TIMEOUT, request).await
    }

    async fn json_within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        request: RequestBuilder,
    ) -> Result<T, ApiError> {
        let response = self.send(request.timeout(limit)).await?;
        let bytes = response
            .bytes()
            .await
            .map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| ApiError::Protocol(error.to_string()))
    }

    /// Sends a request; an answer of 400 or more becomes an error.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ApiError> {
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response
            .bytes()
            .await
            .map_err(|error| self.unreachable(&error))?;
        match serde_json::from_slice(&bytes) {
            Ok(problem) => Err(ApiError::Refused(problem)),
            Err(_) => Err(ApiError::Protocol(format!("HTTP status {status}"))),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ApiError {
        ApiError::Unreachable {
            base: self.base.clone(),
            cause: chain(error),
            is_sent: !error.is_connect(),
        }
    }
}

/// An id as it may stand in a path, whatever the person typed.
fn segment(id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    id.chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect()
}

/// A problem as lines for a person: the sentence, then each field.
fn explain(problem: &ProblemDocument) -> String {
    let mut text = problem.detail.clone();
    for error in problem
        .errors
        .iter()
        .filter(|error| error.detail != problem.detail)
    {
        text.push_str(&format!("\n  {}: {}", error.field, error.detail));
    }
    if let Some(advice) = advice(&problem.reason) {
        text.push_str(&format!("\n  {advice}"));
    }
    if problem.status >= 500 {
        text.push_str(&format!(" (request {})", problem.request_id));
    }
    text
}

/// What a person can do about it, where the mesh cannot know that they use this command.
fn advice(reason: &str) -> Option<&'static str> {
    match reason {
        "PROMPT_REFUSED" => {
            Some("`kinora prompts policy` lists what is not generated here; say it in other words")
        }
        "PROMPT_NEEDS_REVIEW" => Some(
            "an operator decides with `kinora reviews approve ID`; then give the same command again",
        ),
        "ENHANCEMENT_NOT_SUPPORTED" => Some("leave --enhance out"),
        "ENHANCE_REQUIRED" => Some("--style and --character go with --enhance"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_path_segment() {
        assert_eq!(segment("../../x?y"), "______x_y");
        assert_eq!(segment("01890000-aaaa"), "01890000-aaaa");
    }

    #[test]
    fn a_prompt_that_is_not_taken_says_what_can_be_done() {
        let mut problem = ProblemDocument {
            kind: String::new(),
            title: String::new(),
            status: 400,
            detail: "a person has to look at the prompt first (review r)".to_owned(),
            instance: String::new(),
            reason: "PROMPT_NEEDS_REVIEW".to_owned(),
            metadata: std::collections::BTreeMap::new(),
            errors: Vec::new(),
            request_id: String::new(),
            error: kinora_edge::problem::ErrorObject::default(),
        };
        let text = explain(&problem);
        assert!(
            text.contains("(review r)") && text.contains("kinora reviews approve"),
            "{text}"
        );
        problem.reason = "PROMPT_REFUSED".to_owned();
        assert!(explain(&problem).contains("kinora prompts policy"));
        problem.reason = "JOB_NOT_FOUND".to_owned();
        assert_eq!(explain(&problem), problem.detail);
    }

    #[test]
    fn only_http_addresses_are_taken() {
        for base in ["", "localhost:8080", "ftp://x", "file:///etc/passwd"] {
            assert!(
                matches!(Api::new(base, String::new()), Err(ApiError::Local(_))),
                "{base}"
            );
        }
    }
}
