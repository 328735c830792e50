//! The folder itself: what is in it, what may be loaded from it, and taking things out.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::catalogue::{Catalogue, Licence, ModelEntry, is_model_id};
use crate::error::StoreError;
use crate::lock::ModelLock;
use crate::pull::remove_if_there;
use crate::record::{RECORD_FILE, StoreRecord};
use crate::room::FreeSpace;

/// A folder of models. Cheap to clone; nothing is read or made until it is asked for.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    catalogue: Arc<Catalogue>,
    free_space: FreeSpace,
}

/// A complete model.
#[derive(Clone, Debug, PartialEq)]
pub struct InstalledModel {
    /// Its name.
    pub id: String,
    /// Its folder, with a `kinora.json`.
    pub folder: PathBuf,
    /// What is known of it.
    pub record: StoreRecord,
}

/// A model of the catalogue or the store, for listings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelStatus {
    /// Its name.
    pub id: String,
    /// Name for people; empty for a model that is installed and no longer in the catalogue.
    pub title: String,
    /// The family whose pipeline runs it.
    pub family: String,
    /// SPDX expression of its licence.
    pub licence: String,
    /// Where the licence stands.
    pub licence_state: LicenceState,
    /// How much of it is there.
    pub state: ModelState,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Bytes that are there.
    pub present_bytes: u64,
}

/// How much of a model is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// Nothing.
    Absent,
    /// Some bytes; a pull goes on from them.
    Partial,
    /// All of it.
    Installed,
}

/// Where a licence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LicenceState {
    /// Nobody has to accept anything.
    Free,
    /// It must be accepted first.
    MustBeAccepted,
    /// It was accepted.
    Accepted,
}

impl Store {
    /// A store in `root`, which a pull makes when it is missing.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, catalogue: Catalogue) -> Self {
        Self {
            root: root.into(),
            catalogue: Arc::new(catalogue),
            free_space: crate::room::free_on_volume,
        }
    }

    /// Asks `free_space` for the room on the volume, for volumes whose limit the system does not tell.
    #[must_use]
    pub fn with_free_space(mut self, free_space: FreeSpace) -> Self {
        self.free_space = free_space;
        self
    }

    pub(crate) fn free_space(&self) -> FreeSpace {
        self.free_space
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What can be pulled.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The folder of a model that may be loaded: it is complete, and its licence is accepted where it must be.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotInstalled`], [`StoreError::LicenceNotAccepted`], or [`StoreError::Io`] for a record that
    /// cannot be read.
    pub fn open_model(&self, id: &str) -> Result<PathBuf, StoreError> {
        let record = self.record(id)?;
        let today = self.catalogue.get(id).map(|entry| &entry.licence);
        if !record.licence.allows(today) {
            let (licence, url) = match today {
                Some(today) => (today.spdx.clone(), today.url.clone()),
                None => (record.licence.spdx, record.licence.url),
            };
            return Err(StoreError::LicenceNotAccepted {
                id: id.to_owned(),
                licence,
                url,
            });
        }
        Ok(self.folder(id))
    }

    /// The complete models, in order of their names; none when there is no such folder. A folder whose record is
    /// damaged is left out with a warning: it must not keep the others from being served.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] when the folder is there and cannot be read.
    pub fn models(&self) -> Result<Vec<InstalledModel>, StoreError> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io(&self.root, error)),
        };
        let mut ids: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| is_model_id(name) && self.folder(name).is_dir())
            .collect();
        ids.sort();
        Ok(ids.iter().filter_map(|id| self.readable(id)).collect())
    }

    /// Everything that the catalogue or the folder has, in order of the names.
    ///
    /// # Errors
    ///
    /// As [`Store::models`].
    pub fn list(&self) -> Result<Vec<ModelStatus>, StoreError> {
        let installed = self.models()?;
        let is_listed = |id: &str| self.catalogue.get(id).is_some();
        let mut list: Vec<ModelStatus> = installed
            .iter()
            .filter(|model| !is_listed(&model.id))
            .map(|model| status_of_stranger(&model.record))
            .collect();
        for entry in self.catalogue.models() {
            let model = installed.iter().find(|model| model.id == entry.id);
            list.push(self.status(entry, model.map(|model| &model.record)));
        }
        list.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(list)
    }

    /// Deletes a model and its unfinished download.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] while somebody fetches it, [`StoreError::NotInstalled`] when there is nothing,
    /// [`StoreError::Io`].
    pub fn remove(&self, id: &str) -> Result<(), StoreError> {
        let folders = [self.folder(id), self.part_folder(id)];
        if !is_model_id(id) || !folders.iter().any(|folder| folder.exists()) {
            return Err(self.not_installed(id));
        }
        let Some(_lock) = ModelLock::try_take(&self.lock_path(id))? else {
            return Err(StoreError::Locked(id.to_owned()));
        };
        // Without its record the model is not there for loaders; whatever interrupts the rest.
        let record = self.folder(id).join(RECORD_FILE);
        remove_if_there(&record).map_err(|error| StoreError::io(&record, error))?;
        for folder in folders.iter().filter(|folder| folder.exists()) {
            std::fs::remove_dir_all(folder).map_err(|error| StoreError::io(folder, error))?;
        }
        Ok(())
    }

    /// The record of a complete model.
    pub(crate) fn record(&self, id: &str) -> Result<StoreRecord, StoreError> {
        if !is_model_id(id) {
            return Err(self.not_installed(id));
        }
        let record = StoreRecord::read(&self.folder(id))?;
        record
            .filter(|record| record.id == id)
            .ok_or_else(|| self.not_installed(id))
    }

    pub(crate) fn entry(&self, id: &str) -> Result<&ModelEntry, StoreError> {
        let entry = self.catalogue.get(id);
        entry.ok_or_else(|| StoreError::UnknownModel(id.to_owned()))
    }

    pub(crate) fn installed(&self, record: StoreRecord) -> InstalledModel {
        InstalledModel {
            id: record.id.clone(),
            folder: self.folder(&record.id),
            record,
        }
    }

    pub(crate) fn folder(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    pub(crate) fn part_folder(&self, id: &str) -> PathBuf {
        self.root.join(format!("{id}.part"))
    }

    pub(crate) fn lock_path(&self, id: &str) -> PathBuf {
        self.root.join(format!("{id}.lock"))
    }

    fn not_installed(&self, id: &str) -> StoreError {
        StoreError::NotInstalled {
            id: id.to_owned(),
            store: self.root.clone(),
        }
    }

    fn readable(&self, id: &str) -> Option<InstalledModel> {
        match self.record(id) {
            Ok(record) => Some(self.installed(record)),
            Err(StoreError::NotInstalled { .. }) => None,
            Err(error) => {
                tracing::warn!(id, %error, "a model of the store is left out");
                None
            }
        }
    }

    fn status(&self, entry: &ModelEntry, record: Option<&StoreRecord>) -> ModelStatus {
        let present = match record {
            Some(record) => record.bytes(),
            None => folder_bytes(&self.part_folder(&entry.id)),
        };
        let state = match record {
            Some(_) => ModelState::Installed,
            None if self.part_folder(&entry.id).is_dir() => ModelState::Partial,
            None => ModelState::Absent,
        };
        ModelStatus {
            id: entry.id.clone(),
            title: entry.title.clone(),
            family: entry.family.clone(),
            licence: entry.licence.spdx.clone(),
            licence_state: licence_state(&entry.licence, record),
            state,
            bytes: record.map_or(entry.needs.download_bytes, StoreRecord::bytes),
            present_bytes: present,
        }
    }
}

/// Whether a folder that is named by hand may be loaded: one that the store made carries its licence with it.
///
/// # Errors
///
/// [`StoreError::LicenceNotAccepted`], or [`StoreError::Io`] for a record that cannot be read.
pub fn check_licence(folder: &Path) -> Result<(), StoreError> {
    match StoreRecord::read(folder)? {
        Some(record) if !record.licence.allows(None) => Err(StoreError::LicenceNotAccepted {
            id: record.id,
            licence: record.licence.spdx,
            url: record.licence.url,
        }),
        _ => Ok(()),
    }
}

fn licence_state(licence: &Licence, record: Option<&StoreRecord>) -> LicenceState {
    match record {
        _ if !licence.accept => LicenceState::Free,
        Some(record) if record.licence.allows(Some(licence)) => LicenceState::Accepted,
        _ => LicenceState::MustBeAccepted,
    }
}

/// A model that is there and that today's catalogue does not know.
fn status_of_stranger(record: &StoreRecord) -> ModelStatus {
    let licence_state = match &record.licence {
        licence if !licence.acceptance_required => LicenceState::Free,
        licence if licence.accepted.is_some() => LicenceState::Accepted,
        _ => LicenceState::MustBeAccepted,
    };
    ModelStatus {
        id: record.id.clone(),
        title: String::new(),
        family: String::new(),
        licence: record.licence.spdx.clone(),
        licence_state,
        state: ModelState::Installed,
        bytes: record.bytes(),
        present_bytes: record.bytes(),
    }
}

/// Bytes of all files under a folder; nothing for what cannot be read, since a download may move files meanwhile.
pub(crate) fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    });
    sizes.sum()
}
