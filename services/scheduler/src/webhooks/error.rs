//! What can go wrong, and what a caller is told of it.

use std::time::Duration;

use kinora_mesh::error::{Kind, PublicError};

use super::model::MAX_ENDPOINTS;
use super::target::UrlProblem;

/// Most names are looked up in less.
const LOOK_UP_DELAY: Duration = Duration::from_secs(5);

/// A webhook call did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The URL is not taken.
    #[error("the URL {0}")]
    Url(#[from] UrlProblem),
    /// There is no such event.
    #[error("the event is not known")]
    EventUnknown,
    /// The owner has as many endpoints as allowed.
    #[error("the owner has {MAX_ENDPOINTS} endpoints")]
    TooManyEndpoints,
    /// The names of as many URLs as allowed are being looked up.
    #[error("too many names are being looked up")]
    LookUpsBusy,
    /// No such endpoint of this owner.
    #[error("there is no such endpoint")]
    EndpointNotFound,
    /// No such delivery of this owner.
    #[error("there is no such delivery")]
    DeliveryNotFound,
    /// The endpoint is disabled.
    #[error("the endpoint is disabled")]
    EndpointDisabled,
    /// TLS cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

impl From<WebhookError> for PublicError {
    fn from(error: WebhookError) -> Self {
        let invalid = |reason: &'static str, field: &'static str, problem: String| {
            Self::new(Kind::InvalidArgument, reason, format!("{field} {problem}"))
                .with_violation(field, problem)
        };
        match error {
            WebhookError::Url(problem) => {
                let reason = match problem {
                    UrlProblem::Invalid(_) => "URL_INVALID",
                    UrlProblem::NotAllowed => "URL_NOT_ALLOWED",
                };
                invalid(reason, "url", problem.to_string())
            }
            WebhookError::EventUnknown => {
                let known = super::event::EventKind::ALL.map(super::event::EventKind::name);
                let problem = format!("must be among {}", known.join(", "));
                invalid("EVENT_UNKNOWN", "events", problem)
            }
            WebhookError::TooManyEndpoints => Self::new(
                Kind::ResourceExhausted,
                "TOO_MANY_ENDPOINTS",
                format!("there are {MAX_ENDPOINTS} webhook endpoints already; delete one first"),
            ),
            WebhookError::LookUpsBusy => Self::new(
                Kind::ResourceExhausted,
                "LOOK_UPS_BUSY",
                "the names of other webhook URLs are still being looked up; try again in a moment",
            )
            .with_retry_after(LOOK_UP_DELAY),
            WebhookError::EndpointNotFound => Self::new(
                Kind::NotFound,
                "ENDPOINT_NOT_FOUND",
                "there is no such webhook endpoint",
            ),
            WebhookError::DeliveryNotFound => Self::new(
                Kind::NotFound,
                "DELIVERY_NOT_FOUND",
                "there is no such delivery",
            ),
            WebhookError::EndpointDisabled => Self::new(
                Kind::FailedPrecondition,
                "ENDPOINT_DISABLED",
                "the webhook endpoint is disabled; enable it first",
            ),
            error @ WebhookError::Client(_) => Self::internal(&error),
        }
    }
}
