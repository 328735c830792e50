//! What can go wrong between frames and files.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A clip that could not be coded, read or written.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The ffmpeg program is not there or may not be run.
    #[error("ffmpeg cannot be run from {}", path.display())]
    FfmpegMissing {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// ffmpeg ended with an error, or wrote something else than was asked for.
    #[error("ffmpeg failed with status {status}: {stderr_tail}")]
    FfmpegFailed {
        /// Its exit status.
        status: i32,
        /// The end of what it printed.
        stderr_tail: String,
    },
    /// Something killed ffmpeg, often for want of memory.
    #[error("ffmpeg was killed by signal {signal}")]
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// ffmpeg took too long and was killed.
    #[error("ffmpeg did not finish within {timeout:?}")]
    TimedOut {
        /// The time it had.
        timeout: Duration,
    },
    /// The disk, a quota or a file size limit left no room for the result.
    #[error("no room left to write the clip")]
    DiskFull,
    /// The frames or the file cannot be used as they are.
    #[error("{0}")]
    Invalid(String),
    /// Reading or writing failed in another way.
    #[error("clip file {} cannot be read or written", path.display())]
    File {
        /// The file or its folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a caller does about a [`MediaError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaErrorKind {
    /// Install ffmpeg or correct its path.
    FfmpegMissing,
    /// A defect, in the frames or in this ffmpeg; repeating it is unlikely to help.
    FfmpegFailed,
    /// The machine is in trouble; another attempt may succeed.
    Killed,
    /// Another attempt may succeed.
    TimedOut,
    /// Make room.
    DiskFull,
    /// The input is wrong.
    Invalid,
    /// The file system failed.
    File,
}

impl MediaError {
    /// Returns what to do about it.
    #[must_use]
    pub fn kind(&self) -> MediaErrorKind {
        match self {
            Self::FfmpegMissing { .. } => MediaErrorKind::FfmpegMissing,
            Self::FfmpegFailed { .. } => MediaErrorKind::FfmpegFailed,
            Self::Killed { .. } => MediaErrorKind::Killed,
            Self::TimedOut { .. } => MediaErrorKind::TimedOut,
            Self::DiskFull => MediaErrorKind::DiskFull,
            Self::Invalid(_) => MediaErrorKind::Invalid,
            Self::File { .. } => MediaErrorKind::File,
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull,
            _ => Self::File {
                path: path.into(),
                source,
            },
        }
    }
}
