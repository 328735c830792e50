//! What can go wrong with a store.

use std::io;
use std::path::{Path, PathBuf};

use crate::relative_path::RelativePath;

/// Why a model cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Neither the catalogue nor the store knows the name.
    #[error("no model `{0}` in the catalogue; `kinora models list` shows them")]
    UnknownModel(String),
    /// It was never pulled, or the pull has not ended.
    #[error("model `{id}` is not installed in {}: run `kinora models pull {id}`", store.display())]
    NotInstalled {
        /// The model.
        id: String,
        /// The store.
        store: PathBuf,
    },
    /// The operator has not accepted its licence.
    #[error(
        "the licence of `{id}` ({licence}) must be accepted first: read {url}, then run \
         `kinora models pull {id} --accept-licence`"
    )]
    LicenceNotAccepted {
        /// The model.
        id: String,
        /// Its licence.
        licence: String,
        /// Where the licence can be read.
        url: String,
    },
    /// Somebody fetches, repairs or removes it right now.
    #[error("model `{0}` is in use by another pull; try again when it has ended")]
    Locked(String),
    /// A folder has the name of a model and another already holds its download.
    #[error("{} is no complete model, and {} is in the way of finishing it: remove one of them", folder.display(), part.display())]
    FolderInTheWay {
        /// The folder with the model's name.
        folder: PathBuf,
        /// The folder of its download.
        part: PathBuf,
    },
    /// A folder in a model is a symbolic link, and what is written under it would land elsewhere.
    #[error("{} is a link to another folder, and a pull writes through none: put a folder in its place", .0.display())]
    LinkedFolder(PathBuf),
    /// The volume of the store has no file locks, so nothing keeps two pulls apart.
    #[error("{} cannot be locked: its volume has no file locks (flock); mount it with locks, or name a store on another volume", path.display())]
    NoLocks {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The volume has less room than the model needs.
    #[error("{} has {available} bytes free, and `{id}` needs {needed} more", store.display())]
    NotEnoughSpace {
        /// The model.
        id: String,
        /// The store.
        store: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Bytes free.
        available: u64,
    },
    /// The volume filled up on the way.
    #[error("the volume is full at {}: what was fetched is kept; make room and pull again", path.display())]
    VolumeFull {
        /// The file that did not fit.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder cannot be read or written.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not those that were promised. They are deleted.
    #[error(
        "{path} of `{id}` is not what it should be: expected sha256 {expected}, found {found} (from {location})"
    )]
    DigestMismatch {
        /// The model.
        id: String,
        /// The file.
        path: RelativePath,
        /// The digest that was promised.
        expected: String,
        /// The digest of the bytes.
        found: String,
        /// Where they came from.
        location: String,
    },
    /// The source promises, or sends, another number of bytes than the catalogue says.
    #[error(
        "{path} has the wrong size: expected {expected} bytes, the source has {found} ({location})"
    )]
    SizeMismatch {
        /// The file.
        path: RelativePath,
        /// Bytes that were promised.
        expected: u64,
        /// What the source says or sends, as words.
        found: String,
        /// Where they came from.
        location: String,
    },
    /// The source does not have the file, or does not give it.
    #[error("{path} cannot be fetched from {location}: {reason}")]
    Refused {
        /// The file.
        path: RelativePath,
        /// Where it was asked for.
        location: String,
        /// What the source said.
        reason: String,
    },
    /// The source failed, again and again.
    #[error(
        "{path} cannot be fetched from {location}, {failures} failures in a row: {reason}; what is there is kept"
    )]
    Unreachable {
        /// The file.
        path: RelativePath,
        /// Where it was asked for.
        location: String,
        /// How often it was tried without a byte of progress.
        failures: u32,
        /// What went wrong the last time.
        reason: String,
    },
    /// Fetching would need the network, which is forbidden.
    #[error(
        "`{id}` is not complete and --offline forbids fetching it; name a folder with --mirror"
    )]
    Offline {
        /// The model.
        id: String,
    },
    /// The client cannot be set up.
    #[error("no HTTP client: {0}")]
    Client(String),
    /// A task of the pull failed; a bug.
    #[error("the pull ended in an unexpected way: {0}")]
    Internal(String),
}

impl StoreError {
    /// A failure of the file system; a full volume has its own name.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::VolumeFull { path, source }
            }
            _ => Self::Io { path, source },
        }
    }
}
