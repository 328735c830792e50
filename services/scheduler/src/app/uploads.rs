//! Pictures that callers put into the object store themselves, before they ask for a video.
//!
//! Nothing keeps an upload but its object and its planned removal. The key follows from the owner and the id, so that
//! nobody comes by another one's picture, and the removal is planned before the link is handed out: whatever crashes,
//! and whether or not the link is ever used, nothing stays. A job gets a copy of its own.

use std::time::Duration;

use kinora_blobs::{PresignedPut, PutTerms};
use kinora_ids::{UploadId, upload_prefix};
use kinora_media::{MAX_STILL_BYTES, StillFormat};

use super::App;
use crate::clients::is_too_large;
use crate::domain::job::Time;
use crate::domain::submission::{SentImage, too_large};
use crate::error::Error;
use crate::store::Removal;

/// How long after it was made a link takes a picture. Much shorter than pictures are kept.
const LINK_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// A picture that is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// What it is said to be.
    pub format: StillFormat,
    /// Bytes, at least 1 and no more than a picture may have.
    pub size: u64,
    /// SHA-256 of the file, where it is known.
    pub sha256: Option<[u8; 32]>,
}

/// A place for a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Names it in submissions of its owner.
    pub id: UploadId,
    /// How it gets there.
    pub put: PresignedPut,
    /// Until when that may begin.
    pub link_expires_at: Time,
    /// When it is removed.
    pub purge_at: Time,
}

impl App {
    /// Makes a link to put a picture to.
    ///
    /// # Errors
    /// [`Error::TooManyUploads`], [`Error::Objects`], [`Error::Store`].
    pub async fn create_upload(&self, owner: &str, announced: Announced) -> Result<Upload, Error> {
        let now = self.now();
        let limit = self.options.max_uploads;
        // Nobody waits for another one here: calls at the same moment may come to a few more.
        if limit > 0 && self.store.uploads_of(owner).await? >= u64::from(limit) {
            return Err(Error::TooManyUploads { limit });
        }
        let id = UploadId::generate(unix_millis(now));
        let lifetime = LINK_LIFETIME.min(self.options.upload_retention);
        let terms = PutTerms {
            content_type: announced.format.content_type(),
            size: announced.size,
            sha256: announced.sha256,
        };
        let key = upload_key(owner, id);
        let put = self.objects.presign_put(&key, lifetime, terms).await;
        let put = put.map_err(Error::Objects)?;
        let purge_at = now + self.options.upload_retention;
        let removal = Removal {
            prefix: upload_prefix(owner, id),
            not_before: purge_at,
        };
        self.store.plan_upload_removal(owner, &removal).await?;
        Ok(Upload {
            id,
            put,
            link_expires_at: now + lifetime,
            purge_at,
        })
    }

    /// Reads a picture that an owner has uploaded. What it is remains to be seen.
    ///
    /// # Errors
    /// [`Error::UploadNotFound`], [`Error::Submission`] when it is too large, [`Error::Objects`].
    pub(super) async fn uploaded(
        &self,
        owner: &str,
        id: UploadId,
        field: &'static str,
    ) -> Result<SentImage, Error> {
        let age = unix_millis(self.now()).saturating_sub(id.unix_millis());
        if u128::from(age) >= self.options.upload_retention.as_millis() {
            // The removal may be late.
            return Err(Error::UploadNotFound { field });
        }
        let key = upload_key(owner, id);
        let found = self.objects.get(&key, MAX_STILL_BYTES as u64).await;
        let found = found.map_err(|error| {
            if is_too_large(&error) {
                Error::Submission(too_large(field))
            } else {
                Error::Objects(error)
            }
        })?;
        let bytes = found.ok_or(Error::UploadNotFound { field })?;
        // Digests of large pictures take their time.
        let read = tokio::task::spawn_blocking(move || SentImage::new(bytes));
        read.await.map_err(|_| Error::ShuttingDown)
    }
}

fn upload_key(owner: &str, id: UploadId) -> String {
    format!("{}picture", upload_prefix(owner, id))
}

fn unix_millis(time: Time) -> u64 {
    u64::try_from(time.timestamp_millis()).unwrap_or(0)
}
