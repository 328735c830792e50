//! Pictures that a job was submitted with, fetched and decoded.

use bytes::Bytes;
use kinora_blobs::{BlobError, BlobErrorKind, BlobStore};
use kinora_ids::{JobId, job_input_prefix};
use kinora_media::{MAX_STILL_BYTES, StillError, decode_still};
use kinora_models::Picture;
use sha2::{Digest, Sha256};

/// A picture of a job cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The scheduler named an object of something else, or one that is not there.
    #[error("the job's picture is not there")]
    Missing,
    /// The object is not what was stored.
    #[error("the job's picture is damaged")]
    Damaged,
    /// The file cannot be decoded.
    #[error(transparent)]
    Still(#[from] StillError),
    /// The store does not hand it out.
    #[error("the job's picture cannot be fetched")]
    Blobs(#[source] BlobError),
    /// A task of the worker ended early.
    #[error("a task of the worker ended early")]
    Task(#[from] tokio::task::JoinError),
}

/// Fetches a picture, compares its digest and decodes it; none when the job has none.
pub(super) async fn fetch(
    blobs: &BlobStore,
    job: JobId,
    key: &str,
    sha256: &str,
) -> Result<Option<Picture>, PictureError> {
    if key.is_empty() {
        return Ok(None);
    }
    if !key.starts_with(&job_input_prefix(job)) {
        return Err(PictureError::Missing);
    }
    let fetched = blobs.get_bytes(key, MAX_STILL_BYTES as u64).await;
    let bytes = fetched.map_err(|error| match error.kind() {
        BlobErrorKind::NotFound => PictureError::Missing,
        _ => PictureError::Blobs(error),
    })?;
    let sha256 = sha256.to_owned();
    let picture = tokio::task::spawn_blocking(move || decode(&bytes, &sha256)).await??;
    Ok(Some(picture))
}

fn decode(bytes: &Bytes, sha256: &str) -> Result<Picture, PictureError> {
    if hex::encode(Sha256::digest(bytes)) != sha256 {
        return Err(PictureError::Damaged);
    }
    let still = decode_still(bytes)?;
    Ok(Picture {
        width: still.width,
        height: still.height,
        rgb: still.rgb,
    })
}
