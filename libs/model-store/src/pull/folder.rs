//! The two folders of a model, the complete one and the unfinished one, and how one becomes the other.

use std::path::Path;

use crate::catalogue::ModelEntry;
use crate::durable;
use crate::error::StoreError;
use crate::progress::{Journal, PROGRESS_FILE};
use crate::pull::{Pulled, remove_if_there};
use crate::record::{AcceptedLicence, LicenceRecord, RECORD_FILE, StoreRecord};
use crate::store::Store;

impl Store {
    /// The record of the model as it is, if it is this model's. One that is damaged does not keep a model from being
    /// mended.
    pub(super) fn record_before(
        &self,
        id: &str,
        is_repair: bool,
    ) -> Result<Option<StoreRecord>, StoreError> {
        match StoreRecord::read(&self.folder(id)) {
            Err(_) if is_repair => Ok(None),
            record => Ok(record?.filter(|record| record.id == id)),
        }
    }

    /// The record of an unfinished model that lacks nothing but its name.
    pub(super) fn record_of_part(
        &self,
        entry: &ModelEntry,
    ) -> Result<Option<StoreRecord>, StoreError> {
        let record = StoreRecord::read(&self.part_folder(&entry.id))?;
        Ok(record
            .filter(|record| record.id == entry.id && record.revision == entry.source.revision))
    }

    /// The terms that were accepted for a model whose pull or repair was interrupted.
    pub(super) fn licence_of_part(&self, id: &str) -> Option<LicenceRecord> {
        let (folder, part) = (self.folder(id), self.part_folder(id));
        let record = StoreRecord::read(&part).ok().flatten();
        record
            .filter(|record| record.id == id)
            .map(|record| record.licence)
            .or_else(|| Journal::licence(&part))
            .or_else(|| Journal::licence(&folder))
    }

    /// Makes the folder of the download, from a folder that is no complete model, or no longer one, if there is one.
    /// What its record says is kept in the notes of the download.
    pub(super) fn open_part(
        &self,
        entry: &ModelEntry,
        record: Option<&StoreRecord>,
    ) -> Result<(), StoreError> {
        let (folder, part) = (self.folder(&entry.id), self.part_folder(&entry.id));
        if folder.exists() {
            if part.exists() {
                return Err(StoreError::FolderInTheWay { folder, part });
            }
            if let Some(record) = record {
                Journal::open(&folder, &entry.source.revision).keep(record)?;
            }
            let record = folder.join(RECORD_FILE);
            remove_if_there(&record).map_err(|error| StoreError::io(&record, error))?;
            std::fs::rename(&folder, &part).map_err(|error| StoreError::io(&folder, error))?;
        }
        std::fs::create_dir_all(&part).map_err(|error| StoreError::io(&part, error))
    }

    /// The model appears, whole.
    pub(super) fn promote(&self, id: &str) -> Result<Pulled, StoreError> {
        let (folder, part) = (self.folder(id), self.part_folder(id));
        let notes = part.join(PROGRESS_FILE);
        remove_if_there(&notes).map_err(|error| StoreError::io(&notes, error))?;
        std::fs::rename(&part, &folder)
            .and_then(|()| durable::sync_folder(self.root()))
            .map_err(|error| StoreError::io(&folder, error))?;
        let record = StoreRecord::read(&folder)?;
        let record = record.ok_or_else(|| StoreError::Internal("the record is gone".to_owned()))?;
        let model = self.installed(record);
        Ok(Pulled {
            model,
            was_installed: false,
        })
    }
}

/// Writes an acceptance that was given for a model that is there already.
pub(super) fn renew_acceptance(
    folder: &Path,
    entry: &ModelEntry,
    mut record: StoreRecord,
    accepted: Option<AcceptedLicence>,
) -> Result<StoreRecord, StoreError> {
    let licence = LicenceRecord::of(&entry.licence, accepted);
    if record.licence != licence {
        record.licence = licence;
        record.write(folder)?;
    }
    Ok(record)
}

/// Writes the card, unless there is one: the operator may have edited it.
pub(super) fn write_card(path: &Path, entry: &ModelEntry) -> Result<(), StoreError> {
    let found = durable::read_json::<serde_json::Value>(path);
    if found.is_ok_and(|card| card.is_some_and(|card| card.is_object())) {
        return Ok(());
    }
    durable::write_json(path, &entry.card()).map_err(|error| StoreError::io(path, error))
}
