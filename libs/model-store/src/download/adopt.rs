//! Files that are there without a note: copied by hand, or left by a store whose notes are lost.

use std::path::Path;

use super::Job;
use crate::catalogue::FileEntry;
use crate::error::StoreError;
use crate::part::hash_file;
use crate::record::{FileRecord, Trust};

/// Judges a file that no note speaks of: kept when the catalogue's digest is its own, else it becomes an unfinished
/// file, to be compared with the source. A link is never written through: what it points to is somebody else's.
pub(super) fn adopt(
    job: &Job,
    file: &FileEntry,
    path: &Path,
    is_file: bool,
) -> Result<Option<FileRecord>, StoreError> {
    let unusable = |source| StoreError::io(path, source);
    if !is_file {
        let Some(expected) = &file.sha256 else {
            return std::fs::remove_file(path).map(|()| None).map_err(unusable);
        };
        return match hash_file(path, |_| true) {
            Ok((digest, size)) if digest == *expected => {
                let record = FileRecord {
                    path: file.path.clone(),
                    size,
                    sha256: digest,
                    trust: Trust::Catalogue,
                };
                job.journal.note_finished(&record)?;
                Ok(Some(record))
            }
            _ => std::fs::remove_file(path).map(|()| None).map_err(unusable),
        };
    }
    let partial = file.path.partial_under(&job.folder);
    std::fs::rename(path, partial)
        .map(|()| None)
        .map_err(unusable)
}
