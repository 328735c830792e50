//! Digests of the files a model consists of.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sha2::{Digest, Sha256};

use crate::error::LoadError;

const BUFFER_BYTES: usize = 1 << 20;

/// Files that are read side by side: one after the other takes a core's time per gigabyte, and more
/// of them at once only compete for the disk.
const MAX_THREADS: usize = 4;

/// The SHA-256 of every file, in their order, in lower-case hexadecimal.
///
/// All bytes are read, also of files whose digest the model store has recorded: size and time of a
/// file on a shared volume do not show that it still has the bytes it came with, and a clip's
/// manifest must not name bytes that nobody read.
///
/// # Errors
/// That of the first file that cannot be read.
pub(crate) fn sha256_hex_of_all(paths: &[PathBuf]) -> Result<Vec<String>, LoadError> {
    let size = |index: &usize| paths[*index].metadata().map_or(0, |entry| entry.len());
    let mut largest_first: Vec<usize> = (0..paths.len()).collect();
    largest_first.sort_by_cached_key(|index| std::cmp::Reverse(size(index)));
    let digests: Vec<OnceLock<_>> = paths.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(&index) = largest_first.get(next.fetch_add(1, Ordering::Relaxed)) {
            let _ = digests[index].set(sha256_hex(&paths[index]));
        }
    };
    let cores = thread::available_parallelism().map_or(1, Into::into);
    thread::scope(|scope| {
        for _ in 1..cores.min(MAX_THREADS).min(paths.len()) {
            scope.spawn(work);
        }
        work();
    });
    let digests = digests.into_iter().filter_map(OnceLock::into_inner);
    digests.collect()
}

/// The SHA-256 of a file, in lower-case hexadecimal.
pub(crate) fn sha256_hex(path: &Path) -> Result<String, LoadError> {
    let mut file = File::open(path).map_err(|error| LoadError::config(path, error))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = file
            .read(&mut buffer)
            .map_err(|error| LoadError::config(path, error))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hex(&hasher.finalize()))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_side_by_side_keep_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..23)
            .map(|index| {
                let path = folder.path().join(index.to_string());
                std::fs::write(&path, vec![7; index * 1000 % 4567]).unwrap();
                path
            })
            .collect();
        let one_by_one: Vec<String> = paths.iter().map(|path| sha256_hex(path).unwrap()).collect();
        assert_eq!(sha256_hex_of_all(&paths).unwrap(), one_by_one);
        assert!(sha256_hex_of_all(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_is_missing_among_others_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let absent = file.path().with_extension("absent");
        let paths = [file.path().to_owned(), absent, file.path().to_owned()];
        let error = sha256_hex_of_all(&paths).unwrap_err().to_string();
        assert!(error.contains("absent"), "{error}");
    }

    #[test]
    fn digest_of_a_known_text() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        let digest = sha256_hex(file.path()).unwrap();
        assert_eq!(
            digest,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
