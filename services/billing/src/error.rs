//! What can go wrong, and what a caller is told of it.

use std::time::Duration;

use kinora_mesh::MeshError;
use kinora_mesh::error::{Kind, PublicError, chain};
use kinora_store::StoreError;
use kinora_store::page::PageError;
use tonic::Status;

use crate::domain::refusal::Refusal;

/// The billing service did not do what was asked.
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
    /// Too many wrong codes lately.
    #[error("throttled for {}", humantime::format_duration(*retry_after))]
    Throttled {
        /// When another try makes sense.
        retry_after: Duration,
    },
    /// Something that this service made itself cannot be read, or does not add up. Nothing was written.
    #[error("{0}")]
    Broken(String),
    /// Stripe did not do what was asked. Nothing was written but what says so.
    #[error("stripe failed")]
    Stripe(#[source] Box<kinora_stripe_gateway::Error>),
    /// What Stripe says of a payment does not fit what was sold. Nothing was written; an operator is told the sentence.
    #[error("{0}")]
    Payment(String),
    /// Others change what is kept of something at Stripe faster than this call can. Nothing was written; the same call may be
    /// made again.
    #[error("it was changed while it was looked at, again and again")]
    Contended,
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

impl From<kinora_stripe_gateway::Error> for Error {
    fn from(error: kinora_stripe_gateway::Error) -> Self {
        Self::Stripe(Box::new(error))
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
            Error::Contended => busy(),
            Error::Stripe(ref source) if source.is_transient() => {
                tracing::warn!(error = %chain(source), "stripe did not serve a call");
                let error = busy();
                match source.retry_after() {
                    Some(pause) => error.with_retry_after(pause),
                    None => error,
                }
            }
            ref error @ (Error::Broken(_)
            | Error::Stripe(_)
            | Error::Payment(_)
            | Error::Options(_)
            | Error::Rules(_)
            | Error::Database(_)
            | Error::Server(_)) => Self::internal(error),
        }
    }
}

fn busy() -> PublicError {
    PublicError::new(
        Kind::Unavailable,
        "STRIPE_UNAVAILABLE",
        "payments are busy; try again in a moment",
    )
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        PublicError::from(error).into()
    }
}
