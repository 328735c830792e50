//! A file that grows while it is fetched, and its digest with it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::Receiver;

use crate::durable;
use crate::error::StoreError;
use crate::pull::remove_if_there;

pub(crate) const PARTIAL_SUFFIX: &str = ".partial";

const READ_BYTES: usize = 1 << 20;

/// An unfinished file. Its length and digest are always those of the bytes on the disk.
#[derive(Debug)]
pub(crate) struct PartFile {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    length: u64,
    /// Whether the file has a second name, whose bytes are not ours to change.
    is_shared: bool,
}

impl PartFile {
    /// Opens or creates the file and reads what is there, as long as `is_wanted`. A symbolic link in its place is
    /// removed.
    pub(crate) fn open(path: &Path, is_wanted: impl Fn() -> bool) -> Result<Self, StoreError> {
        let unusable = |source| StoreError::io(path, source);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| StoreError::io(folder, source))?;
        }
        if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
            std::fs::remove_file(path).map_err(unusable)?;
        }
        let file = opening().create(true).open(path).map_err(unusable)?;
        let is_shared = file.metadata().map_err(unusable)?.nlink() > 1;
        let mut hasher = Sha256::new();
        let length = hash_into(&file, &mut hasher, |_| is_wanted()).map_err(unusable)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            hasher,
            length,
            is_shared,
        })
    }

    /// Whether the bytes have a second name: they may be kept, and not be continued.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Bytes that are there.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// SHA-256 of them, in hex.
    pub(crate) fn digest(&self) -> String {
        hex::encode(self.hasher.clone().finalize())
    }

    /// Throws all bytes away. The name gets a new file: under other names the old one may be somebody else's.
    pub(crate) fn restart(&mut self) -> Result<(), StoreError> {
        self.file = remove_if_there(&self.path)
            .and_then(|()| opening().create_new(true).open(&self.path))
            .map_err(|source| StoreError::io(&self.path, source))?;
        self.is_shared = false;
        self.hasher = Sha256::new();
        self.length = 0;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file
            .write_all(bytes)
            .map_err(|source| StoreError::io(&self.path, source))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Writes what arrives until the sender is gone. Blocks.
    pub(crate) fn append_all(mut self, mut chunks: Receiver<Bytes>) -> Result<Self, StoreError> {
        while let Some(chunk) = chunks.blocking_recv() {
            self.append(&chunk)?;
        }
        Ok(self)
    }

    /// Gives the complete file its name, durably.
    pub(crate) fn finish(self, name: &Path) -> Result<(), StoreError> {
        let unusable = |source| StoreError::io(&self.path, source);
        self.file.sync_all().map_err(unusable)?;
        let there = std::fs::symlink_metadata(&self.path).map_err(unusable)?;
        if !there.is_file() || there.len() != self.length {
            let reason = "somebody else changed the file while it was written";
            return Err(unusable(io::Error::other(reason)));
        }
        std::fs::rename(&self.path, name).map_err(unusable)?;
        let folder = name.parent().unwrap_or(name);
        durable::sync_folder(folder).map_err(|source| StoreError::io(folder, source))
    }

    /// Deletes the file.
    pub(crate) fn discard(self) -> Result<(), StoreError> {
        std::fs::remove_file(&self.path).map_err(|source| StoreError::io(&self.path, source))
    }
}

/// A link is never followed.
fn opening() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    options
        .read(true)
        .write(true)
        .truncate(false)
        .custom_flags(flags);
    options
}

/// SHA-256 of a file in hex, and its length. Tells the number of bytes after every block, and stops when the answer is
/// no.
pub(crate) fn hash_file(path: &Path, read: impl FnMut(u64) -> bool) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let length = hash_into(&File::open(path)?, &mut hasher, read)?;
    Ok((hex::encode(hasher.finalize()), length))
}

fn hash_into(
    mut file: &File,
    hasher: &mut Sha256,
    mut read: impl FnMut(u64) -> bool,
) -> io::Result<u64> {
    let mut buffer = vec![0; READ_BYTES];
    let mut length = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(length),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                length += count as u64;
                if !read(length) {
                    return Err(io::Error::other("the reading was stopped"));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn bytes_of_an_earlier_run_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/x.partial");
        PartFile::open(&path, || true)
            .unwrap()
            .append(b"ab")
            .unwrap();
        let mut part = PartFile::open(&path, || true).unwrap();
        assert_eq!(part.length(), 2);
        part.append(b"c").unwrap();
        assert_eq!((part.digest().as_str(), part.length()), (ABC, 3));
        let name = folder.path().join("deep/er/x");
        part.finish(&name).unwrap();
        assert_eq!(std::fs::read(&name).unwrap(), b"abc");
        assert!(!path.exists());
    }

    #[test]
    fn a_restart_forgets_bytes_and_digest() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = PartFile::open(&folder.path().join("x"), || true).unwrap();
        part.append(b"wrong and long").unwrap();
        part.restart().unwrap();
        part.append(b"abc").unwrap();
        assert_eq!((part.digest().as_str(), part.length()), (ABC, 3));
    }

    #[test]
    fn another_name_of_the_bytes_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
        std::fs::write(&theirs, b"wrong").unwrap();
        std::fs::hard_link(&theirs, &ours).unwrap();
        let mut part = PartFile::open(&ours, || true).unwrap();
        assert!(part.is_shared());
        part.restart().unwrap();
        part.append(b"abc").unwrap();
        assert!(!part.is_shared());
        assert_eq!(std::fs::read(&theirs).unwrap(), b"wrong");
        assert_eq!(std::fs::read(&ours).unwrap(), b"abc");
    }

    #[test]
    fn a_link_in_the_place_of_the_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
        std::fs::write(&theirs, b"theirs").unwrap();
        std::os::unix::fs::symlink(&theirs, &ours).unwrap();
        let mut part = PartFile::open(&ours, || true).unwrap();
        part.append(b"abc").unwrap();
        assert_eq!(std::fs::read(&theirs).unwrap(), b"theirs");
        assert_eq!(part.digest(), ABC);
    }

    #[test]
    fn a_file_that_somebody_else_changed_is_not_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.partial");
        let mut part = PartFile::open(&path, || true).unwrap();
        part.append(b"abc").unwrap();
        std::fs::write(&path, b"a").unwrap();
        let name = folder.path().join("x");
        assert!(part.finish(&name).is_err());
        assert!(!name.exists());
    }

    #[test]
    fn a_full_device_has_a_clear_name() {
        let mut part = PartFile {
            path: "/dev/full".into(),
            file: OpenOptions::new().write(true).open("/dev/full").unwrap(),
            hasher: Sha256::new(),
            length: 0,
            is_shared: false,
        };
        let error = part.append(b"abc").unwrap_err();
        assert!(matches!(error, StoreError::VolumeFull { .. }), "{error}");
        assert!(error.to_string().contains("/dev/full"));
        assert_eq!(part.length(), 0);
    }
}
