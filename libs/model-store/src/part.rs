//! A file that grows while it is fetched, and its digest with it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::Receiver;

use crate::durable;
use crate::error::StoreError;

pub(crate) const PARTIAL_SUFFIX: &str = ".partial";

const READ_BYTES: usize = 1 << 20;

/// An unfinished file. Its length and digest are always those of the bytes on the disk.
#[derive(Debug)]
pub(crate) struct PartFile {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    length: u64,
}

impl PartFile {
    /// Opens or creates the file and reads what is there, as long as `is_wanted`.
    pub(crate) fn open(path: &Path, is_wanted: impl Fn() -> bool) -> Result<Self, StoreError> {
        let unusable = |source| StoreError::io(path, source);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| StoreError::io(folder, source))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(unusable)?;
        let mut hasher = Sha256::new();
        let length = hash_into(&file, &mut hasher, |_| is_wanted()).map_err(unusable)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            hasher,
            length,
        })
    }

    /// Bytes that are there.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// SHA-256 of them, in hex.
    pub(crate) fn digest(&self) -> String {
        hex::encode(self.hasher.clone().finalize())
    }

    /// Throws all bytes away.
    pub(crate) fn restart(&mut self) -> Result<(), StoreError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(|source| StoreError::io(&self.path, source))?;
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
        std::fs::rename(&self.path, name).map_err(unusable)?;
        let folder = name.parent().unwrap_or(name);
        durable::sync_folder(folder).map_err(|source| StoreError::io(folder, source))
    }

    /// Deletes the file.
    pub(crate) fn discard(self) -> Result<(), StoreError> {
        std::fs::remove_file(&self.path).map_err(|source| StoreError::io(&self.path, source))
    }
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
    fn a_full_device_has_a_clear_name() {
        let mut part = PartFile {
            path: "/dev/full".into(),
            file: OpenOptions::new().write(true).open("/dev/full").unwrap(),
            hasher: Sha256::new(),
            length: 0,
        };
        let error = part.append(b"abc").unwrap_err();
        assert!(matches!(error, StoreError::VolumeFull { .. }), "{error}");
        assert!(error.to_string().contains("/dev/full"));
        assert_eq!(part.length(), 0);
    }
}
