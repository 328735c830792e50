//! What can go wrong, and what a caller is told of it.

mod public;

use std::time::Duration;

use kinora_access::RulesError;
use kinora_ids::JobId;
use kinora_mesh::MeshError;
use kinora_mesh::error::{Kind, PublicError};
use kinora_store::StoreError;
use kinora_store::page::PageError;
use tonic::Status;

use crate::clients::ObjectError;
use crate::domain::job::State;
use crate::domain::model::InvalidModel;
use crate::domain::prompting::Finding;
use crate::domain::submission::Invalid;
use crate::domain::transition::NotApprovable;
use crate::sessions::NameTaken;
use crate::store::{JobStoreError, LimitHit};
use crate::webhooks::WebhookError;
use public::{
    away, enhancement_not_supported, from_invalid, invalid, not_approvable, not_ready, over_limit,
    prompt_needs_review, prompt_refused, too_many_uploads, upload_not_found, version_skew,
};

/// What is busy for a moment is free again after this long.
const SOON: Duration = Duration::from_secs(1);

/// The scheduler did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is known to stand behind the call.
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
    /// No such batch or sequence of this owner.
    #[error("there is no such group")]
    GroupNotFound,
    /// No such video of this owner to repeat or go on from.
    #[error("there is no such source")]
    SourceNotFound,
    /// The video to go on from has no clip.
    #[error("the source has no clip")]
    SourceNotCompleted,
    /// The picture of the video to repeat is not there any more.
    #[error("the picture of the source is gone")]
    PictureGone,
    /// No picture of this owner was uploaded under the id, or its time is over.
    #[error("there is no such upload in {field}")]
    UploadNotFound {
        /// As the contract names it.
        field: &'static str,
    },
    /// The caller has as many uploads as it may.
    #[error("the caller has {limit} uploads")]
    TooManyUploads {
        /// Uploads of a principal at a time.
        limit: u32,
    },
    /// The preview cannot be approved.
    #[error("the preview cannot be approved")]
    NotApprovable(#[source] NotApprovable),
    /// The clip, or the preview, is not there.
    #[error("there is no {what}")]
    NotReady {
        /// Where its job stands.
        state: State,
        /// `clip` or `preview`.
        what: &'static str,
    },
    /// The video was stored without this object.
    #[error("the video was stored without it")]
    OutputNotFound,
    /// A list is to begin after a video that the caller does not have.
    #[error("there is no video to begin after")]
    AfterUnknown,
    /// A limit leaves no room.
    #[error("a limit is reached: {0:?}")]
    OverLimit(LimitHit),
    /// Billing sets no credits aside for the jobs.
    #[error("billing refused: {}", .0.reason)]
    Billing(PublicError),
    /// Billing did not answer, or could not.
    #[error("billing is away")]
    BillingUnavailable,
    /// The prompts service does not take a prompt.
    #[error("prompts refused: {}", .0.reason)]
    Prompts(PublicError),
    /// The prompts service did not answer, or could not.
    #[error("prompts is away")]
    PromptsUnavailable,
    /// Nobody can rewrite prompts.
    #[error("nobody can rewrite prompts")]
    EnhancementNotSupported,
    /// The prompt may not be generated.
    #[error("the prompt is refused: {}", .finding.category)]
    PromptRefused {
        /// Why.
        finding: Finding,
        /// Whose prompt of a batch or a sequence.
        index: Option<u32>,
    },
    /// A person has to look at the prompt first.
    #[error("the prompt needs review")]
    PromptNeedsReview {
        /// The entry in the queue.
        review: Option<String>,
        /// What it is about.
        category: String,
        /// Whose prompt of a batch or a sequence.
        index: Option<u32>,
    },
    /// The same request is being made.
    #[error("the same request is being made")]
    RequestInProgress,
    /// A field has a form that none of its values has.
    #[error("{field} {problem}")]
    Field {
        /// UPPER_SNAKE.
        reason: &'static str,
        /// As the contract names it.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// No worker of this name.
    #[error("there is no such worker")]
    WorkerNotFound,
    /// The job has not failed after an attempt.
    #[error("the job is no dead letter")]
    NotADeadLetter,
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
    /// The worker speaks a version of the contract that this scheduler does not.
    #[error("the worker speaks version {protocol} of the contract")]
    VersionSkew {
        /// The worker's.
        protocol: u32,
    },
    /// Another instance of the worker is attached under its name.
    #[error(transparent)]
    NameTaken(#[from] NameTaken),
    /// A newer stream of the same worker took over.
    #[error("a newer stream of this worker took over")]
    Superseded,
    /// Too many pictures are being taken in.
    #[error("too many pictures are being taken in")]
    UploadsBusy,
    /// The caller follows as many jobs as it may.
    #[error("the caller has {limit} streams open")]
    TooManyWatches {
        /// Streams of a principal at one replica.
        limit: u32,
    },
    /// A watcher does not read what it is sent, or not fast enough.
    #[error("the watcher is too slow")]
    WatcherTooSlow {
        /// The last number it was sent.
        after_seq: u64,
    },
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
    /// The access rules do not fit the contract.
    #[error("the access rules do not fit")]
    Rules(#[from] RulesError),
    /// The server failed.
    #[error("the server failed")]
    Server(#[from] MeshError),
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Submission(invalid)
    }
}

impl From<PageError> for Error {
    fn from(error: PageError) -> Self {
        match error {
            PageError::NegativeSize => Self::PageSize,
            PageError::Token => Self::PageToken,
        }
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
            Error::GroupNotFound => {
                Self::new(Kind::NotFound, "GROUP_NOT_FOUND", "there is no such group")
            }
            Error::SourceNotFound => Self::new(
                Kind::NotFound,
                "SOURCE_NOT_FOUND",
                "there is no such video to start from",
            ),
            Error::SourceNotCompleted => Self::new(
                Kind::FailedPrecondition,
                "SOURCE_NOT_COMPLETED",
                "the video to go on from is not completed",
            ),
            Error::PictureGone => Self::new(
                Kind::FailedPrecondition,
                "PICTURE_GONE",
                "the picture of the earlier video is gone; send it again",
            ),
            Error::UploadNotFound { field } => upload_not_found(field),
            Error::TooManyUploads { limit } => too_many_uploads(limit),
            Error::NotApprovable(refused) => not_approvable(refused),
            Error::NotReady { state, what } => not_ready(state, what),
            Error::OutputNotFound => Self::new(
                Kind::NotFound,
                "OUTPUT_NOT_FOUND",
                "this video was stored without it",
            ),
            Error::AfterUnknown => invalid("AFTER_UNKNOWN", "after", "names none of your videos"),
            Error::OverLimit(hit) => over_limit(hit),
            Error::Billing(refused) | Error::Prompts(refused) => refused,
            Error::BillingUnavailable => away(
                "BILLING_UNAVAILABLE",
                "credits cannot be set aside now; try again in a moment",
            ),
            Error::PromptsUnavailable => away(
                "PROMPTS_UNAVAILABLE",
                "prompts cannot be looked at now; try again in a moment",
            ),
            Error::EnhancementNotSupported => enhancement_not_supported(),
            Error::PromptRefused { finding, index } => prompt_refused(finding, index),
            Error::PromptNeedsReview {
                review,
                category,
                index,
            } => prompt_needs_review(review, category, index),
            Error::RequestInProgress => Self::new(
                Kind::Aborted,
                "REQUEST_IN_PROGRESS",
                "the same request is being made; ask again for its answer",
            )
            .with_retry_after(SOON),
            Error::Field {
                reason,
                field,
                problem,
            } => invalid(reason, field, problem),
            Error::WorkerNotFound => Self::new(
                Kind::NotFound,
                "WORKER_NOT_FOUND",
                "there is no such worker",
            ),
            Error::NotADeadLetter => Self::new(
                Kind::FailedPrecondition,
                "NOT_A_DEAD_LETTER",
                "only videos that failed after an attempt are retried",
            ),
            Error::PageSize => invalid("PAGE_SIZE_INVALID", "page_size", "may not be negative"),
            Error::PageToken => invalid(
                "PAGE_TOKEN_INVALID",
                "page_token",
                "is not from an earlier answer",
            ),
            Error::WorkerMessage { field, problem } => invalid("MESSAGE_INVALID", field, problem),
            Error::Model(model) => invalid("MODEL_INVALID", "hello.models", &model.to_string()),
            Error::VersionSkew { protocol } => version_skew(protocol),
            Error::NameTaken(_) => Self::new(
                Kind::AlreadyExists,
                "WORKER_NAME_TAKEN",
                "another worker of this name is attached",
            ),
            Error::Superseded => Self::new(
                Kind::Aborted,
                "WORKER_SUPERSEDED",
                "a newer stream of this worker took over",
            ),
            Error::UploadsBusy => Self::new(
                Kind::ResourceExhausted,
                "UPLOADS_BUSY",
                "too many pictures are being taken in; try again in a moment",
            )
            .with_retry_after(SOON),
            Error::TooManyWatches { limit } => Self::new(
                Kind::ResourceExhausted,
                "TOO_MANY_WATCHES",
                "you follow as many videos at a time as you may; close a stream first",
            )
            .with_metadata("limit", limit.to_string())
            .with_retry_after(SOON),
            Error::WatcherTooSlow { after_seq } => Self::new(
                Kind::Unavailable,
                "WATCHER_TOO_SLOW",
                "events were not read in time; watch again after the last number seen",
            )
            .with_metadata("after_seq", after_seq.to_string()),
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
            | Error::Rules(_)
            | Error::Server(_)) => Self::internal(&error),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        PublicError::from(error).into()
    }
}
