//! Pictures that callers send: stored before their job, removed when there is none.

use std::sync::Arc;
use std::time::Duration;

use kinora_ids::job_input_prefix;
use kinora_media::StillInfo;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::App;
use crate::domain::job::{Job, StoredImage};
use crate::domain::submission::{SentImage, Stills, Submission};
use crate::error::Error;
use crate::store::Removal;

/// Pictures without a job are removed after this long. Much longer than storing them and their job takes.
const ORPHANED_AFTER: Duration = Duration::from_secs(600);

impl App {
    /// A place for a submission with pictures, kept until it is answered.
    ///
    /// # Errors
    /// [`Error::UploadsBusy`] when there is none at the moment.
    pub fn upload_place(&self) -> Result<OwnedSemaphorePermit, Error> {
        let place = Arc::clone(&self.uploads).try_acquire_owned();
        place.map_err(|_| Error::UploadsBusy)
    }

    /// Stores the pictures of a submission and notes them in its job.
    ///
    /// Their removal is planned first: whatever happens before the job is stored, they do not stay. The transaction
    /// that stores the job calls the removal off.
    ///
    /// # Errors
    /// [`Error::Objects`], [`Error::Store`].
    pub(super) async fn store_images(
        &self,
        job: &mut Job,
        submission: &Submission,
        stills: Stills,
    ) -> Result<Option<Uuid>, Error> {
        let first = submission.image.as_ref().zip(stills.first);
        let last = submission.last_image.as_ref().zip(stills.last);
        if first.is_none() && last.is_none() {
            return Ok(None);
        }
        let prefix = job_input_prefix(job.id);
        let removal = Removal {
            prefix: prefix.clone(),
            not_before: self.now() + ORPHANED_AFTER,
        };
        let orphaned = self.store.plan_removal(&removal).await?;
        let stored = async {
            job.spec.image = self.store_image(&prefix, "first", first).await?;
            job.spec.last_image = self.store_image(&prefix, "last", last).await?;
            Ok(Some(orphaned))
        };
        let stored = stored.await;
        if stored.is_err() {
            self.store.postpone_removal(orphaned, self.now()).await?;
        }
        stored
    }

    async fn store_image(
        &self,
        prefix: &str,
        name: &str,
        sent: Option<(&SentImage, StillInfo)>,
    ) -> Result<Option<StoredImage>, Error> {
        let Some((image, info)) = sent else {
            return Ok(None);
        };
        let key = format!("{prefix}{name}.{}", info.format.extension());
        let content_type = info.format.content_type();
        self.objects
            .put(&key, image.bytes().to_vec(), content_type)
            .await
            .map_err(Error::Objects)?;
        Ok(Some(StoredImage {
            key,
            sha256: image.sha256().to_owned(),
        }))
    }
}
