//! What a download remembers between runs: `progress.json` in the folder of the download.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::StoreError;
use crate::record::{FileRecord, LicenceRecord, StoreRecord};
use crate::relative_path::RelativePath;

pub(crate) const PROGRESS_FILE: &str = "progress.json";

/// What is known of one unfinished file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct Promise {
    /// Who made it: the place that was asked first, without what redirects add. It says nothing about other places.
    pub origin: String,
    /// Strong validator of the server that sent the bytes: with it, a changed file is not continued.
    pub etag: Option<String>,
    /// SHA-256 that the hub promised.
    pub sha256: Option<String>,
    /// Size that the source announced.
    pub size: Option<u64>,
}

#[derive(Default, Deserialize, Serialize)]
struct Document {
    revision: String,
    promises: BTreeMap<RelativePath, Promise>,
    finished: BTreeMap<RelativePath, FileRecord>,
    /// What the record of the complete model said before it was opened for a repair.
    #[serde(default)]
    recorded: BTreeMap<RelativePath, FileRecord>,
    /// The terms that were accepted for that model. They hold for every revision.
    #[serde(default)]
    licence: Option<LicenceRecord>,
}

/// The notes of one download. Every change is on the disk when its function returns.
pub(crate) struct Journal {
    path: PathBuf,
    document: Mutex<Document>,
}

impl Journal {
    /// Reads the notes of a folder. Notes of another revision, and damaged ones, count for nothing: files are then
    /// judged by their bytes.
    pub(crate) fn open(folder: &Path, revision: &str) -> Self {
        let path = folder.join(PROGRESS_FILE);
        let found = durable::read_json::<Document>(&path).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "the notes of a download are damaged");
            None
        });
        let document = match found {
            Some(document) if document.revision == revision => document,
            other => Document {
                revision: revision.to_owned(),
                licence: other.and_then(|document| document.licence),
                ..Document::default()
            },
        };
        Self {
            path,
            document: Mutex::new(document),
        }
    }

    /// The terms that somebody accepted for the model that a folder held before it was opened.
    pub(crate) fn licence(folder: &Path) -> Option<LicenceRecord> {
        let found = durable::read_json::<Document>(&folder.join(PROGRESS_FILE));
        found.ok().flatten()?.licence
    }

    /// Keeps what the record of a complete model says, which is about to be removed.
    pub(crate) fn keep(&self, record: &StoreRecord) -> Result<(), StoreError> {
        self.change(|document| {
            document.licence = Some(record.licence.clone());
            if document.revision == record.revision {
                let files = record.files.iter();
                document.recorded = files
                    .map(|file| (file.path.clone(), file.clone()))
                    .collect();
            }
        })
    }

    /// What the record of the complete model said of a file.
    pub(crate) fn recorded(&self, path: &RelativePath) -> Option<FileRecord> {
        self.lock().recorded.get(path).cloned()
    }

    pub(crate) fn promise(&self, path: &RelativePath) -> Promise {
        self.lock().promises.get(path).cloned().unwrap_or_default()
    }

    pub(crate) fn finished(&self, path: &RelativePath) -> Option<FileRecord> {
        self.lock().finished.get(path).cloned()
    }

    pub(crate) fn note_promise(
        &self,
        path: &RelativePath,
        promise: &Promise,
    ) -> Result<(), StoreError> {
        self.change(|document| {
            document.promises.insert(path.clone(), promise.clone());
        })
    }

    pub(crate) fn note_finished(&self, record: &FileRecord) -> Result<(), StoreError> {
        self.change(|document| {
            document.promises.remove(&record.path);
            document
                .finished
                .insert(record.path.clone(), record.clone());
        })
    }

    /// Writes under the lock, so that two changes never overtake each other on the disk.
    fn change(&self, apply: impl FnOnce(&mut Document)) -> Result<(), StoreError> {
        let mut document = self.lock();
        apply(&mut document);
        durable::write_json(&self.path, &*document)
            .map_err(|error| StoreError::io(&self.path, error))
    }

    /// A panic elsewhere leaves whole values behind, so a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, Document> {
        self.document.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
