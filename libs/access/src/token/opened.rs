//! Tokens whose signature was good a moment ago.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use ed25519_dalek::{PUBLIC_KEY_LENGTH, VerifyingKey};
use lru::LruCache;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::{TokenError, Unverified};
use crate::claims::Claims;

/// How many are remembered: of usual tokens some four megabytes, of the longest three times as much.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// A caller makes many calls with one token, and its signature is by far the longest part of looking at it. That it held is
/// remembered by a digest of the whole token, with what was read then; everything else is asked anew at every call.
#[derive(Clone)]
pub(super) struct Opened(Arc<Mutex<LruCache<[u8; 32], Remembered>>>);

#[derive(Clone)]
struct Remembered {
    /// Under an id there may be another key by now.
    key: [u8; PUBLIC_KEY_LENGTH],
    claims: Arc<Claims>,
}

impl Opened {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(REMEMBERED))))
    }

    /// The claims of a token that `key` signed.
    pub(super) fn open(
        &self,
        token: &Unverified<'_>,
        key: &VerifyingKey,
    ) -> Result<Claims, TokenError> {
        let digest = digest(token);
        let known = self.0.lock().get(&digest).cloned();
        if let Some(known) = known.filter(|known| known.key == *key.as_bytes()) {
            return Ok(Claims::clone(&known.claims));
        }
        let claims = token.open(key)?;
        let remembered = Remembered {
            key: key.to_bytes(),
            claims: Arc::new(claims.clone()),
        };
        self.0.lock().put(digest, remembered);
        Ok(claims)
    }
}

/// Of what is signed, and of the signature.
fn digest(token: &Unverified<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(token.signature.to_bytes());
    hash.update(token.signed);
    hash.finalize().into()
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({})", self.0.lock().len())
    }
}
