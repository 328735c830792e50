//! What stops a worker, and what ends an attempt.

use kinora_blobs::{BlobError, BlobErrorKind};
use kinora_media::{MediaError, StillError};
use kinora_mesh::MeshError;
use kinora_mesh::error::chain;
use kinora_model_store::StoreError;
use kinora_models::{GenerateError, LoadError, Signal};
use kinora_proto::scheduler::v1 as pb;

use crate::attempt::{FetchError, PartError, PictureError};
use crate::backend::BackendError;
use crate::frames::{FrameError, FrameSetupError};

/// The worker cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No folder with a model was configured.
    #[error("no model folder is configured")]
    NoModels,
    /// A model's folder cannot be read.
    #[error("a model folder cannot be used")]
    Model(#[source] LoadError),
    /// A model's licence has not been accepted.
    #[error("a model may not be used")]
    Licence(#[source] StoreError),
    /// The model to start with cannot be loaded.
    #[error("the first model cannot be loaded")]
    Warm(#[source] BackendError),
    /// Frames are to be checked and cannot be.
    #[error(transparent)]
    Frames(#[from] FrameSetupError),
    /// The engine thread or the scratch folder cannot be had.
    #[error("the worker lacks a resource")]
    Io(#[from] std::io::Error),
    /// The scheduler's address is wrong.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// The engine does not react any more; only a new process helps.
    #[error("the engine does not react any more")]
    EngineStuck,
    /// No scheduler's address was configured.
    #[error("no scheduler is configured")]
    NoSchedulers,
    /// The scheduler refuses this worker.
    #[error("the scheduler refuses this worker: {0}")]
    Refused(String),
}

/// An attempt ended without a clip.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// Asked to stop.
    #[error("the attempt was cancelled")]
    Cancelled,
    /// Took longer than the lease allows.
    #[error("the attempt took longer than {0:?}")]
    TimeLimit(std::time::Duration),
    /// Took longer than the lease allows, and does not stop either.
    #[error("the attempt took longer than {0:?} and does not stop")]
    Stuck(std::time::Duration),
    /// The worker shuts down before the clip is done.
    #[error("the worker is shutting down")]
    Drained,
    /// A picture of the job cannot be used.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// A clip of another job cannot be used.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The store does not hand the job's checkpoint out now.
    #[error(transparent)]
    Checkpoint(FetchError),
    /// No clip came out of the model.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Nobody knows what the clip's frames show.
    #[error("the clip's frames could not be checked")]
    Frames(#[source] FrameError),
    /// The clip's frames show what may not be delivered.
    #[error("the clip is not delivered: its frames show what is not allowed here ({category})")]
    Refused {
        /// What, in the policy's word.
        category: String,
        /// Whether it is kept for a person to look at.
        is_kept: bool,
    },
    /// The clip was not encoded.
    #[error("the clip could not be encoded")]
    Media(#[from] MediaError),
    /// The outputs were not stored.
    #[error("the outputs could not be stored")]
    Blobs(#[from] BlobError),
    /// The scratch folder cannot be used.
    #[error("the scratch folder cannot be used")]
    Scratch(#[from] std::io::Error),
    /// A task of the worker ended early.
    #[error("a task of the worker ended early")]
    Task(#[from] tokio::task::JoinError),
}

impl AttemptError {
    /// How an attempt ends that was asked to stop.
    #[must_use]
    pub const fn stopped(asked: Signal) -> Self {
        match asked {
            Signal::Pause => Self::Drained,
            Signal::GoOn | Signal::Cancel => Self::Cancelled,
        }
    }

    /// Whether the attempt was asked to hand its state over, and ended there.
    #[must_use]
    pub const fn is_pause(&self) -> bool {
        matches!(
            self,
            Self::Drained | Self::Backend(BackendError::Generate(GenerateError::Paused))
        )
    }

    /// What the scheduler is told. The chain of causes is logged here and goes no further.
    #[must_use]
    pub fn report(&self) -> pb::Failure {
        tracing::warn!(error = %chain(self), "attempt ended without a clip");
        let (reason, retryable) = self.reason();
        pb::Failure {
            reason: reason.to_owned(),
            message: self.public_message(),
            retryable,
        }
    }

    /// The machine-readable reason, and whether another attempt may succeed.
    #[must_use]
    pub fn reason(&self) -> (&'static str, bool) {
        match self {
            Self::Cancelled => ("CANCELLED", false),
            Self::TimeLimit(_) | Self::Stuck(_) => ("ATTEMPT_TIME_LIMIT", true),
            Self::Drained => ("WORKER_DRAINED", true),
            Self::Picture(error) => picture_reason(error),
            Self::Part(error) => part_reason(error),
            Self::Checkpoint(FetchError::Blobs(error)) => blob_reason(error.kind()),
            Self::Checkpoint(_) => ("STORAGE_UNAVAILABLE", true),
            Self::Backend(error) => backend_reason(error),
            Self::Frames(_) => ("FRAME_CHECK_UNAVAILABLE", true),
            Self::Refused { .. } => ("CLIP_REFUSED", false),
            Self::Media(error) => media_reason(error),
            Self::Blobs(error) => blob_reason(error.kind()),
            Self::Scratch(error) => scratch_reason(error),
            Self::Task(_) => ("WORKER_ERROR", true),
        }
    }

    fn public_message(&self) -> String {
        match self {
            Self::Backend(BackendError::Generate(
                error @ (GenerateError::Invalid { .. } | GenerateError::DoesNotFit(_)),
            )) => error.to_string(),
            Self::Backend(BackendError::Load(_)) => {
                "the model's files on the worker are damaged or incomplete".to_owned()
            }
            Self::Backend(BackendError::Generate(GenerateError::OutOfMemory)) => {
                "the worker ran out of memory".to_owned()
            }
            Self::Backend(BackendError::Generate(GenerateError::Engine(_))) => {
                "the model failed on the worker".to_owned()
            }
            Self::Refused { is_kept: true, .. } => format!("{self}; it is kept for review"),
            Self::Media(MediaError::Invalid(text)) => text.clone(),
            Self::Scratch(_) => "the worker has no room for the clip".to_owned(),
            other => other.to_string(),
        }
    }
}

fn picture_reason(error: &PictureError) -> (&'static str, bool) {
    match error {
        PictureError::Missing => ("IMAGE_MISSING", false),
        PictureError::Damaged => ("IMAGE_DAMAGED", true),
        PictureError::Still(StillError::TooLarge) => ("IMAGE_TOO_LARGE", false),
        PictureError::Still(StillError::TooLong) => ("IMAGE_TOO_LONG", false),
        PictureError::Still(StillError::NotReadable(_)) => ("IMAGE_NOT_READABLE", false),
        PictureError::Blobs(error) => blob_reason(error.kind()),
        PictureError::Task(_) => ("WORKER_ERROR", true),
    }
}

fn part_reason(error: &PartError) -> (&'static str, bool) {
    match error {
        PartError::Missing => ("PART_MISSING", false),
        PartError::Damaged => ("PART_DAMAGED", true),
        PartError::NoPictures => ("REQUEST_INVALID", false),
        PartError::Blobs(error) => blob_reason(error.kind()),
    }
}

const fn backend_reason(error: &BackendError) -> (&'static str, bool) {
    match error {
        BackendError::UnknownModel(_) => ("MODEL_NOT_ON_WORKER", true),
        BackendError::Load(_) => ("MODEL_LOAD_FAILED", true),
        BackendError::EngineGone => ("ENGINE_GONE", true),
        BackendError::Generate(GenerateError::Cancelled) => ("CANCELLED", false),
        BackendError::Generate(GenerateError::Paused) => ("WORKER_DRAINED", true),
        BackendError::Generate(GenerateError::NotFinite { .. }) => ("NOT_FINITE", false),
        BackendError::Generate(GenerateError::Invalid { .. }) => ("REQUEST_INVALID", false),
        // Another worker may have a larger device.
        BackendError::Generate(GenerateError::DoesNotFit(_)) => ("DOES_NOT_FIT", true),
        BackendError::Generate(GenerateError::OutOfMemory) => ("OUT_OF_MEMORY", true),
        BackendError::Generate(GenerateError::Engine(_)) => ("ENGINE_FAILED", true),
    }
}

const fn blob_reason(kind: BlobErrorKind) -> (&'static str, bool) {
    match kind {
        BlobErrorKind::Full => ("STORAGE_FULL", true),
        BlobErrorKind::Unavailable | BlobErrorKind::NotFound => ("STORAGE_UNAVAILABLE", true),
        BlobErrorKind::Refused | BlobErrorKind::Invalid => ("STORAGE_REFUSED", true),
    }
}

const fn media_reason(error: &MediaError) -> (&'static str, bool) {
    match error {
        MediaError::FfmpegMissing { .. } => ("ENCODER_MISSING", true),
        MediaError::FfmpegFailed { .. } => ("ENCODER_FAILED", true),
        MediaError::Killed { .. } => ("ENCODER_KILLED", true),
        MediaError::TimedOut { .. } => ("ENCODER_TIMED_OUT", true),
        MediaError::DiskFull => ("DISK_FULL", true),
        MediaError::Invalid(_) => ("CLIP_INVALID", false),
        MediaError::File { .. } => ("SCRATCH_UNAVAILABLE", true),
    }
}

fn scratch_reason(error: &std::io::Error) -> (&'static str, bool) {
    match error.kind() {
        std::io::ErrorKind::StorageFull => ("DISK_FULL", true),
        _ => ("SCRATCH_UNAVAILABLE", true),
    }
}
