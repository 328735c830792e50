//! What goes wrong with Stripe, told so that a caller knows whether to come again.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use stripe_client_core::StripeClientErr;

/// Longer words of Stripe's are not repeated.
const LONGEST_WORD: usize = 100;

/// A call of the gateway failed. Neither `Display` nor `Debug` shows a key, a body or what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options cannot be used.
    #[error("stripe is not set up: {0}")]
    Setup(&'static str),
    /// The caller asks for what cannot be asked.
    #[error("the request to stripe is not valid: {0}")]
    Invalid(&'static str),
    /// Stripe did not answer, in none of the tries. Whether it did what was asked is unknown.
    #[error("stripe did not answer in {tries} tries: {problem}")]
    Away {
        /// How often it was asked.
        tries: u32,
        /// What came of the last try.
        problem: Away,
    },
    /// Stripe is busy or broken, or who it depends on is (409, 424, 429, 5xx). Whether it did what was asked is unknown.
    #[error("stripe could not serve the request in {tries} tries: {refusal}")]
    Busy {
        /// How often it was asked.
        tries: u32,
        /// The last answer.
        refusal: Refusal,
    },
    /// Stripe does not accept the secret key, or not for this (401, 403).
    #[error("stripe does not accept the secret key: {0}")]
    Unauthorized(Refusal),
    /// Stripe has no such object.
    #[error("stripe has no such object: {0}")]
    Missing(Refusal),
    /// The idempotency key was used for another request within a day, or for another refund at any time.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Stripe refuses what was asked.
    #[error("stripe refused the request: {0}")]
    Refused(Refusal),
    /// The answer is too long, is not what its kind has, or lacks what is needed.
    #[error("stripe's answer cannot be used: {0}")]
    Unreadable(&'static str),
    /// An amount is in a currency that the operator has not named.
    #[error("an amount is in a currency that is not configured")]
    UnknownCurrency,
}

impl Error {
    /// Whether the same call may succeed later as it is, with the same idempotency key.
    ///
    /// A key that Stripe does not accept counts: nothing is wrong with the call, and an operator can mend it.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Away { .. } | Self::Busy { .. } | Self::Unauthorized(_) => true,
            Self::Setup(_)
            | Self::Invalid(_)
            | Self::Missing(_)
            | Self::KeyReused
            | Self::Refused(_)
            | Self::Unreadable(_)
            | Self::UnknownCurrency => false,
        }
    }

    /// How long Stripe wants to be left alone, if it said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { refusal, .. } => refusal.retry_after,
            _ => None,
        }
    }
}

impl StripeClientErr for Error {
    fn deserialize_err(_: impl fmt::Display) -> Self {
        Self::Unreadable("it has not the shape of this version of the interface")
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Away {
    /// No connection.
    #[error("it cannot be reached")]
    Unreachable,
    /// It took too long.
    #[error("it took too long")]
    TimedOut,
    /// The connection broke, or what came is no HTTP.
    #[error("the connection broke")]
    Broken,
}

/// What Stripe said when it refused, without its prose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Stripe's `type`, for example `invalid_request_error`.
    pub kind: Option<String>,
    /// Stripe's `code`, for example `charge_already_refunded`.
    pub code: Option<String>,
    /// The parameter that it is about.
    pub param: Option<String>,
    /// By which Stripe's support and its log know the request.
    pub request_id: Option<String>,
    /// How long it wants to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether it says that another try is of use.
    pub should_retry: Option<bool>,
    /// Whether this is the kept answer to an earlier request with the same key.
    pub is_replayed: bool,
}

impl Refusal {
    /// Adds what the body says. A body that is none of Stripe's says nothing.
    pub(crate) fn with_body(mut self, body: &[u8]) -> Self {
        if let Ok(ErrorBody { error }) = serde_json::from_slice(body) {
            self.kind = error.kind.as_deref().and_then(word);
            self.code = error.code.as_deref().and_then(word);
            self.param = error.param.as_deref().and_then(word);
        }
        self
    }

    /// What this means for the call that was refused.
    pub(crate) fn into_error(self, tries: u32) -> Error {
        match self.status {
            400 if self.kind.as_deref() == Some("idempotency_error") => Error::KeyReused,
            401 | 403 => Error::Unauthorized(self),
            404 => Error::Missing(self),
            409 | 424 | 429 | 500..=599 => Error::Busy {
                tries,
                refusal: self,
            },
            _ => Error::Refused(self),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        let words = [
            ("type", &self.kind),
            ("code", &self.code),
            ("param", &self.param),
            ("request", &self.request_id),
        ];
        for (name, word) in words {
            if let Some(word) = word {
                write!(f, ", {name} {word}")?;
            }
        }
        Ok(())
    }
}

/// Stripe's `error` object, of which all may be missing.
#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorFields,
}

#[derive(Deserialize)]
struct ErrorFields {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<String>,
    param: Option<String>,
}

/// A code or a name as Stripe writes them; anything else might be a text with somebody's data in it.
pub(crate) fn word(text: &str) -> Option<String> {
    let is_word = !text.is_empty()
        && text.len() <= LONGEST_WORD
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte));
    is_word.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        let refusal = Refusal {
            status,
            ..Refusal::default()
        };
        refusal.with_body(body.as_bytes())
    }

    #[test]
    fn prose_and_keys_are_not_repeated() {
        let body = r#"{"error": {"type": "invalid_request_error", "code": "No such key: sk_test_1 of a@b.c",
            "message": "Invalid API Key provided: sk_test_abc", "param": "amount"}}"#;
        let error = refusal(401, body).into_error(1);
        let told = format!("{error} {error:?}");
        assert!(
            told.contains("status 401, type invalid_request_error, param amount"),
            "{told}"
        );
        assert!(
            !told.contains("sk_test") && !told.contains("a@b.c"),
            "{told}"
        );
    }

    #[test]
    fn a_body_that_is_not_stripes_says_nothing() {
        for body in ["", "<html>", "[]", r#"{"error": "gone"}"#, "\u{0}"] {
            let refusal = refusal(502, body);
            assert_eq!((refusal.status, refusal.kind), (502, None), "{body}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(refusal(500, &deep).kind, None);
    }

    #[test]
    fn only_what_may_pass_is_transient() {
        let transient = |status| refusal(status, "").into_error(1).is_transient();
        for status in [401, 403, 409, 424, 429, 500, 502, 503, 599] {
            assert!(transient(status), "{status}");
        }
        for status in [302, 400, 402, 404, 410, 422] {
            assert!(!transient(status), "{status}");
        }
        let reused = refusal(400, r#"{"error": {"type": "idempotency_error"}}"#);
        assert!(matches!(reused.into_error(1), Error::KeyReused));
    }
}
