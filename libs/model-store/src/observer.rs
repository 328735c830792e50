//! What a pull tells while it runs.

use std::sync::Arc;
use std::time::Duration;

use crate::record::Trust;
use crate::relative_path::RelativePath;

/// Hears what happens. It is called from several threads and must not block.
pub type Observer = Arc<dyn Fn(PullEvent) + Send + Sync>;

/// What happens in a pull.
#[derive(Clone, Debug, PartialEq)]
pub enum PullEvent {
    /// Somebody else works on the model; this pull waits and then looks again.
    WaitingForLock,
    /// The model is there in another revision than the catalogue's, which is fetched in its place.
    OtherRevision {
        /// The commit that is there.
        installed: String,
        /// The commit of the catalogue.
        wanted: String,
    },
    /// The fetching begins.
    Started {
        /// Bytes of the whole model, as far as known.
        total_bytes: u64,
        /// Number of files.
        files: usize,
    },
    /// A file begins, or goes on.
    FileStarted {
        /// The file.
        path: RelativePath,
        /// Its size, once known.
        size: Option<u64>,
        /// Bytes that are there already.
        position: u64,
    },
    /// Bytes of a file have arrived.
    Progress {
        /// The file.
        path: RelativePath,
        /// Bytes that are there.
        position: u64,
        /// Its size, once known.
        size: Option<u64>,
    },
    /// A file begins again from its first byte.
    Restarted {
        /// The file.
        path: RelativePath,
        /// Why its bytes cannot be used.
        reason: String,
    },
    /// The source failed; it is asked again.
    Retrying {
        /// The file.
        path: RelativePath,
        /// How often in a row it has failed.
        failures: u32,
        /// How long the pull waits.
        delay: Duration,
        /// What went wrong.
        reason: String,
    },
    /// A file is complete and checked.
    FileDone {
        /// The file.
        path: RelativePath,
        /// Its size in bytes.
        size: u64,
        /// What its digest was checked against.
        trust: Trust,
    },
}
