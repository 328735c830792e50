//! A whole model: lock, room, files, record, and the one rename that makes it appear.

mod folder;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::folder::{renew_acceptance, write_card};
use crate::catalogue::ModelEntry;
use crate::download::{Download, Job};
use crate::durable;
use crate::error::StoreError;
use crate::fetch::Fetcher;
use crate::lock::ModelLock;
use crate::observer::{Observer, PullEvent};
use crate::origin::Mirror;
use crate::progress::Journal;
use crate::record::{AcceptedLicence, CARD_FILE, FileRecord, LicenceRecord, StoreRecord};
use crate::relative_path::RelativePath;
use crate::room::{self, Allowance};
use crate::store::{InstalledModel, Store};
use crate::token::HubToken;

/// How a model is fetched.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// Asked instead of the hub.
    pub mirror: Option<Mirror>,
    /// Whether the network is forbidden. A folder as mirror is no network.
    pub offline: bool,
    /// Sent to the hub, and to nobody else.
    pub token: Option<HubToken>,
    /// The operator's acceptance of the licence, if it was given with this pull.
    pub acceptance: Option<Acceptance>,
    /// Whether a complete model is looked through and mended; while that lasts it is not there for loaders.
    pub repair: bool,
    /// How many files are fetched at a time.
    pub parallel_files: usize,
    /// What happens when the source fails.
    pub retry: RetryPolicy,
}

/// Who accepts a licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The operator.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// How often a source that fails is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Failures in a row without a byte of progress, after which a file is given up.
    pub attempts: u32,
    /// The first pause; it doubles with every further failure, up to half a minute.
    pub first_delay: Duration,
    /// A source that sends nothing for so long has failed.
    pub stall: Duration,
}

/// A model after a pull.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulled {
    /// The model.
    pub model: InstalledModel,
    /// Whether nothing had to be done.
    pub was_installed: bool,
}

const LONGEST_DELAY: Duration = Duration::from_secs(30);

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            mirror: None,
            offline: false,
            token: None,
            acceptance: None,
            repair: false,
            parallel_files: 4,
            retry: RetryPolicy::default(),
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_delay: Duration::from_millis(500),
            stall: Duration::from_secs(30),
        }
    }
}

impl PullOptions {
    /// Whether nobody may be asked for anything that is not here.
    fn asks_nobody(&self) -> bool {
        self.offline && !matches!(self.mirror, Some(Mirror::Folder(_)))
    }
}

impl RetryPolicy {
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.first_delay
            .saturating_mul(1 << doublings)
            .min(LONGEST_DELAY)
    }
}

impl Store {
    /// Fetches a model, or what is missing of it. Safe to call at the same time from anywhere: the second waits and
    /// finds the work done. Dropping the future stops it; what is there is kept.
    ///
    /// The process must have a default TLS provider (`rustls`).
    ///
    /// # Errors
    ///
    /// [`StoreError`]. After any of them the model is not there for loaders, and a further pull goes on from what is.
    pub async fn pull(
        &self,
        id: &str,
        options: PullOptions,
        observer: Observer,
    ) -> Result<Pulled, StoreError> {
        let entry = self.entry(id)?.clone();
        std::fs::create_dir_all(self.root()).map_err(|error| StoreError::io(self.root(), error))?;
        let waiting = || observer(PullEvent::WaitingForLock);
        // Held to the end of this function, and by every writer of the files.
        let lock = Arc::new(ModelLock::take(&self.lock_path(id), waiting).await?);
        let installed = self.record_before(id, options.repair)?;
        let licence = installed.as_ref().map(|record| record.licence.clone());
        let licence = licence.or_else(|| self.licence_of_part(id));
        let accepted = acceptance(&entry, licence.as_ref(), options.acceptance.as_ref())?;
        if let Some(record) = &installed {
            if !options.repair && record.revision == entry.source.revision {
                let record = renew_acceptance(&self.folder(id), &entry, record.clone(), accepted)?;
                return Ok(Pulled {
                    model: self.installed(record),
                    was_installed: true,
                });
            }
            leave_revision(&entry, record, &options, &observer)?;
        }
        self.open_part(&entry, installed.as_ref())?;
        if let Some(record) = self.record_of_part(&entry)? {
            renew_acceptance(&self.part_folder(id), &entry, record, accepted)?;
        } else {
            self.fetch(entry, options, observer, Arc::clone(&lock), accepted)
                .await?;
        }
        self.promote(id)
    }

    async fn fetch(
        &self,
        entry: ModelEntry,
        options: PullOptions,
        observer: Observer,
        lock: Arc<ModelLock>,
        accepted: Option<AcceptedLicence>,
    ) -> Result<(), StoreError> {
        let folder = self.part_folder(&entry.id);
        let there = crate::store::folder_bytes(&folder);
        let needed = entry.needs.download_bytes.saturating_sub(there);
        room::check(self.free_space(), &folder, &entry.id, needed)?;
        observer(PullEvent::Started {
            total_bytes: entry.needs.download_bytes,
            files: entry.files.len(),
        });
        let is_of_hub = options.mirror.is_none();
        let stall = options.retry.stall;
        let job = Arc::new(Job {
            journal: Journal::open(&folder, &entry.source.revision),
            fetcher: Fetcher::new(options.token.clone(), is_of_hub, stall)?,
            free_space: self.free_space(),
            allowance: Allowance::of(&entry),
            folder,
            entry,
            options,
            observer,
            lock,
        });
        let files = fetch_files(&job).await?;
        complete(&job, files, accepted)
    }
}

/// Fetches all files, some at a time; the first failure stops the others.
async fn fetch_files(job: &Arc<Job>) -> Result<BTreeMap<RelativePath, FileRecord>, StoreError> {
    let slots = Arc::new(Semaphore::new(job.options.parallel_files.max(1)));
    let mut tasks = JoinSet::new();
    for file in &job.entry.files {
        let download = Download::new(Arc::clone(job), file.clone());
        let slots = Arc::clone(&slots);
        tasks.spawn(async move {
            // The semaphore is never closed.
            let _slot = slots.acquire().await;
            Box::pin(download.run()).await
        });
    }
    let mut records = BTreeMap::new();
    while let Some(ended) = tasks.join_next().await {
        let record = ended.map_err(|error| StoreError::Internal(error.to_string()))??;
        records.insert(record.path.clone(), record);
    }
    Ok(records)
}

/// Writes card and record; the record comes last.
fn complete(
    job: &Job,
    files: BTreeMap<RelativePath, FileRecord>,
    accepted: Option<AcceptedLicence>,
) -> Result<(), StoreError> {
    let entry = &job.entry;
    let card = job.folder.join(CARD_FILE);
    write_card(&card, entry)?;
    let licence = LicenceRecord::of(&entry.licence, accepted);
    let (repo, revision) = (&entry.source.repo, &entry.source.revision);
    let mut record = StoreRecord::new(&entry.id, repo, revision, licence);
    record.files = files.into_values().collect();
    durable::sync_folders(&job.folder).map_err(|error| StoreError::io(&job.folder, error))?;
    record.write(&job.folder)
}

/// Says that a model of another revision is given up for the one of the catalogue; not where nobody may be asked.
fn leave_revision(
    entry: &ModelEntry,
    record: &StoreRecord,
    options: &PullOptions,
    observer: &Observer,
) -> Result<(), StoreError> {
    let (installed, wanted) = (&record.revision, &entry.source.revision);
    if installed == wanted {
        return Ok(());
    }
    if options.asks_nobody() {
        let id = entry.id.clone();
        return Err(StoreError::Offline { id });
    }
    observer(PullEvent::OtherRevision {
        installed: installed.clone(),
        wanted: wanted.clone(),
    });
    Ok(())
}

/// The acceptance that holds after this pull.
fn acceptance(
    entry: &ModelEntry,
    before: Option<&LicenceRecord>,
    given: Option<&Acceptance>,
) -> Result<Option<AcceptedLicence>, StoreError> {
    if let Some(Acceptance { by, at }) = given {
        return Ok(Some(AcceptedLicence {
            by: by.clone(),
            at: *at,
        }));
    }
    let licence = &entry.licence;
    let before = before
        .filter(|before| before.terms_sha256 == licence.digest())
        .and_then(|before| before.accepted.clone());
    if licence.accept && before.is_none() {
        return Err(StoreError::LicenceNotAccepted {
            id: entry.id.clone(),
            licence: licence.spdx.clone(),
            url: licence.url.clone(),
        });
    }
    Ok(before)
}

pub(crate) fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute() {
        let policy = RetryPolicy::default();
        let delays = [1, 2, 3, 7, 99].map(|failures| policy.delay(failures).as_millis());
        assert_eq!(delays, [500, 1000, 2000, 30_000, 30_000]);
    }
}
