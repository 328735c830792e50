//! Reading a complete model again, every byte.

use std::io::ErrorKind;

use serde::Serialize;

use crate::error::StoreError;
use crate::part::hash_file;
use crate::record::{CARD_FILE, FileRecord};
use crate::relative_path::RelativePath;
use crate::store::Store;

/// What a check found of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileVerdict {
    /// The file.
    pub path: String,
    /// What it is.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// What was recorded.
    Good,
    /// Not there.
    Missing,
    /// Of another size.
    WrongSize {
        /// Bytes recorded.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// Of the right size, with other bytes.
    WrongDigest {
        /// SHA-256 recorded, or that the catalogue gives.
        expected: String,
        /// SHA-256 of the bytes.
        found: String,
    },
    /// It cannot be read.
    Unreadable {
        /// What the system said.
        reason: String,
    },
}

/// How far a check is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyProgress {
    /// The file being read.
    pub path: RelativePath,
    /// Bytes of the model that have been read.
    pub position: u64,
    /// Bytes of the model.
    pub total: u64,
}

impl Store {
    /// Reads every file of a complete model and compares it with its record, and with the catalogue where that has a
    /// digest for the same commit. Blocks for as long as the disk takes, or until the observer answers no.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotInstalled`], or [`StoreError::Io`] when the record cannot be read. Bad files are no error of
    /// this function: they are in its answer.
    pub fn verify(
        &self,
        id: &str,
        mut observer: impl FnMut(VerifyProgress) -> bool,
    ) -> Result<Vec<FileVerdict>, StoreError> {
        let record = self.record(id)?;
        let total = record.bytes();
        let mut done = 0;
        let mut verdicts = vec![self.card_verdict(id)];
        for file in &record.files {
            let verdict = self.verdict(id, &record.revision, file, |read| {
                observer(VerifyProgress {
                    path: file.path.clone(),
                    position: done + read,
                    total,
                })
            });
            done += file.size;
            verdicts.push(FileVerdict {
                path: file.path.to_string(),
                verdict,
            });
        }
        Ok(verdicts)
    }

    fn verdict(
        &self,
        id: &str,
        revision: &str,
        file: &FileRecord,
        read: impl FnMut(u64) -> bool,
    ) -> Verdict {
        let path = file.path.under(&self.folder(id));
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() != file.size => {
                return Verdict::WrongSize {
                    expected: file.size,
                    found: metadata.len(),
                };
            }
            Ok(_) => {}
            Err(error) => return unreadable(&error),
        }
        let entry = self.catalogue().get(id);
        let published = entry
            .filter(|entry| entry.source.revision == revision)
            .and_then(|entry| entry.file(&file.path)?.sha256.clone());
        let expected = published.unwrap_or_else(|| file.sha256.clone());
        match hash_file(&path, read) {
            Ok((found, _)) if found == expected => Verdict::Good,
            Ok((found, _)) => Verdict::WrongDigest { expected, found },
            Err(error) => unreadable(&error),
        }
    }

    /// The card may be edited by the operator, so it has no digest; it must be there and be JSON.
    fn card_verdict(&self, id: &str) -> FileVerdict {
        let read = std::fs::read(self.folder(id).join(CARD_FILE));
        let verdict = match read.map(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes)) {
            Ok(Ok(_)) => Verdict::Good,
            Ok(Err(error)) => Verdict::Unreadable {
                reason: error.to_string(),
            },
            Err(error) => unreadable(&error),
        };
        FileVerdict {
            path: CARD_FILE.to_owned(),
            verdict,
        }
    }
}

impl Verdict {
    /// Whether the file is what it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        *self == Self::Good
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Good => write!(formatter, "good"),
            Self::Missing => write!(formatter, "missing"),
            Self::WrongSize { expected, found } => {
                write!(formatter, "expected {expected} bytes, found {found}")
            }
            Self::WrongDigest { expected, found } => {
                write!(formatter, "expected sha256 {expected}, found {found}")
            }
            Self::Unreadable { reason } => write!(formatter, "cannot be read: {reason}"),
        }
    }
}

fn unreadable(error: &std::io::Error) -> Verdict {
    match error.kind() {
        ErrorKind::NotFound => Verdict::Missing,
        _ => Verdict::Unreadable {
            reason: error.to_string(),
        },
    }
}
