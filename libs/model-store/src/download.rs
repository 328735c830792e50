//! One file: what is there of it, what is missing, and whether it is the right one.

mod adopt;
mod judge;
mod receive;
mod refusals;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::catalogue::{FileEntry, ModelEntry};
use crate::error::StoreError;
use crate::fetch::{Answer, FetchError, Fetcher};
use crate::lock::ModelLock;
use crate::observer::{Observer, PullEvent};
use crate::origin::{Location, locations};
use crate::part::PartFile;
use crate::progress::{Journal, Promise};
use crate::pull::PullOptions;
use crate::record::FileRecord;
use crate::room::{Allowance, FreeSpace};

/// What all files of one pull share.
pub(crate) struct Job {
    pub entry: ModelEntry,
    pub folder: PathBuf,
    pub journal: Journal,
    pub fetcher: Fetcher,
    pub options: PullOptions,
    pub observer: Observer,
    pub free_space: FreeSpace,
    /// What all files without a size in the catalogue may take.
    pub allowance: Allowance,
    /// Every writer holds the lock, so that it outlives a pull that is dropped while its last block is written.
    pub lock: Arc<ModelLock>,
}

/// One file of a pull.
pub(crate) struct Download {
    job: Arc<Job>,
    file: FileEntry,
    promise: Promise,
    /// What the record said of the file, when a complete model is repaired.
    recorded: Option<FileRecord>,
    places: Vec<Location>,
    /// Index of the place that is asked.
    place: usize,
    /// Whether bytes of an earlier run are in the file: they may be the reason when it turns out wrong.
    has_old_bytes: bool,
    /// Most bytes that the file ever had in this run: more is progress.
    most_bytes: u64,
    /// Why the bytes that are there cannot be continued, if so. They are dropped when others come, and not before.
    useless: Option<String>,
    /// Set when nobody waits for this download any more, for what blocks.
    is_dropped: Dropped,
}

/// Tells threads that the future they work for is gone.
#[derive(Default)]
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How far an attempt came.
enum Step {
    /// All bytes are there.
    Complete,
    /// Try again: at the same place after a pause, or at the next one at once.
    Again(FetchError),
}

impl Job {
    fn tell(&self, event: PullEvent) {
        (self.observer)(event);
    }
}

impl Download {
    pub(crate) fn new(job: Arc<Job>, file: FileEntry) -> Self {
        let mut places = locations(&job.entry, &file.path, job.options.mirror.as_ref());
        let mut promise = job.journal.promise(&file.path);
        let promised = places
            .iter()
            .position(|place| place.to_string() == promise.origin);
        match promised {
            Some(index) => places.swap(0, index),
            // What another place said is nothing to these.
            None => promise = Promise::default(),
        }
        Self {
            promise,
            recorded: job.journal.recorded(&file.path),
            job,
            file,
            places,
            place: 0,
            has_old_bytes: false,
            most_bytes: 0,
            useless: None,
            is_dropped: Dropped::default(),
        }
    }

    /// Fetches what is missing and checks the whole.
    pub(crate) async fn run(mut self) -> Result<FileRecord, StoreError> {
        if let Some(record) = self.already_there().await? {
            return Ok(self.done(record));
        }
        let path = self.file.path.partial_under(&self.job.folder);
        let is_dropped = Arc::clone(&self.is_dropped.0);
        let is_wanted = move || !is_dropped.load(Ordering::Relaxed);
        let opened = self.blocking(move || PartFile::open(&path, is_wanted));
        let mut part = opened.await?;
        self.has_old_bytes = part.length() > 0;
        self.job.tell(PullEvent::FileStarted {
            path: self.file.path.clone(),
            size: self.size(),
            position: part.length(),
        });
        loop {
            part = self.fill(part).await?;
            let digest = part.digest();
            let expected = self.expected();
            if expected.as_ref().is_none_or(|expected| *expected == digest) {
                return self.finish(part, digest).await;
            }
            part = self.wrong(part, expected.unwrap_or_default(), digest)?;
        }
    }

    /// Takes a file that an earlier run finished, or that somebody put there.
    async fn already_there(&self) -> Result<Option<FileRecord>, StoreError> {
        let job = Arc::clone(&self.job);
        let file = self.file.clone();
        let expected = self.file.sha256.clone();
        self.blocking(move || {
            adopt::refuse_linked_folders(&job.folder, &file.path)?;
            let path = file.path.under(&job.folder);
            let Ok(metadata) = std::fs::symlink_metadata(&path) else {
                return Ok(None);
            };
            if let Some(record) = job.journal.finished(&file.path) {
                let is_expected = expected
                    .as_ref()
                    .is_none_or(|digest| *digest == record.sha256);
                if metadata.len() == record.size && is_expected {
                    return Ok(Some(record));
                }
            }
            adopt::adopt(&job, &file, &path, &metadata)
        })
        .await
    }

    /// Fetches until the file has all its bytes.
    async fn fill(&mut self, mut part: PartFile) -> Result<PartFile, StoreError> {
        let mut failures = 0;
        loop {
            if self.is_complete(&part) {
                return Ok(part);
            }
            self.judge(&part);
            self.most_bytes = self.most_bytes.max(part.length());
            let step;
            (part, step) = self.attempt(part).await?;
            let error = match step {
                Step::Complete => return Ok(part),
                Step::Again(error) => error,
            };
            let is_progress = part.length() > self.most_bytes;
            failures = if is_progress { 1 } else { failures + 1 };
            self.pause(failures, error).await?;
        }
    }

    /// Asks once and takes what comes.
    async fn attempt(&mut self, part: PartFile) -> Result<(PartFile, Step), StoreError> {
        let location = self.location()?.clone();
        if self.job.options.offline && matches!(location, Location::Http(_)) {
            let id = self.job.entry.id.clone();
            return Err(StoreError::Offline { id });
        }
        let etag = self.promise.etag.clone();
        let offset = match self.useless {
            None => part.length(),
            Some(_) => 0,
        };
        let asked = self.job.fetcher.open(&location, offset, etag.as_deref());
        match asked.await {
            Err(error) => Ok((part, Step::Again(error))),
            Ok(Answer::OutOfStep(reason)) => {
                self.useless = Some(reason.clone());
                Ok((part, transient(reason)))
            }
            Ok(Answer::NothingMore { total }) if total == Some(offset) => {
                Ok((part, Step::Complete))
            }
            Ok(Answer::NothingMore { .. }) => {
                let reason = "the file has fewer bytes than are here".to_owned();
                self.useless = Some(reason.clone());
                Ok((part, transient(reason)))
            }
            Ok(Answer::Bytes(delivery)) => self.receive(part, delivery, &location).await,
        }
    }

    /// A file that is complete and wrong: once more when an earlier run may be to blame, else the source is.
    fn wrong(
        &mut self,
        part: PartFile,
        expected: String,
        found: String,
    ) -> Result<PartFile, StoreError> {
        if self.has_old_bytes {
            self.has_old_bytes = false;
            self.useless = Some(format!("its sha256 is {found}, not {expected}"));
            return Ok(part);
        }
        part.discard()?;
        Err(self.mismatch(expected, found))
    }

    async fn finish(self, part: PartFile, sha256: String) -> Result<FileRecord, StoreError> {
        let record = FileRecord {
            path: self.file.path.clone(),
            size: part.length(),
            sha256,
            trust: self.trust(),
        };
        let job = Arc::clone(&self.job);
        let noted = record.clone();
        self.blocking(move || {
            part.finish(&noted.path.under(&job.folder))?;
            job.journal.note_finished(&noted)
        })
        .await?;
        Ok(self.done(record))
    }

    fn done(&self, record: FileRecord) -> FileRecord {
        if self.file.size.is_none() {
            // It is here, whatever is left for the others.
            self.job.allowance.note(&record.path, record.size);
        }
        self.job.tell(PullEvent::FileDone {
            path: record.path.clone(),
            size: record.size,
            trust: record.trust,
        });
        record
    }

    /// Waits before the next attempt, or gives up.
    async fn pause(&mut self, failures: u32, error: FetchError) -> Result<(), StoreError> {
        let (reason, retry_after) = match error {
            FetchError::Transient {
                reason,
                retry_after,
            } => (reason, retry_after),
            FetchError::NotFound | FetchError::Forbidden(_)
                if self.place + 1 < self.places.len() =>
            {
                self.place += 1;
                self.promise = Promise::default();
                return Ok(());
            }
            FetchError::NotFound => return Err(self.refused("it is not there".to_owned())),
            FetchError::Forbidden(reason) | FetchError::Refused(reason) => {
                return Err(self.refused(reason));
            }
        };
        let retry = self.job.options.retry;
        if failures >= retry.attempts {
            return Err(StoreError::Unreachable {
                path: self.file.path.clone(),
                location: self.place_name(),
                failures,
                reason,
            });
        }
        let delay = retry_after.unwrap_or_else(|| retry.delay(failures));
        self.job.tell(PullEvent::Retrying {
            path: self.file.path.clone(),
            failures,
            delay,
            reason,
        });
        tokio::time::sleep(delay).await;
        Ok(())
    }

    fn restart(&self, part: &mut PartFile, reason: &str) -> Result<(), StoreError> {
        if part.length() == 0 {
            return Ok(());
        }
        part.restart()?;
        self.job.tell(PullEvent::Restarted {
            path: self.file.path.clone(),
            reason: reason.to_owned(),
        });
        self.tell_progress(0, self.size());
        Ok(())
    }

    fn tell_progress(&self, position: u64, size: Option<u64>) {
        self.job.tell(PullEvent::Progress {
            path: self.file.path.clone(),
            position,
            size,
        });
    }

    fn location(&self) -> Result<&Location, StoreError> {
        let location = self.places.get(self.place);
        location.ok_or_else(|| self.refused("no place is known for it".to_owned()))
    }

    /// Runs what waits for the disk off the runtime, under the lock.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let lock = Arc::clone(&self.job.lock);
        let task = tokio::task::spawn_blocking(move || {
            let _lock = lock;
            work()
        });
        task.await
            .map_err(|error| StoreError::Internal(error.to_string()))?
    }
}

fn transient(reason: String) -> Step {
    Step::Again(FetchError::Transient {
        reason,
        retry_after: None,
    })
}
