//! Errors as they leave a service: one code, one machine-readable reason, one public sentence.
//!
//! Inside a service errors are enums of their own. They become a [`PublicError`] last, and then a
//! [`tonic::Status`] with `google.rpc.ErrorInfo`, `google.rpc.BadRequest` and `google.rpc.RetryInfo`, or a problem document.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The `domain` of every `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "kinora";

/// The situations that callers tell apart without reading the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request can never succeed as it is.
    InvalidArgument,
    /// No such thing, or not the caller's.
    NotFound,
    /// The name is taken by something else.
    AlreadyExists,
    /// Not in a state that allows the call.
    FailedPrecondition,
    /// Lost a race; read again and retry.
    Aborted,
    /// The caller is not known.
    Unauthenticated,
    /// The caller is known and may not.
    PermissionDenied,
    /// A limit or quota is reached.
    ResourceExhausted,
    /// The caller gave up.
    Cancelled,
    /// Took too long.
    DeadlineExceeded,
    /// A dependency is away; retry later.
    Unavailable,
    /// Not built.
    Unimplemented,
    /// Our fault.
    Internal,
}

impl Kind {
    /// The gRPC code.
    #[must_use]
    pub const fn grpc(self) -> Code {
        match self {
            Self::InvalidArgument => Code::InvalidArgument,
            Self::NotFound => Code::NotFound,
            Self::AlreadyExists => Code::AlreadyExists,
            Self::FailedPrecondition => Code::FailedPrecondition,
            Self::Aborted => Code::Aborted,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::PermissionDenied => Code::PermissionDenied,
            Self::ResourceExhausted => Code::ResourceExhausted,
            Self::Cancelled => Code::Cancelled,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Unavailable => Code::Unavailable,
            Self::Unimplemented => Code::Unimplemented,
            Self::Internal => Code::Internal,
        }
    }

    /// The HTTP status, as a number (`google.rpc.Code` mapping).
    #[must_use]
    pub const fn http(self) -> u16 {
        match self {
            Self::InvalidArgument | Self::FailedPrecondition => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::ResourceExhausted => 429,
            Self::Cancelled => 499,
            Self::Internal => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }

    /// The kind behind a gRPC code; codes without a kind of their own are internal.
    #[must_use]
    pub const fn from_grpc(code: Code) -> Self {
        match code {
            Code::InvalidArgument | Code::OutOfRange => Self::InvalidArgument,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::AlreadyExists,
            Code::FailedPrecondition => Self::FailedPrecondition,
            Code::Aborted => Self::Aborted,
            Code::Unauthenticated => Self::Unauthenticated,
            Code::PermissionDenied => Self::PermissionDenied,
            Code::ResourceExhausted => Self::ResourceExhausted,
            Code::Cancelled => Self::Cancelled,
            Code::DeadlineExceeded => Self::DeadlineExceeded,
            Code::Unavailable => Self::Unavailable,
            Code::Unimplemented => Self::Unimplemented,
            Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => Self::Internal,
        }
    }
}

/// A field of the request that is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field, for example `frames`.
    pub field: String,
    /// A sentence for the caller.
    pub description: String,
}

/// What a caller may know about an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PublicError {
    /// The class of the error.
    pub kind: Kind,
    /// UPPER_SNAKE reason, stable across versions.
    pub reason: String,
    /// A sentence for the caller.
    pub message: String,
    /// Every dynamic part of the message, machine-readable, in order.
    pub metadata: Vec<(String, String)>,
    /// The fields that are wrong.
    pub violations: Vec<FieldViolation>,
    /// When the call may succeed, if that can be told.
    pub retry_after: Option<Duration>,
}

impl PublicError {
    /// Makes an error without metadata or violations.
    #[must_use]
    pub fn new(kind: Kind, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            message: message.into(),
            metadata: Vec::new(),
            violations: Vec::new(),
            retry_after: None,
        }
    }

    /// Says when the call may succeed.
    #[must_use]
    pub const fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Adds one machine-readable value.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Names a field that is wrong.
    #[must_use]
    pub fn with_violation(mut self, field: impl Into<String>, text: impl Into<String>) -> Self {
        self.violations.push(FieldViolation {
            field: field.into(),
            description: text.into(),
        });
        self
    }

    /// Logs an unexpected error with its causes, once, and answers with a sentence that tells nothing.
    #[must_use]
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %chain(error), "internal error");
        Self::new(
            Kind::Internal,
            "INTERNAL",
            "something failed on our side; the request id helps us find it",
        )
    }

    /// Reads an error that another service sent, or how the call came to nothing on the way.
    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let kind = if is_broken(status) {
            Kind::Unavailable
        } else {
            Kind::from_grpc(status.code())
        };
        let mut error = Self::new(kind, default_reason(kind), status.message());
        if let Some(info) = details.error_info() {
            error.reason.clone_from(&info.reason);
            error.metadata = info.metadata.clone().into_iter().collect();
            error.metadata.sort();
        } else if matches!(kind, Kind::Internal | Kind::Unavailable) {
            // A text that no service of ours wrote on purpose: a transport's words.
            tracing::warn!(code = ?status.code(), message = status.message(), "a call failed");
            error.message = default_message(kind).to_owned();
        }
        error.retry_after = details.retry_info().and_then(|info| info.retry_delay);
        if let Some(bad) = details.bad_request() {
            error.violations = bad
                .field_violations
                .iter()
                .map(FieldViolation::from)
                .collect();
        }
        error
    }
}

impl From<&tonic_types::FieldViolation> for FieldViolation {
    fn from(violation: &tonic_types::FieldViolation) -> Self {
        Self {
            field: violation.field.clone(),
            description: violation.description.clone(),
        }
    }
}

impl From<PublicError> for Status {
    fn from(error: PublicError) -> Self {
        let metadata: HashMap<String, String> = error.metadata.into_iter().collect();
        let mut details = ErrorDetails::with_error_info(error.reason, ERROR_DOMAIN, metadata);
        for violation in error.violations {
            details.add_bad_request_violation(violation.field, violation.description);
        }
        if error.retry_after.is_some() {
            details.set_retry_info(error.retry_after);
        }
        Self::with_error_details(error.kind.grpc(), error.message, details)
    }
}

/// Whether a call's connection broke: what the transport then says depends on the moment. No service of ours cancels a
/// call that its caller still waits for.
fn is_broken(status: &Status) -> bool {
    let is_of_transport = status.code() == Code::Unknown && status.source().is_some();
    status.code() == Code::Cancelled || is_of_transport
}

/// An error and its causes in one line.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

const fn default_reason(kind: Kind) -> &'static str {
    match kind {
        Kind::InvalidArgument => "INVALID_ARGUMENT",
        Kind::NotFound => "NOT_FOUND",
        Kind::AlreadyExists => "ALREADY_EXISTS",
        Kind::FailedPrecondition => "FAILED_PRECONDITION",
        Kind::Aborted => "ABORTED",
        Kind::Unauthenticated => "UNAUTHENTICATED",
        Kind::PermissionDenied => "PERMISSION_DENIED",
        Kind::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Kind::Cancelled => "CANCELLED",
        Kind::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Kind::Unavailable => "UNAVAILABLE",
        Kind::Unimplemented => "UNIMPLEMENTED",
        Kind::Internal => "INTERNAL",
    }
}

const fn default_message(kind: Kind) -> &'static str {
    match kind {
        Kind::Unavailable => "a part of the service is away; try again in a moment",
        _ => "something failed on our side; the request id helps us find it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_wire() {
        let sent = PublicError::new(Kind::InvalidArgument, "FRAMES_INVALID", "frames are off")
            .with_metadata("nearest", "13,17")
            .with_violation("frames", "must be 4n+1")
            .with_retry_after(Duration::from_millis(1500));
        let received = PublicError::from_status(&Status::from(sent.clone()));
        assert_eq!(received, sent);
    }

    #[test]
    fn the_words_of_a_transport_do_not_reach_the_caller() {
        let status = Status::unavailable("tcp connect error: 10.1.2.3:5000");
        let error = PublicError::from_status(&status);
        assert_eq!(error.reason, "UNAVAILABLE");
        assert!(!error.message.contains("10.1.2.3"), "{}", error.message);
    }

    #[test]
    fn a_call_whose_connection_broke_may_be_made_again() {
        let broken: Box<dyn Error + Send + Sync> = std::io::Error::other("broken pipe").into();
        let unknown = Status::from_error(broken);
        assert_eq!(unknown.code(), Code::Unknown);
        for status in [Status::cancelled("operation was canceled"), unknown] {
            assert_eq!(PublicError::from_status(&status).kind, Kind::Unavailable);
        }
        let said = PublicError::from_status(&Status::unknown("said by a service"));
        assert_eq!(said.kind, Kind::Internal);
    }

    #[test]
    fn internal_errors_keep_their_causes_to_themselves() {
        let secret = std::io::Error::other("password=hunter2");
        assert!(!PublicError::internal(&secret).message.contains("hunter2"));
    }
}
