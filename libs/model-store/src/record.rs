//! What a store knows about a model that it has: `store.json`.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::catalogue::Licence;
use crate::durable;
use crate::error::StoreError;
use crate::relative_path::RelativePath;

/// The model card in a model's folder.
pub(crate) const CARD_FILE: &str = "kinora.json";
/// The record in a model's folder. Where it is, the model is complete.
pub(crate) const RECORD_FILE: &str = "store.json";

const FORMAT: u32 = 1;

/// The record of a complete model.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct StoreRecord {
    /// Version of this shape.
    pub format: u32,
    /// The model.
    pub id: String,
    /// Owner and name on the hub.
    pub repo: String,
    /// Commit.
    pub revision: String,
    /// Which terms hold, and who accepted them.
    pub licence: LicenceRecord,
    /// Every file that was fetched.
    pub files: Vec<FileRecord>,
    /// When the last file was checked.
    pub completed_at: DateTime<Utc>,
}

/// A file of a complete model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct FileRecord {
    /// Its path in the folder.
    pub path: RelativePath,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hex.
    pub sha256: String,
    /// What the digest was checked against when the file came.
    pub trust: Trust,
}

/// What the digest of a file was checked against when it came. Later checks are against the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The catalogue.
    Catalogue,
    /// The hub's own word, over the same connection.
    Hub,
    /// Nothing: the bytes that came first are what the file is from now on.
    FirstUse,
}

/// The terms under which a model is used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct LicenceRecord {
    /// SPDX expression where there is one.
    pub spdx: String,
    /// Where the terms can be read.
    pub url: String,
    /// Whether somebody must accept them before the model is used.
    pub acceptance_required: bool,
    /// Digest of the terms in the catalogue at that time.
    pub terms_sha256: String,
    /// Who accepted them, if anybody did.
    pub accepted: Option<AcceptedLicence>,
}

/// An acceptance.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AcceptedLicence {
    /// The operator, by the name given.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl LicenceRecord {
    pub(crate) fn of(licence: &Licence, accepted: Option<AcceptedLicence>) -> Self {
        Self {
            spdx: licence.spdx.clone(),
            url: licence.url.clone(),
            acceptance_required: licence.accept,
            terms_sha256: licence.digest(),
            accepted,
        }
    }

    /// Whether the model may be used, given what the catalogue says today.
    pub(crate) fn allows(&self, today: Option<&Licence>) -> bool {
        let is_required = today.map_or(self.acceptance_required, |licence| licence.accept);
        let is_of_these_terms = today.is_none_or(|licence| licence.digest() == self.terms_sha256);
        !is_required || (self.accepted.is_some() && is_of_these_terms)
    }
}

impl StoreRecord {
    pub(crate) fn new(id: &str, repo: &str, revision: &str, licence: LicenceRecord) -> Self {
        Self {
            format: FORMAT,
            id: id.to_owned(),
            repo: repo.to_owned(),
            revision: revision.to_owned(),
            licence,
            files: Vec::new(),
            completed_at: Utc::now(),
        }
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Reads the record of a folder; none when the folder holds no complete model.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join(RECORD_FILE);
        let unusable = |error| StoreError::io(&path, error);
        let record: Option<Self> = durable::read_json(&path).map_err(unusable)?;
        match record {
            Some(record) if record.format > FORMAT => {
                Err(unusable(std::io::Error::other(format!(
                    "a later version of kinora wrote it (format {})",
                    record.format
                ))))
            }
            record => Ok(record),
        }
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(RECORD_FILE);
        durable::write_json(&path, self).map_err(|error| StoreError::io(&path, error))
    }
}
