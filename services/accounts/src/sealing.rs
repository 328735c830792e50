//! Secrets at rest: AES-256-GCM under one key of the operator's.
//!
//! A sealed value is a nonce of 12 bytes, then ciphertext and tag. What it is for (table, column, row) is bound to it, so
//! that a value cannot be moved to another row.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::Error;

/// Seals and opens.
#[derive(Clone)]
pub struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
}

impl Sealer {
    /// Seals under a key of 32 random bytes.
    ///
    /// # Errors
    /// [`Error::Options`] when the key has another length.
    pub fn new(key: &[u8]) -> Result<Self, Error> {
        let key = UnboundKey::new(&AES_256_GCM, key)
            .map_err(|_| Error::Options("the sealing key has 32 bytes".to_owned()))?;
        Ok(Self {
            key: LessSafeKey::new(key),
            random: SystemRandom::new(),
        })
    }

    /// Seals a value for one place, for example `totp/<user id>`.
    ///
    /// # Errors
    /// [`Error::Broken`] when the system has no random bytes.
    pub fn seal(&self, place: &str, value: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_LEN];
        let broken = |_| Error::Broken("a secret cannot be sealed".to_owned());
        self.random.fill(&mut nonce).map_err(broken)?;
        let mut sealed = value.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place),
                &mut sealed,
            )
            .map_err(broken)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed for the same place under the same key.
    ///
    /// # Errors
    /// [`Error::Broken`] when it was not.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let broken = || {
            Error::Broken(format!(
                "the secret of {place} cannot be opened; is the sealing key another one?"
            ))
        };
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or_else(broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let mut value = rest.to_vec();
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(place), &mut value)
            .map_err(|_| broken())?;
        Ok(opened.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_in_its_own_place_only() {
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let sealed = sealer.seal("totp/a", b"secret").unwrap();
        assert_eq!(sealer.open("totp/a", &sealed).unwrap(), b"secret");
        assert!(sealer.open("totp/b", &sealed).is_err());
        assert!(
            Sealer::new(&[8; 32])
                .unwrap()
                .open("totp/a", &sealed)
                .is_err()
        );
        for end in 0..sealed.len() {
            assert!(sealer.open("totp/a", &sealed[..end]).is_err(), "{end}");
        }
        assert_ne!(sealed, sealer.seal("totp/a", b"secret").unwrap());
    }

    #[test]
    fn keys_of_another_length_are_refused() {
        assert!(Sealer::new(&[7; 16]).is_err());
    }
}
