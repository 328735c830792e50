//! Who calls: API keys, known by their SHA-256 only.
//!
//! A key stands in `Authorization: Bearer kk_…` or in `X-Api-Key`. The browser's `EventSource` can set neither; a page
//! that follows events reads the stream with `fetch`.

use std::str::FromStr;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use kinora_mesh::principal::Principal;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::problem::Problem;

/// What every key begins with, so that scanners recognise a leaked one.
pub const KEY_PREFIX: &str = "kk_";

/// No key is longer; what is longer is not hashed.
const MAX_KEY_BYTES: usize = 256;

const API_KEY_HEADER: &str = "x-api-key";

/// One accepted key: whose it is, and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyHash {
    principal: Principal,
    sha256: [u8; 32],
}

impl ApiKeyHash {
    /// Hashes a key for its principal.
    #[must_use]
    pub fn of_key(principal: Principal, key: &str) -> Self {
        Self {
            principal,
            sha256: Sha256::digest(key).into(),
        }
    }
}

/// The text is not `principal=hex`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "expected `principal=sha256`: a user or tenant:user, and the hash of the key in 64 hexadecimal digits"
)]
pub struct InvalidApiKeyHash;

impl FromStr for ApiKeyHash {
    type Err = InvalidApiKeyHash;

    fn from_str(text: &str) -> Result<Self, InvalidApiKeyHash> {
        let (name, digits) = text.rsplit_once('=').ok_or(InvalidApiKeyHash)?;
        let principal = Principal::new(name).map_err(|_| InvalidApiKeyHash)?;
        // Without either part the scheduler would count the principal as another tenant's.
        let is_whole = |(tenant, user): (&str, &str)| !tenant.is_empty() && !user.is_empty();
        if !name.split_once(':').is_none_or(is_whole) {
            return Err(InvalidApiKeyHash);
        }
        let mut sha256 = [0; 32];
        hex::decode_to_slice(digits, &mut sha256).map_err(|_| InvalidApiKeyHash)?;
        Ok(Self { principal, sha256 })
    }
}

/// All accepted keys.
#[derive(Clone, Debug)]
pub struct KeyRing {
    keys: Vec<ApiKeyHash>,
}

impl KeyRing {
    /// Makes a ring of these keys.
    #[must_use]
    pub const fn new(keys: Vec<ApiKeyHash>) -> Self {
        Self { keys }
    }

    /// Names the principal behind a request's key.
    ///
    /// # Errors
    ///
    /// A 401 [`Problem`] when there is no key, or one that opens nothing.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, Problem> {
        let key = presented_key(headers).ok_or_else(|| {
            let detail = "send an API key as `Authorization: Bearer kk_…` or `X-Api-Key: kk_…`";
            Problem::unauthenticated("API_KEY_MISSING", detail)
        })?;
        self.principal_of(key).ok_or_else(|| {
            Problem::unauthenticated("API_KEY_INVALID", "the API key is not known here")
        })
    }

    /// Compares against every key, each in constant time, so that timing tells nothing.
    fn principal_of(&self, key: &[u8]) -> Option<Principal> {
        if key.len() > MAX_KEY_BYTES {
            return None;
        }
        let presented: [u8; 32] = Sha256::digest(key).into();
        let mut found = None;
        for known in &self.keys {
            if bool::from(known.sha256.ct_eq(&presented)) {
                found = Some(&known.principal);
            }
        }
        found.cloned()
    }
}

fn presented_key(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked("Bearer ".len())?;
        scheme
            .eq_ignore_ascii_case(b"Bearer ")
            .then(|| key.trim_ascii())
    });
    let plain = || {
        headers
            .get(API_KEY_HEADER)
            .map(|value| value.as_bytes().trim_ascii())
    };
    bearer.or_else(plain).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> KeyRing {
        let key = |name: &str, key| ApiKeyHash::of_key(Principal::new(name).unwrap(), key);
        KeyRing::new(vec![key("ada", "kk_a"), key("bob", "kk_b")])
    }

    #[track_caller]
    fn check(name: &'static str, value: &str, expected: Option<&str>) {
        let headers = HeaderMap::from_iter([(
            axum::http::HeaderName::from_static(name),
            value.parse().unwrap(),
        )]);
        let principal = ring().authenticate(&headers).ok();
        assert_eq!(
            principal.as_ref().map(Principal::as_str),
            expected,
            "{name}: {value}"
        );
    }

    #[test]
    fn a_key_names_its_principal() {
        check("authorization", "Bearer kk_a", Some("ada"));
        check("authorization", "bearer  kk_b ", Some("bob"));
        check("x-api-key", "kk_b", Some("bob"));
    }

    #[test]
    fn anything_else_names_nobody() {
        check("authorization", "Bearer kk_c", None);
        check("authorization", "Bearer ", None);
        check("authorization", "Basic kk_a", None);
        check("authorization", "kk_a", None);
        check("x-api-key", &"k".repeat(300), None);
        check("cookie", "kk_a", None);
    }

    #[test]
    fn hashes_are_read_from_text() {
        let digits = hex::encode(Sha256::digest("kk_a"));
        let read: ApiKeyHash = format!("ada={digits}").parse().unwrap();
        assert_eq!(read, ring().keys[0]);
        let read: ApiKeyHash = format!("studio:ada@example.org={digits}").parse().unwrap();
        assert_eq!(read.principal.as_str(), "studio:ada@example.org");
        for text in [
            "",
            "ada",
            "ada=",
            "ada=zz",
            &format!("={digits}"),
            &format!("a b={digits}"),
            &format!(":ada={digits}"),
            &format!("studio:={digits}"),
        ] {
            assert_eq!(text.parse::<ApiKeyHash>(), Err(InvalidApiKeyHash), "{text}");
        }
    }
}
