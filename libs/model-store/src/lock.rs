//! One writer at a time for a model, across threads, processes and machines on one volume.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use crate::error::StoreError;

/// How often a lock that somebody holds is tried again. A blocking wait could not be given up, and on network file
/// systems is no quicker.
const POLL: Duration = Duration::from_millis(200);

/// The exclusive lock on a model, until it drops. The system releases it with the process, however that ends.
///
/// It is `flock`, which Linux carries over NFSv4 to the server. The file is never deleted: that would let two
/// processes hold locks on two files of one name.
#[derive(Debug)]
pub(crate) struct ModelLock {
    _file: File,
}

impl ModelLock {
    /// Takes the lock if nobody has it.
    pub(crate) fn try_take(path: &Path) -> Result<Option<Self>, StoreError> {
        let unusable = |source| StoreError::io(path, source);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failure(path, source)),
        }
    }

    /// Takes the lock when it is free; says once that it waits.
    pub(crate) async fn take(path: &Path, waiting: impl FnOnce()) -> Result<Self, StoreError> {
        if let Some(lock) = Self::try_take(path)? {
            return Ok(lock);
        }
        waiting();
        loop {
            tokio::time::sleep(POLL).await;
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
        }
    }
}

fn failure(path: &Path, source: std::io::Error) -> StoreError {
    let has_no_locks = matches!(
        Errno::from_io_error(&source),
        Some(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK)
    );
    if has_no_locks {
        let path = path.to_owned();
        return StoreError::NoLocks { path, source };
    }
    StoreError::io(path, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_without_locks_has_its_own_sentence() {
        let of = |errno: Errno| failure(Path::new("/nas/m.lock"), errno.into()).to_string();
        for errno in [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOLCK] {
            assert!(
                of(errno).contains("/nas/m.lock cannot be locked"),
                "{errno}"
            );
        }
        assert_eq!(of(Errno::ACCESS), "/nas/m.lock cannot be used");
    }
}
