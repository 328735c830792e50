//! What can go wrong, and what a caller is told of it.

use kinora_ids::JobId;
use kinora_mesh::MeshError;
use kinora_mesh::error::{Kind, PublicError};
use kinora_store::StoreError;
use tonic::Status;

use crate::clients::ObjectError;
use crate::domain::model::InvalidModel;
use crate::domain::submission::Invalid;
use crate::store::JobStoreError;
use crate::webhooks::WebhookError;

/// The scheduler did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The call names no valid caller.
    #[error("the caller is not known")]
    Caller(#[source] PublicError),
    /// A field of a submission is not legal.
    #[error("the submission is not legal: {0}")]
    Submission(Invalid),
    /// No worker has announced a model yet.
    #[error("no model is known yet")]
    NoModel,
    /// The request id came with another body before.
    #[error("the request id led to job {job} with another body")]
    RequestIdReused {
        /// The earlier job.
        job: JobId,
    },
    /// No such job of this owner.
    #[error("there is no such job")]
    JobNotFound,
    /// The page size is negative.
    #[error("the page size is negative")]
    PageSize,
    /// The page token is none of ours, or another caller's.
    #[error("the page token is not valid")]
    PageToken,
    /// A worker's message breaks the contract.
    #[error("the worker's {field} is not valid: {problem}")]
    WorkerMessage {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// A worker announced a model that cannot be used.
    #[error("the announced model cannot be used")]
    Model(#[from] InvalidModel),
    /// A newer stream of the same worker took over.
    #[error("a newer stream of this worker took over")]
    Superseded,
    /// Too many pictures are being taken in.
    #[error("too many pictures are being taken in")]
    UploadsBusy,
    /// A webhook call did not do what was asked.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// The scheduler stops.
    #[error("the scheduler stops")]
    ShuttingDown,
    /// The options are not consistent.
    #[error("the options are not consistent: {0}")]
    Options(String),
    /// The object store did not take a picture.
    #[error("the object store failed")]
    Objects(#[source] ObjectError),
    /// The database failed.
    #[error("the job store failed")]
    Store(#[from] JobStoreError),
    /// The database cannot be opened.
    #[error("the database cannot be used")]
    Database(#[from] StoreError),
    /// The schema cannot be brought up to date.
    #[error("the schema cannot be brought up to date")]
    Migration(#[source] sea_orm::DbErr),
    /// The server failed.
    #[error("the server failed")]
    Server(#[from] MeshError),
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Submission(invalid)
    }
}

impl From<Error> for PublicError {
    fn from(error: Error) -> Self {
        match error {
            Error::Caller(error) => error,
            Error::Submission(invalid) => from_invalid(invalid),
            Error::NoModel => Self::new(
                Kind::Unavailable,
                "NO_MODEL_AVAILABLE",
                "no worker has announced a model yet; try again in a moment",
            ),
            Error::RequestIdReused { job } => Self::new(
                Kind::AlreadyExists,
                "REQUEST_ID_REUSED",
                "this request id was used with another body",
            )
            .with_metadata("job_id", job.to_string()),
            Error::JobNotFound => {
                Self::new(Kind::NotFound, "JOB_NOT_FOUND", "there is no such video")
            }
            Error::PageSize => invalid("PAGE_SIZE_INVALID", "page_size", "may not be negative"),
            Error::PageToken => invalid(
                "PAGE_TOKEN_INVALID",
                "page_token",
                "is not from an earlier answer",
            ),
            Error::WorkerMessage { field, problem } => invalid("MESSAGE_INVALID", field, problem),
            Error::Model(model) => invalid("MODEL_INVALID", "hello.models", &model.to_string()),
            Error::Superseded => Self::new(
                Kind::Aborted,
                "WORKER_SUPERSEDED",
                "a newer stream of this worker took over",
            ),
            Error::UploadsBusy => Self::new(
                Kind::ResourceExhausted,
                "UPLOADS_BUSY",
                "too many pictures are being taken in; try again in a moment",
            ),
            Error::Webhook(error) => error.into(),
            Error::ShuttingDown => Self::new(
                Kind::Unavailable,
                "SHUTTING_DOWN",
                "the service restarts; try again",
            ),
            Error::Store(JobStoreError::Database(ref source)) if source.is_transient() => {
                tracing::warn!(error = %kinora_mesh::error::chain(source), "database unavailable");
                Self::new(
                    Kind::Unavailable,
                    "DATABASE_UNAVAILABLE",
                    "the service is busy or restarts; try again in a moment",
                )
            }
            ref error @ Error::Objects(_) => {
                tracing::warn!(error = %kinora_mesh::error::chain(error), "object store unavailable");
                Self::new(
                    Kind::Unavailable,
                    "STORAGE_UNAVAILABLE",
                    "the picture could not be stored; try again in a moment",
                )
            }
            Error::Store(JobStoreError::LostUpdate) => Self::new(
                Kind::Aborted,
                "LOST_RACE",
                "the video changed meanwhile; try again",
            ),
            error @ (Error::Store(_)
            | Error::Options(_)
            | Error::Database(_)
            | Error::Migration(_)
            | Error::Server(_)) => Self::internal(&error),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        PublicError::from(error).into()
    }
}

fn invalid(reason: &'static str, field: &'static str, problem: &str) -> PublicError {
    PublicError::new(Kind::InvalidArgument, reason, format!("{field} {problem}"))
        .with_violation(field, problem)
}

fn from_invalid(invalid: Invalid) -> PublicError {
    let error = PublicError::new(Kind::InvalidArgument, invalid.reason, &*invalid.message)
        .with_violation(invalid.field, invalid.message);
    let metadata = invalid.metadata.into_iter();
    metadata.fold(error, |error, (key, value)| error.with_metadata(key, value))
}
