//! Terms of use: versions that count from 1, each with the hash of its text.

use sha2::{Digest, Sha256};

use super::Time;
use super::refusal::Refusal;

/// No text is longer.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// A version of the terms of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Counts from 1.
    pub version: i32,
    /// SHA-256 of the text in hexadecimal.
    pub sha256: String,
    /// Markdown; empty where only the version matters.
    pub text: String,
    /// When it came into force.
    pub publish_time: Time,
}

/// Somebody accepted a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// Which one.
    pub version: i32,
    /// Of the text that was accepted.
    pub sha256: String,
    /// When.
    pub time: Time,
    /// From where. Empty when that is not known.
    pub address: String,
}

impl Terms {
    /// The version after `latest`, or the first.
    ///
    /// # Errors
    /// [`Refusal::TextInvalid`] for a text that is empty, longer than 1 MiB, or holds a zero byte, which PostgreSQL
    /// cannot keep.
    pub fn after(latest: Option<i32>, text: String, now: Time) -> Result<Self, Refusal> {
        if text.is_empty() || text.len() > MAX_TEXT_BYTES || text.contains('\0') {
            return Err(Refusal::TextInvalid);
        }
        Ok(Self {
            version: latest.unwrap_or_default() + 1,
            sha256: hex::encode(Sha256::digest(&text)),
            text,
            publish_time: now,
        })
    }

    /// Whether somebody who read that has read this.
    #[must_use]
    pub fn is(&self, version: u32, sha256: &str) -> bool {
        u32::try_from(self.version) == Ok(version) && self.sha256.eq_ignore_ascii_case(sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_from_one_and_name_the_hash_of_their_text() {
        let now = Time::UNIX_EPOCH;
        let first = Terms::after(None, "abc".to_owned(), now).unwrap();
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((first.version, first.sha256.as_str()), (1, hash));
        let second = Terms::after(Some(1), "abd".to_owned(), now).unwrap();
        assert_eq!(second.version, 2);
        assert!(first.is(1, &hash.to_uppercase()));
        assert!(!first.is(2, hash) && !first.is(1, &second.sha256) && !first.is(1, ""));
    }

    #[test]
    fn texts_have_one_byte_to_one_mebibyte() {
        let length_is_fine =
            |length| Terms::after(None, "x".repeat(length), Time::UNIX_EPOCH).is_ok();
        assert!(length_is_fine(1) && length_is_fine(1 << 20));
        assert!(!length_is_fine(0) && !length_is_fine((1 << 20) + 1));
        assert!(Terms::after(None, "a\0b".to_owned(), Time::UNIX_EPOCH).is_err());
    }
}
