//! What can go wrong, and what a caller is told of it.

use std::time::Duration;

use kinora_mesh::MeshError;
use kinora_mesh::error::{Kind, PublicError, chain};
use kinora_store::StoreError;
use kinora_store::page::PageError;
use tonic::Status;

use crate::domain::refusal::Refusal;

/// The accounts service did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The call names no valid caller.
    #[error("the caller is not known")]
    Caller(#[source] PublicError),
    /// The caller is told why.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// A field has a form that none of its values has.
    #[error("{field} {problem}")]
    Field {
        /// As the contract names it.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// Too many failures lately.
    #[error("throttled for {}", humantime::format_duration(*retry_after))]
    Throttled {
        /// When another try makes sense.
        retry_after: Duration,
    },
    /// Something that this service made itself cannot be read, or a computation failed.
    #[error("{0}")]
    Broken(String),
    /// The options are not consistent.
    #[error("the options are not consistent: {0}")]
    Options(String),
    /// A method has no rule who may call it, or a rule no method.
    #[error(transparent)]
    Rules(#[from] kinora_access::RulesError),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] StoreError),
    /// The server failed.
    #[error("the server failed")]
    Server(#[from] MeshError),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<PageError> for Error {
    fn from(error: PageError) -> Self {
        match error {
            PageError::NegativeSize => Self::Field {
                field: "page_size",
                problem: "may not be negative",
            },
            PageError::Token => Refusal::PageTokenInvalid.into(),
        }
    }
}

impl From<sea_orm::DbErr> for Error {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Database(error.into())
    }
}

impl From<Error> for PublicError {
    fn from(error: Error) -> Self {
        match error {
            Error::Caller(error) => error,
            Error::Refused(refusal) => refusal.into(),
            Error::Field { field, problem } => Self::new(
                Kind::InvalidArgument,
                "FIELD_INVALID",
                format!("{field} {problem}"),
            )
            .with_violation(field, problem),
            Error::Throttled { retry_after } => Self::new(
                Kind::ResourceExhausted,
                "THROTTLED",
                "too many tries; wait a moment",
            )
            .with_retry_after(retry_after),
            Error::Database(ref source) if source.is_transient() => {
                tracing::warn!(error = %chain(source), "database unavailable");
                Self::new(
                    Kind::Unavailable,
                    "DATABASE_UNAVAILABLE",
                    "the service is busy or restarts; try again in a moment",
                )
            }
            ref error @ (Error::Broken(_)
            | Error::Options(_)
            | Error::Rules(_)
            | Error::Database(_)
            | Error::Server(_)) => Self::internal(error),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        PublicError::from(error).into()
    }
}
