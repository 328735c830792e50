//! How many bytes a pull may write.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::catalogue::ModelEntry;
use crate::error::StoreError;
use crate::relative_path::RelativePath;

/// Tells the bytes that are free on the volume of a folder.
pub type FreeSpace = fn(&Path) -> io::Result<u64>;

/// What files without a size may take beyond what the catalogue leaves for them: its sum may be rounded.
const SLACK_BYTES: u64 = 64 << 20;

/// What the system says of the volume.
pub(crate) fn free_on_volume(folder: &Path) -> io::Result<u64> {
    let room = rustix::fs::statvfs(folder)?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

/// Refuses to begin what does not fit.
pub(crate) fn check(
    free_space: FreeSpace,
    folder: &Path,
    id: &str,
    needed: u64,
) -> Result<(), StoreError> {
    let available = free_space(folder).map_err(|error| StoreError::io(folder, error))?;
    if needed > available {
        return Err(StoreError::NotEnoughSpace {
            id: id.to_owned(),
            store: folder.parent().unwrap_or(folder).to_owned(),
            needed,
            available,
        });
    }
    Ok(())
}

/// The bytes of all files whose size the catalogue does not know: a source must not fill a volume with them.
pub(crate) struct Allowance {
    bytes: u64,
    claimed: Mutex<BTreeMap<RelativePath, u64>>,
}

impl Allowance {
    /// What the catalogue leaves for them, and a little more.
    pub(crate) fn of(entry: &ModelEntry) -> Self {
        let known: u64 = entry.files.iter().filter_map(|file| file.size).sum();
        let left = entry.needs.download_bytes.saturating_sub(known);
        Self {
            bytes: left.saturating_add(SLACK_BYTES),
            claimed: Mutex::default(),
        }
    }

    /// Counts a file that is there.
    pub(crate) fn note(&self, path: &RelativePath, bytes: u64) {
        self.lock().insert(path.clone(), bytes);
    }

    /// Gives a file its bytes, in place of what it had; else says how many it may have.
    pub(crate) fn claim(&self, path: &RelativePath, bytes: u64) -> Result<(), u64> {
        let mut claimed = self.lock();
        let left = self.left_beside(&claimed, path);
        if bytes > left {
            return Err(left);
        }
        claimed.insert(path.clone(), bytes);
        Ok(())
    }

    /// The bytes that a file may have.
    pub(crate) fn left(&self, path: &RelativePath) -> u64 {
        self.left_beside(&self.lock(), path)
    }

    fn left_beside(&self, claimed: &BTreeMap<RelativePath, u64>, path: &RelativePath) -> u64 {
        let others = claimed.iter().filter(|(other, _)| *other != path);
        others.fold(self.bytes, |left, (_, bytes)| left.saturating_sub(*bytes))
    }

    /// A panic elsewhere leaves whole values behind, so a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<RelativePath, u64>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_a_size_share_what_is_left() {
        let path = |name: &str| RelativePath::new(name).unwrap();
        let allowance = Allowance {
            bytes: 100,
            claimed: Mutex::default(),
        };
        assert_eq!(allowance.claim(&path("a"), 60), Ok(()));
        assert_eq!(allowance.claim(&path("b"), 41), Err(40));
        assert_eq!(allowance.claim(&path("a"), 50), Ok(()), "in place of 60");
        assert_eq!(allowance.claim(&path("b"), 50), Ok(()));
        assert_eq!(allowance.claim(&path("c"), u64::MAX), Err(0));
    }
}
