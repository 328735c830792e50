//! Pages of a list.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kinora_ids::JobId;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::Error;

const DEFAULT_LIMIT: i32 = 20;
const MAX_LIMIT: i32 = 100;
const ID_BYTES: usize = 16;
const TAG_BYTES: usize = 8;

/// Reads a page size: 0 means 20, more than 100 means 100.
pub fn page_limit(page_size: i32) -> Result<usize, Error> {
    let limit = match page_size {
        0 => DEFAULT_LIMIT,
        size => size.min(MAX_LIMIT),
    };
    usize::try_from(limit).map_err(|_| Error::PageSize)
}

/// Where the next page begins: the last job of this one, bound to its owner.
///
/// The binding turns a mix-up of callers into an error. It is no secret: every query checks the owner.
pub struct PageToken;

impl PageToken {
    /// Makes the token after `last`.
    pub fn make(last: JobId, owner: &str) -> String {
        let mut bytes = last.as_uuid().as_bytes().to_vec();
        bytes.extend_from_slice(&tag(last, owner));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token; an empty one is the first page.
    pub fn parse(token: &str, owner: &str) -> Result<Option<JobId>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        if token.len() > 2 * (ID_BYTES + TAG_BYTES) {
            return Err(Error::PageToken);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_| Error::PageToken)?;
        let (id, given) = bytes.split_at_checked(ID_BYTES).ok_or(Error::PageToken)?;
        let id = JobId::from_uuid(Uuid::from_slice(id).map_err(|_| Error::PageToken)?);
        if given == tag(id, owner) {
            Ok(Some(id))
        } else {
            Err(Error::PageToken)
        }
    }
}

fn tag(id: JobId, owner: &str) -> [u8; TAG_BYTES] {
    let digest = Sha256::new()
        .chain_update(id.as_uuid())
        .chain_update(owner)
        .finalize();
    let mut tag = [0; TAG_BYTES];
    tag.copy_from_slice(&digest[..TAG_BYTES]);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes_are_bounded() {
        for (size, limit) in [(0, 20), (1, 1), (100, 100), (i32::MAX, 100)] {
            assert_eq!(page_limit(size).ok(), Some(limit));
        }
        assert!(matches!(page_limit(-1), Err(Error::PageSize)));
    }

    #[test]
    fn token_works_for_its_owner_alone() {
        let id = JobId::generate();
        let token = PageToken::make(id, "anna");
        assert_eq!(PageToken::parse(&token, "anna").ok(), Some(Some(id)));
        for (token, owner) in [
            (token.as_str(), "ben"),
            ("AAAA", "anna"),
            ("not a token", "anna"),
            (&token[1..], "anna"),
            (&"A".repeat(100_000), "anna"),
        ] {
            assert!(matches!(
                PageToken::parse(token, owner),
                Err(Error::PageToken)
            ));
        }
    }
}
