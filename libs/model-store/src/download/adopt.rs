//! Files that are there without a note: copied by hand, or left by a store whose notes are lost.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use super::Job;
use crate::catalogue::FileEntry;
use crate::error::StoreError;
use crate::part::hash_file;
use crate::record::{FileRecord, Trust};
use crate::relative_path::RelativePath;

/// Judges a file that no note speaks of. A link is kept when what it points to is right, else left alone until the
/// file that replaces it is complete: what it points to is somebody else's. A file becomes an unfinished one, to be
/// compared with what it should be.
pub(super) fn adopt(
    job: &Job,
    file: &FileEntry,
    path: &Path,
    metadata: &Metadata,
) -> Result<Option<FileRecord>, StoreError> {
    let unusable = |source| StoreError::io(path, source);
    if metadata.is_dir() {
        return Err(unusable(io::ErrorKind::IsADirectory.into()));
    }
    if metadata.is_file() {
        let partial = file.path.partial_under(&job.folder);
        return std::fs::rename(path, partial)
            .map(|()| None)
            .map_err(unusable);
    }
    let recorded = job.journal.recorded(&file.path);
    let (expected, trust) = match (&file.sha256, recorded) {
        (Some(expected), _) => (expected.clone(), Trust::Catalogue),
        (None, Some(record)) => (record.sha256, record.trust),
        (None, None) => return Ok(None),
    };
    match hash_file(path, |_| true) {
        Ok((sha256, size)) if sha256 == expected => {
            let record = FileRecord {
                path: file.path.clone(),
                size,
                sha256,
                trust,
            };
            job.journal.note_finished(&record)?;
            Ok(Some(record))
        }
        _ => Ok(None),
    }
}

/// Refuses a folder below the model's own that is a link: what is written under it would land elsewhere.
pub(super) fn refuse_linked_folders(folder: &Path, path: &RelativePath) -> Result<(), StoreError> {
    let mut parent = folder.to_owned();
    let names: Vec<&str> = path.as_str().split('/').collect();
    for name in names.iter().take(names.len().saturating_sub(1)) {
        parent.push(name);
        let metadata = std::fs::symlink_metadata(&parent);
        if metadata.is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(StoreError::LinkedFolder(parent));
        }
    }
    Ok(())
}
