//! One try: a signed POST, and what came of it.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use tokio::time::timeout;
use url::Url;

use super::model::{FailedTry, Outcome};
use super::resolve::{Guard, LookUp, Refusal};
use super::secret::Secrets;
use super::target::{TargetRules, parse_target};
use crate::domain::job::Time;

/// More of an answer is not read; so little is only so that the connection can be used again.
const MAX_ANSWER_BYTES: usize = 4096;

/// How long an answer's body is read, once its status is known.
const ANSWER_PATIENCE: Duration = Duration::from_millis(500);

/// An idle connection is closed after this, so that a host's addresses are checked again.
const IDLE: Duration = Duration::from_secs(30);

/// How long a try may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// Until the answer's status is there.
    pub total: Duration,
}

/// A message as it goes out.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// Where it goes.
    pub url: &'a str,
    /// What signs it.
    pub secrets: &'a Secrets,
    /// The `webhook-id`.
    pub id: &'a str,
    /// JSON.
    pub body: &'a str,
}

/// Sends messages. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    client: Client,
    guard: Guard,
    rules: TargetRules,
}

impl Sender {
    /// Connects to the addresses that `look_up` finds and `rules` allow. Follows no redirect, uses no proxy.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(
        rules: TargetRules,
        patience: Patience,
        look_up: Arc<dyn LookUp>,
    ) -> Result<Self, reqwest::Error> {
        // Fails only when a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let guard = Guard::new(look_up, rules.allows_private);
        let client = Client::builder()
            .dns_resolver(Arc::new(guard.clone()))
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .https_only(!rules.allows_http)
            .connect_timeout(patience.connect)
            .timeout(patience.total)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("Kinora-Webhooks/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            guard,
            rules,
        })
    }

    /// What names are checked with.
    #[must_use]
    pub const fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Sends one message once.
    pub async fn send(&self, letter: Letter<'_>, now: Time) -> Outcome {
        // Again at each try: the operator may have changed the rules since.
        let url = match parse_target(letter.url, self.rules) {
            Ok(url) if self.guard.allows_literal(&url) => url,
            Ok(_) | Err(_) => return failed(None, "the URL is not allowed"),
        };
        match self.post(url, letter, now).await {
            Ok(response) => {
                let outcome = outcome(response.status().as_u16(), response.headers(), now);
                discard(response).await;
                outcome
            }
            Err(error) => failed(None, problem(&error)),
        }
    }

    async fn post(
        &self,
        url: Url,
        letter: Letter<'_>,
        now: Time,
    ) -> Result<Response, reqwest::Error> {
        let timestamp = now.timestamp();
        let signature = letter.secrets.sign(letter.id, timestamp, letter.body);
        self.client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", letter.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(letter.body.to_owned())
            .send()
            .await
    }
}

fn outcome(status: u16, headers: &HeaderMap, now: Time) -> Outcome {
    let error = match status {
        200..=299 => return Outcome::Delivered { status },
        410 => return Outcome::Gone,
        300..=399 => "answered with a redirect, which is not followed",
        429 => "answered that it gets too many requests",
        400..=499 => "refused the message",
        500..=599 => "answered with an error of its own",
        _ => "answered with a status that means nothing",
    };
    let retry_after = match status {
        429 | 503 => retry_after(headers, now),
        _ => None,
    };
    Outcome::Failed(FailedTry {
        status: Some(status),
        error,
        retry_after,
    })
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    (date.to_utc() - now).to_std().ok()
}

/// Reads a short body to its end, and no more of a long one. Nothing is kept of it.
async fn discard(mut response: Response) {
    let reading = async {
        let mut read = 0;
        while read < MAX_ANSWER_BYTES {
            match response.chunk().await {
                Ok(Some(chunk)) => read += chunk.len(),
                Ok(None) | Err(_) => return,
            }
        }
    };
    // A body that comes slowly is not waited for.
    let _ = timeout(ANSWER_PATIENCE, reading).await;
}

fn problem(error: &reqwest::Error) -> &'static str {
    if let Some(refusal) = refusal(error) {
        return match refusal {
            Refusal::PointsInside => "the host has an address that is not allowed",
            Refusal::NoAddress | Refusal::LookUp(_) => "the host's name could not be looked up",
        };
    }
    if error.is_timeout() {
        "did not answer in time"
    } else if error.is_connect() {
        "could not be connected to"
    } else {
        "broke the connection off"
    }
}

fn refusal(error: &reqwest::Error) -> Option<&Refusal> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref() {
            return Some(refusal);
        }
        cause = error.source();
    }
    None
}

const fn failed(status: Option<u16>, error: &'static str) -> Outcome {
    Outcome::Failed(FailedTry {
        status,
        error,
        retry_after: None,
    })
}

#[cfg(test)]
mod tests;
