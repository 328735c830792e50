//! Checkpoints on their way to the object store and back.
//!
//! The engine never waits for the store: while one checkpoint is on its way the newest one waits, and replaces any that
//! waited before. A checkpoint that cannot be stored costs time, never the attempt.

use std::time::Duration;

use bytes::Bytes;
use kinora_blobs::{BlobError, BlobErrorKind, BlobStore};
use kinora_ids::{JobId, LeaseRef, job_checkpoint_prefix};
use kinora_mesh::error::chain;
use kinora_models::Checkpoint;
use kinora_proto::scheduler::v1 as pb;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::{Tell, Told};

/// Largest checkpoint that is fetched, in bytes.
const MAX_BYTES: u64 = 2 << 30;

const CONTENT_TYPE: &str = "application/octet-stream";

/// How long the store may take to hand a checkpoint out.
const FETCH_PATIENCE: Duration = Duration::from_secs(120);

/// How long the last checkpoint of a paused attempt may take to be stored. Less than a drain waits.
const FINISH_PATIENCE: Duration = Duration::from_secs(10);

/// Stores the checkpoints of one attempt. Dropping it gives up what is under way.
pub(super) struct CheckpointStore {
    newest: watch::Sender<Option<Waiting>>,
    task: JoinHandle<()>,
}

/// A checkpoint that is to be stored.
#[derive(Clone)]
struct Waiting {
    step: u32,
    bytes: Bytes,
}

impl CheckpointStore {
    /// Begins to wait for checkpoints; `tell` hears of every one that is stored.
    pub(super) fn start(blobs: BlobStore, lease: LeaseRef, tell: Tell) -> Self {
        let (newest, mut waiting) = watch::channel(None::<Waiting>);
        let storing = async move {
            while waiting.changed().await.is_ok() {
                let Some(checkpoint) = waiting.borrow_and_update().clone() else {
                    continue;
                };
                let step = checkpoint.step;
                match store(&blobs, lease, checkpoint).await {
                    Ok(stored) => tell(Told::Checkpoint(stored)),
                    Err(error) => {
                        tracing::warn!(step, error = %chain(&error), "a checkpoint was not stored");
                    }
                }
            }
        };
        Self {
            newest,
            task: tokio::spawn(storing.in_current_span()),
        }
    }

    /// Takes a checkpoint to store as soon as the one before it is through.
    pub(super) fn offer(&self, checkpoint: Checkpoint) {
        self.newest.send_replace(Some(Waiting {
            step: checkpoint.step,
            bytes: checkpoint.bytes.into(),
        }));
    }

    /// Waits until the newest checkpoint is stored, or not any longer.
    pub(super) async fn finish(&mut self) {
        // Without a sender the task ends after the last one.
        self.newest = watch::Sender::new(None);
        if tokio::time::timeout(FINISH_PATIENCE, &mut self.task)
            .await
            .is_err()
        {
            tracing::warn!("the last checkpoint was not stored in time");
        }
    }
}

impl Drop for CheckpointStore {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn store(
    blobs: &BlobStore,
    lease: LeaseRef,
    checkpoint: Waiting,
) -> Result<pb::Checkpoint, BlobError> {
    let Waiting { step, bytes } = checkpoint;
    let key = lease.checkpoint_key(step);
    let length = bytes.len() as u64;
    let sha256 = digest(bytes.clone()).await;
    blobs.put_bytes(&key, bytes, CONTENT_TYPE).await?;
    Ok(pb::Checkpoint {
        key,
        step,
        sha256,
        bytes: length,
    })
}

/// Why a checkpoint cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The scheduler named an object of something else.
    #[error("the job's checkpoint is not one of its own")]
    Foreign,
    /// The store does not hand it out.
    #[error("the job's checkpoint cannot be fetched")]
    Blobs(#[source] BlobError),
    /// The store takes too long.
    #[error("the job's checkpoint takes too long to fetch")]
    TimedOut,
    /// The object is not what was stored.
    #[error("the job's checkpoint is damaged")]
    Damaged,
}

impl FetchError {
    /// Whether no other attempt can fetch it either.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Foreign | Self::Damaged => true,
            Self::TimedOut => false,
            Self::Blobs(error) => match error.kind() {
                BlobErrorKind::NotFound | BlobErrorKind::Invalid => true,
                BlobErrorKind::Unavailable | BlobErrorKind::Refused | BlobErrorKind::Full => false,
            },
        }
    }
}

/// Fetches a checkpoint and compares its digest.
pub(super) async fn fetch(
    blobs: &BlobStore,
    job: JobId,
    checkpoint: &pb::Checkpoint,
) -> Result<Bytes, FetchError> {
    if !checkpoint.key.starts_with(&job_checkpoint_prefix(job)) {
        return Err(FetchError::Foreign);
    }
    let fetching = blobs.get_bytes(&checkpoint.key, MAX_BYTES);
    let fetched = tokio::time::timeout(FETCH_PATIENCE, fetching).await;
    let bytes = fetched
        .map_err(|_| FetchError::TimedOut)?
        .map_err(FetchError::Blobs)?;
    if digest(bytes.clone()).await != checkpoint.sha256 {
        return Err(FetchError::Damaged);
    }
    Ok(bytes)
}

/// SHA-256 in lower-case hex, on a thread that may take its time.
async fn digest(bytes: Bytes) -> String {
    let digest = tokio::task::spawn_blocking(move || hex::encode(Sha256::digest(&bytes)));
    // It fails only when the runtime stops.
    digest.await.unwrap_or_default()
}
