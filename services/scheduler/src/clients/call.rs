//! What calls to other services have in common: whose they are, and how they end.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use kinora_mesh::error::{Kind, PublicError};
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Response, Status};

const AUTHORIZATION: &str = "authorization";

/// Reasons of answers that no service of ours wrote on purpose: a refusal names its own.
const UNNAMED: [&str; 8] = [
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "ABORTED",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
];

/// The access token that a call came with, for the calls that are made in its name.
#[derive(Clone, Default)]
pub struct Token(Option<AsciiMetadataValue>);

impl Token {
    /// Takes the token of a call.
    #[must_use]
    pub fn of<T>(request: &Request<T>) -> Self {
        let mut token = request.metadata().get(AUTHORIZATION).cloned();
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        Self(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why another service did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// It says no. Nothing was done.
    #[error("the call was refused: {}", .0.reason)]
    Refused(PublicError),
    /// It did not answer, or could not. Whether it did what was asked is not known.
    #[error("the service is away: {}", .0.reason)]
    Away(PublicError),
}

/// An answer of another service.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, CallError>>;

/// A call with its time limit, its trace, and the token of whoever it is made for.
pub(super) fn request<T>(caller: Option<&Token>, timeout: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    let metadata = request.metadata_mut();
    if let Some(token) = caller.and_then(|caller| caller.0.clone()) {
        metadata.insert(AUTHORIZATION, token);
    }
    kinora_mesh::trace::inject(metadata);
    request
}

/// Ends a call that takes longer, whatever keeps it. `late` says so to those who read logs.
pub(super) async fn within<T>(
    timeout: Duration,
    late: &str,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    let answer = tokio::time::timeout(timeout, call).await;
    answer.unwrap_or_else(|_| {
        let error = PublicError::new(Kind::DeadlineExceeded, "DEADLINE_EXCEEDED", late);
        Err(CallError::Away(error))
    })
}

/// Tells refusals from calls that came to nothing.
pub(super) fn read<T>(answer: Result<Response<T>, Status>) -> Result<T, CallError> {
    let error = match answer {
        Ok(answer) => return Ok(answer.into_inner()),
        Err(status) => PublicError::from_status(&status),
    };
    let says_why = !UNNAMED.contains(&error.reason.as_str());
    let is_refusal = match error.kind {
        Kind::InvalidArgument
        | Kind::NotFound
        | Kind::AlreadyExists
        | Kind::FailedPrecondition
        | Kind::Unauthenticated
        | Kind::PermissionDenied
        | Kind::ResourceExhausted => says_why,
        Kind::Aborted
        | Kind::Cancelled
        | Kind::DeadlineExceeded
        | Kind::Unavailable
        | Kind::Unimplemented
        | Kind::Internal => false,
    };
    if is_refusal {
        Err(CallError::Refused(error))
    } else {
        Err(CallError::Away(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: Kind, reason: &str) -> Status {
        PublicError::new(kind, reason, "no").into()
    }

    #[track_caller]
    fn check(status: Status, is_refusal: bool) {
        let told = format!("{status:?}");
        let answer = read::<()>(Err(status));
        match answer {
            Err(CallError::Refused(_)) => assert!(is_refusal, "{told}"),
            Err(CallError::Away(_)) => assert!(!is_refusal, "{told}"),
            Ok(()) => panic!("an answer to {told}"),
        }
    }

    #[test]
    fn what_names_its_own_reason_is_a_refusal() {
        check(
            refused(Kind::ResourceExhausted, "INSUFFICIENT_CREDITS"),
            true,
        );
        check(refused(Kind::FailedPrecondition, "HOLD_SETTLED"), true);
        check(refused(Kind::NotFound, "HOLD_NOT_FOUND"), true);
        check(refused(Kind::PermissionDenied, "WORKLOAD_REFUSED"), true);
    }

    #[test]
    fn what_comes_from_in_between_or_is_broken_may_have_been_done() {
        check(refused(Kind::Unavailable, "DATABASE_UNAVAILABLE"), false);
        check(refused(Kind::Internal, "INTERNAL"), false);
        check(Status::resource_exhausted("too many streams"), false);
        check(Status::not_found("no route"), false);
        check(Status::cancelled("timeout expired"), false);
        check(Status::unimplemented("no such method"), false);
        check(Status::unknown("?"), false);
    }

    #[test]
    fn a_token_is_passed_on_and_not_shown() {
        let mut call = Request::new(());
        let value = "Bearer secret".parse().expect("a header");
        call.metadata_mut().insert(AUTHORIZATION, value);
        let token = Token::of(&call);
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert!(token.0.as_ref().is_some_and(|value| value.is_sensitive()));
        let sent = request(Some(&token), Duration::from_secs(1), ());
        assert_eq!(
            sent.metadata().get(AUTHORIZATION).expect("the token"),
            "Bearer secret"
        );
        let sent = request(None, Duration::from_secs(1), ());
        assert!(sent.metadata().get(AUTHORIZATION).is_none());
        assert!(Token::of(&Request::new(())).0.is_none());
    }
}
