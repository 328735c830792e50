//! Pictures of jobs, sent by callers or copied from other jobs: stored before their job, removed when there is none.

use std::sync::Arc;
use std::time::Duration;

use kinora_ids::job_input_prefix;
use kinora_media::{MAX_STILL_BYTES, StillInfo, probe_still};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::App;
use crate::domain::job::{Job, StoredImage};
use crate::domain::submission::{SentImage, Stills, Submission};
use crate::error::Error;
use crate::store::Removal;

/// Pictures without a job are removed after this long. Much longer than storing them and their job takes.
const ORPHANED_AFTER: Duration = Duration::from_secs(600);

/// Where a job's picture comes from.
enum Picture<'a> {
    /// It came with the submission.
    Sent(&'a SentImage, StillInfo),
    /// It is another job's, whose objects may go at any time.
    Borrowed(StoredImage),
}

/// A picture that was read from another job.
#[derive(Debug)]
pub(super) struct Borrowed {
    from: StoredImage,
    image: SentImage,
    info: StillInfo,
}

impl App {
    /// A place for a submission with pictures, kept until it is answered.
    ///
    /// # Errors
    /// [`Error::UploadsBusy`] when there is none at the moment.
    pub fn upload_place(&self) -> Result<OwnedSemaphorePermit, Error> {
        let place = Arc::clone(&self.uploads).try_acquire_owned();
        place.map_err(|_| Error::UploadsBusy)
    }

    /// Stores the pictures of a submission, and those that its job has from another one, under the job's own prefix, and
    /// notes them in the job. `latest` is the picture that was read last from another job: those of one request often
    /// share theirs.
    ///
    /// Their removal is planned first: whatever happens before the job is stored, they do not stay. The transaction
    /// that stores the job calls the removal off.
    ///
    /// # Errors
    /// [`Error::PictureGone`] when the other job's is not there any more, [`Error::Objects`], [`Error::Store`].
    pub(super) async fn store_images(
        &self,
        job: &mut Job,
        (submission, stills): (&Submission, Stills),
        latest: &mut Option<Borrowed>,
    ) -> Result<Option<Uuid>, Error> {
        let first = picture(
            submission.image.as_ref(),
            stills.first,
            job.spec.image.as_ref(),
        );
        let last = picture(
            submission.last_image.as_ref(),
            stills.last,
            job.spec.last_image.as_ref(),
        );
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
            job.spec.image = self.store_image(&prefix, "first", first, latest).await?;
            job.spec.last_image = self.store_image(&prefix, "last", last, latest).await?;
            if let Some(preview) = &mut job.preview_spec {
                preview.image.clone_from(&job.spec.image);
                preview.last_image.clone_from(&job.spec.last_image);
            }
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
        picture: Option<Picture<'_>>,
        latest: &mut Option<Borrowed>,
    ) -> Result<Option<StoredImage>, Error> {
        let Some(picture) = picture else {
            return Ok(None);
        };
        let (image, info, _turn) = match picture {
            Picture::Sent(image, info) => (image.clone(), info, None),
            Picture::Borrowed(from) => {
                let turn = self.copies.acquire().await;
                let turn = turn.map_err(|_| Error::ShuttingDown)?;
                let known = latest.take().filter(|known| known.from == from);
                let known = match known {
                    Some(known) => known,
                    None => self.borrowed(from).await?,
                };
                let Borrowed { image, info, .. } = latest.insert(known);
                (image.clone(), *info, Some(turn))
            }
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

    /// Reads another job's picture.
    async fn borrowed(&self, from: StoredImage) -> Result<Borrowed, Error> {
        let found = self.objects.get(&from.key, MAX_STILL_BYTES as u64);
        let found = found.await.map_err(Error::Objects)?;
        let bytes = found.ok_or(Error::PictureGone)?;
        // Digests of large pictures take their time.
        let read = tokio::task::spawn_blocking(move || {
            let image = SentImage::new(bytes);
            let info = probe_still(image.bytes()).ok();
            info.filter(|_| image.sha256() == from.sha256)
                .map(|info| Borrowed { from, image, info })
        });
        let read = read.await.map_err(|_| Error::ShuttingDown)?;
        read.ok_or(Error::PictureGone)
    }
}

/// A picture that is sent stands above one that is noted already, which is another job's.
fn picture<'a>(
    sent: Option<&'a SentImage>,
    info: Option<StillInfo>,
    noted: Option<&StoredImage>,
) -> Option<Picture<'a>> {
    match (sent, info) {
        (Some(image), Some(info)) => Some(Picture::Sent(image, info)),
        _ => noted.cloned().map(Picture::Borrowed),
    }
}
