//! Clips of other jobs that an attempt goes on from or joins.

use std::path::{Path, PathBuf};

use kinora_blobs::{BlobError, BlobErrorKind, BlobStore};
use kinora_media::last_frame;
use kinora_models::Picture;
use kinora_proto::scheduler::v1 as pb;
use sha2::{Digest, Sha256};

use crate::error::AttemptError;

/// Largest clip that is fetched, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// A clip of another job cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The scheduler named no clip, or one that is not there.
    #[error("a clip that this one is made from is gone")]
    Missing,
    /// The object is not what was stored.
    #[error("a clip that this one is made from is damaged")]
    Damaged,
    /// The model takes no picture, so it cannot go on from a clip.
    #[error("this model takes no picture and cannot go on from a clip")]
    NoPictures,
    /// The store does not hand it out.
    #[error("a clip that this one is made from cannot be fetched")]
    Blobs(#[source] BlobError),
}

/// Fetches a clip into a folder and compares its digest. `index` tells its file from those of other parts.
pub(super) async fn fetch(
    blobs: &BlobStore,
    part: &pb::StitchPart,
    folder: &Path,
    index: usize,
) -> Result<PathBuf, AttemptError> {
    if !part.video_key.starts_with("jobs/") {
        return Err(PartError::Missing.into());
    }
    let fetched = blobs.get_bytes(&part.video_key, MAX_BYTES).await;
    let bytes = fetched.map_err(|error| match error.kind() {
        BlobErrorKind::NotFound => PartError::Missing,
        _ => PartError::Blobs(error),
    })?;
    let path = folder.join(format!("part-{index}.mp4"));
    let (target, sha256) = (path.clone(), part.video_sha256.clone());
    tokio::task::spawn_blocking(move || {
        if hex::encode(Sha256::digest(&bytes)) != sha256 {
            return Err(AttemptError::from(PartError::Damaged));
        }
        Ok(std::fs::write(target, &bytes)?)
    })
    .await??;
    Ok(path)
}

/// Decodes a clip's last frame.
pub(super) async fn last_picture(ffmpeg: &Path, clip: PathBuf) -> Result<Picture, AttemptError> {
    let ffmpeg = ffmpeg.to_owned();
    let still = tokio::task::spawn_blocking(move || last_frame(&ffmpeg, &clip)).await??;
    Ok(Picture {
        width: still.width,
        height: still.height,
        rgb: still.rgb,
    })
}
