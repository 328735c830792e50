//! What can go wrong, and what a caller is told of it.

use std::time::Duration;

use kinora_mesh::MeshError;
use kinora_mesh::error::{Kind, PublicError, chain};
use kinora_store::StoreError;
use kinora_store::page::PageError;
use tonic::Status;

use crate::domain::finding::TextFinding;

/// When what was not moderated is worth another try.
const MODERATION_PAUSE: Duration = Duration::from_secs(2);

/// The prompts service did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The call names no valid caller.
    #[error("the caller is not known")]
    Caller(#[source] PublicError),
    /// A field has a form that none of its values has.
    #[error("{field} {problem}")]
    Field {
        /// As the contract names it.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// There is no text.
    #[error("{field} is empty")]
    PromptEmpty {
        /// As the contract names it.
        field: &'static str,
    },
    /// A text is longer than any model reads.
    #[error("{field} has {bytes} bytes; {max} are the most")]
    PromptTooLong {
        /// As the contract names it.
        field: &'static str,
        /// What it has.
        bytes: usize,
        /// What it may have.
        max: usize,
    },
    /// The markup of speech or sounds makes no sense.
    #[error("the tags of the prompt are not right: {0}")]
    PromptTags(String),
    /// It may not be generated, so that it is not rewritten either.
    #[error("the prompt is refused")]
    PromptRefused(Vec<TextFinding>),
    /// Nobody could say whether it may be generated.
    #[error("moderation failed: {0}")]
    ModerationUnavailable(String),
    /// Too many prompts of the caller wait for review.
    #[error("too many prompts wait for review")]
    ReviewLimit,
    /// There is no such review.
    #[error("there is no such review")]
    ReviewNotFound,
    /// It was decided, and otherwise.
    #[error("the review was decided before")]
    ReviewDecided,
    /// One of several prompts is in error.
    #[error("prompt {index} is in error")]
    OfBatch {
        /// Counted from 0.
        index: usize,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// Something that this service made itself cannot be read.
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

impl From<PageError> for Error {
    fn from(error: PageError) -> Self {
        match error {
            PageError::NegativeSize => Self::Field {
                field: "page_size",
                problem: "may not be negative",
            },
            PageError::Token => Self::Field {
                field: "page_token",
                problem: "is not from an earlier answer",
            },
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
        let text = error.to_string();
        let invalid = |reason: &str, field: &str| {
            Self::new(Kind::InvalidArgument, reason, text.clone())
                .with_violation(field, text.clone())
        };
        match error {
            Error::Caller(error) => error,
            Error::Field { field, .. } => invalid("FIELD_INVALID", field),
            Error::PromptEmpty { field } => invalid("PROMPT_EMPTY", field),
            Error::PromptTooLong { field, .. } => invalid("PROMPT_TOO_LONG", field),
            Error::PromptTags(_) => invalid("PROMPT_TAGS_INVALID", "prompt"),
            Error::PromptRefused(findings) => refused(&findings),
            Error::ModerationUnavailable(reason) => {
                tracing::warn!(reason, "a prompt was not moderated");
                Self::new(
                    Kind::Unavailable,
                    "MODERATION_UNAVAILABLE",
                    "whether the prompt may be generated cannot be said now; try again in a moment",
                )
                .with_retry_after(MODERATION_PAUSE)
            }
            Error::ReviewLimit => Self::new(
                Kind::ResourceExhausted,
                "REVIEW_LIMIT",
                "too many of your prompts wait for review; wait until some are decided",
            ),
            Error::ReviewNotFound => Self::new(Kind::NotFound, "REVIEW_NOT_FOUND", text),
            Error::ReviewDecided => Self::new(Kind::FailedPrecondition, "REVIEW_DECIDED", text),
            Error::OfBatch { index, source } => {
                Self::from(*source).with_metadata("index", index.to_string())
            }
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

fn refused(findings: &[TextFinding]) -> PublicError {
    let text = "the prompt asks for something that is not generated here";
    let error = PublicError::new(Kind::InvalidArgument, "PROMPT_REFUSED", text);
    let Some(first) = findings.first() else {
        return error.with_violation("prompt", text);
    };
    error
        .with_violation("prompt", text)
        .with_metadata("category", first.finding.category.id())
        .with_metadata("rule_id", first.finding.rule_id.clone())
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        PublicError::from(error).into()
    }
}
