//! Random bytes of the system, for everything that nobody may guess.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Random bytes.
///
/// # Errors
/// [`Error::Broken`] when the system has none.
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Broken("the system has no random bytes".to_owned()))?;
    Ok(bytes)
}

/// A code to be sent and shown again: 32 random bytes in base64url.
///
/// # Errors
/// [`Error::Broken`] when the system has no random bytes.
pub fn code() -> Result<String, Error> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<32>()?))
}

/// What is kept of a code. Plain SHA-256 is enough for 256 random bits.
#[must_use]
pub fn fingerprint(code: &str) -> Vec<u8> {
    Sha256::digest(code.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_differ_and_have_43_characters() {
        let (one, other) = (code().unwrap(), code().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 43);
        assert_ne!(fingerprint(&one), fingerprint(&other));
        assert_eq!(fingerprint(&one).len(), 32);
    }
}
