//! The operator's list of breached passwords: a file that may be larger than memory, searched where it lies.
//!
//! It has the format of the public downloader of breached passwords: an upper-case SHA-1 in hexadecimal, a colon and how often
//! the password was seen, one a line, in order of the hashes. A look-up halves the file until a few lines are left; that takes
//! about twenty-five small reads in forty gigabytes.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::domain::password::Password;
use crate::error::Error;

/// Digits of a SHA-1.
const HASH_BYTES: usize = 40;

/// No line is longer, with its end: a hash, a colon and a number of twenty digits.
const MAX_LINE_BYTES: usize = 64;

/// When no more than this is left of the file, it is read as a whole.
const BLOCK_BYTES: u64 = 4096;

/// Places that are looked at when the file is opened, evenly spread over it.
const PROBES: u64 = 64;

/// A file up to this size is looked at as a whole when it is opened; in a larger one each probe is two lines from the end.
const WHOLE_BYTES: u64 = PROBES * 2 * MAX_LINE_BYTES as u64;

/// A SHA-1 as the file writes it.
type Hash = [u8; HASH_BYTES];

/// The open file. It stays open, so that a new one in its place changes nothing before the next start.
#[derive(Clone, Debug)]
pub struct BreachedPasswords {
    file: Arc<File>,
    length: u64,
}

impl BreachedPasswords {
    /// Opens a list, and looks at its beginning, its end and places between: they must have the format, and be in order.
    ///
    /// # Errors
    /// [`Error::Options`] when it cannot be read or is no such list.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let open = || {
            let metadata = std::fs::metadata(path)?;
            if !metadata.is_file() {
                return Err(io::Error::other("it is no file"));
            }
            let list = Self {
                file: Arc::new(File::open(path)?),
                length: metadata.len(),
            };
            list.check()?;
            Ok(list)
        };
        open().map_err(|error| {
            let path = path.display();
            Error::Options(format!("the list of breached passwords {path}: {error}"))
        })
    }

    /// Whether the list has a password. When the file cannot be read any more, that is logged and the answer is no: people
    /// must be able to sign up, and a disk that is broken has been broken by no attacker.
    pub async fn has(&self, password: &Password) -> bool {
        let list = self.clone();
        let hash = hash_of(password);
        let found = tokio::task::spawn_blocking(move || list.find(&hash)).await;
        match found.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "the list of breached passwords cannot be read");
                false
            }
        }
    }

    fn find(&self, wanted: &Hash) -> io::Result<bool> {
        // Both are beginnings of lines. What is wanted begins at the first or later, and before the second.
        let (mut from, mut to) = (0, self.length);
        while to - from > BLOCK_BYTES {
            let (start, hash) = self.line_after(from + (to - from) / 2)?;
            match hash.cmp(wanted) {
                Ordering::Equal => return Ok(true),
                Ordering::Less => from = start,
                Ordering::Greater => to = start,
            }
        }
        let left = self.lines(from, to)?;
        Ok(left.iter().any(|(_, hash)| hash == wanted))
    }

    fn check(&self) -> io::Result<()> {
        if self.length <= WHOLE_BYTES {
            return must_ascend(&self.lines(0, self.length)?.into_iter().collect());
        }
        let (end_of_first, _) = self.line_after(BLOCK_BYTES)?;
        let (begin_of_last, _) = self.line_after(self.length - BLOCK_BYTES)?;
        let mut seen: BTreeMap<u64, Hash> = self.lines(0, end_of_first)?.into_iter().collect();
        seen.extend(self.lines(begin_of_last, self.length)?);
        for probe in 1..PROBES {
            seen.extend([self.line_after(self.length / PROBES * probe)?]);
        }
        must_ascend(&seen)
    }

    /// The first line that begins after a place, which is two lines from the end or more: where it begins, and its hash.
    fn line_after(&self, place: u64) -> io::Result<(u64, Hash)> {
        let mut bytes = [0; 2 * MAX_LINE_BYTES];
        self.file.read_exact_at(&mut bytes, place)?;
        let end_of_line = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'\n');
        let (before, rest) = bytes.split_at(MAX_LINE_BYTES);
        let newline = end_of_line(before).ok_or_else(|| malformed(place))?;
        let line = [&before[newline + 1..], rest].concat();
        let start = place + newline as u64 + 1;
        let end = end_of_line(&line).ok_or_else(|| malformed(start))?;
        let hash = hash_in(&line[..end]).ok_or_else(|| malformed(start))?;
        Ok((start, hash))
    }

    /// The lines between two of their beginnings, or the end of the file.
    fn lines(&self, from: u64, to: u64) -> io::Result<Vec<(u64, Hash)>> {
        let bytes = usize::try_from(to - from).map_err(io::Error::other)?;
        let mut text = vec![0; bytes];
        self.file.read_exact_at(&mut text, from)?;
        let mut start = from;
        let mut lines = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            lines.push((start, hash_in(text).ok_or_else(|| malformed(start))?));
            start += line.len() as u64;
        }
        Ok(lines)
    }
}

/// The hash of a line without its newline. None when it is no line of such a list.
fn hash_in(line: &[u8]) -> Option<Hash> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (hash, rest) = line.split_first_chunk::<HASH_BYTES>()?;
    let (colon, count) = rest.split_first()?;
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte);
    let is_count = !count.is_empty() && count.iter().all(u8::is_ascii_digit);
    (hash.iter().all(is_digit) && *colon == b':' && is_count).then_some(*hash)
}

fn hash_of(password: &Password) -> Hash {
    let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let mut hash = [b'0'; HASH_BYTES];
    for (byte, digits) in sha1.as_ref().iter().zip(hash.chunks_exact_mut(2)) {
        digits.copy_from_slice(format!("{byte:02X}").as_bytes());
    }
    hash
}

fn must_ascend(seen: &BTreeMap<u64, Hash>) -> io::Result<()> {
    if seen.is_empty() {
        return Err(invalid("it is empty"));
    }
    let is_in_order = seen.values().is_sorted_by(|one, next| one < next);
    let problem = || invalid("its lines are not in order, each once: it has to be sorted by hash");
    is_in_order.then_some(()).ok_or_else(problem)
}

fn malformed(at: u64) -> io::Error {
    let problem = "is no upper-case SHA-1 in hexadecimal, a colon and a number";
    invalid(&format!("what begins at byte {at} {problem}"))
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests;
