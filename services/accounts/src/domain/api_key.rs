//! API keys as people carry them: recognisable, and checked for typing errors before anything is looked up.
//!
//! `kk_<id: 22>_<secret: 43><checksum: 6>`, all in base 62, so that a double click selects the whole key and scanners of
//! published code find it. The checksum is the CRC-32 of what precedes it; it protects nothing, the secret does.

use std::fmt;
use std::str::FromStr;

use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::error::Error;

/// What every key begins with.
pub const PREFIX: &str = "kk_";

/// Digits of the id: enough for 128 bits.
const ID_DIGITS: usize = 22;

/// Digits of the secret: enough for 256 bits.
const SECRET_DIGITS: usize = 43;

/// Digits of the checksum: enough for 32 bits.
const CHECKSUM_DIGITS: usize = 6;

/// Prefix, id, underscore, secret, checksum.
const LENGTH: usize = PREFIX.len() + ID_DIGITS + 1 + SECRET_DIGITS + CHECKSUM_DIGITS;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key in full. Not printed by accident: `Debug` shows the id only.
#[derive(Clone)]
pub struct ApiKey {
    id: Uuid,
    secret: [u8; 32],
}

/// The text is no key of this platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key")]
pub struct NotAnApiKey;

impl ApiKey {
    /// A new key, of the system's random bytes.
    ///
    /// # Errors
    /// [`Error::Broken`] when the system has none.
    pub fn generate() -> Result<Self, Error> {
        let mut secret = [0; 32];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| Error::Broken("the system has no random bytes".to_owned()))?;
        Ok(Self {
            id: Uuid::now_v7(),
            secret,
        })
    }

    /// Names the key; not secret.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// The key as its owner gets it, once.
    #[must_use]
    pub fn reveal(&self) -> String {
        let secret = digits(&self.secret, SECRET_DIGITS);
        let mut text = format!("{}_{secret}", self.hint());
        let checksum = checksum(&text);
        text.push_str(&checksum);
        text
    }

    /// SHA-256 of the secret: what is stored of it.
    #[must_use]
    pub fn secret_sha256(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    /// Whether `stored` is the hash of this key's secret. Takes as long whatever differs.
    #[must_use]
    pub fn fits(&self, stored: &[u8]) -> bool {
        self.secret_sha256().ct_eq(stored).into()
    }

    /// A key that somebody guesses who knows the id of another one.
    #[cfg(test)]
    pub(crate) const fn with_secret_of(known: &Self, guess: &Self) -> Self {
        Self {
            id: known.id,
            secret: guess.secret,
        }
    }

    /// What precedes the secret, by which a person recognises the key in a list.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("{PREFIX}{}", digits(self.id.as_bytes(), ID_DIGITS))
    }
}

impl FromStr for ApiKey {
    type Err = NotAnApiKey;

    fn from_str(text: &str) -> Result<Self, NotAnApiKey> {
        // Only ASCII from here on, so that no slice cuts a character.
        if text.len() != LENGTH || !text.is_ascii() {
            return Err(NotAnApiKey);
        }
        let (body, sum) = text.split_at(LENGTH - CHECKSUM_DIGITS);
        if checksum(body) != sum {
            return Err(NotAnApiKey);
        }
        let body = body.strip_prefix(PREFIX).ok_or(NotAnApiKey)?;
        let (id, secret) = body.split_at(ID_DIGITS);
        let secret = secret.strip_prefix('_').ok_or(NotAnApiKey)?;
        Ok(Self {
            id: Uuid::from_bytes(bytes(id)?),
            secret: bytes(secret)?,
        })
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn checksum(text: &str) -> String {
    digits(
        &crc32fast::hash(text.as_bytes()).to_be_bytes(),
        CHECKSUM_DIGITS,
    )
}

/// A big-endian number in base 62, with leading zeros.
fn digits(number: &[u8], length: usize) -> String {
    let mut number = number.to_vec();
    let mut text = vec![b'0'; length];
    for digit in text.iter_mut().rev() {
        let mut rest = 0_usize;
        for byte in &mut number {
            let value = rest * 256 + usize::from(*byte);
            *byte = (value / 62).to_le_bytes()[0];
            rest = value % 62;
        }
        *digit = ALPHABET[rest];
    }
    text.into_iter().map(char::from).collect()
}

/// Reads a number in base 62. Refuses what does not fit, so that each number has one text.
fn bytes<const N: usize>(text: &str) -> Result<[u8; N], NotAnApiKey> {
    let mut number = [0_u8; N];
    for character in text.bytes() {
        let digit = ALPHABET.iter().position(|&known| known == character);
        let mut carry = digit.ok_or(NotAnApiKey)?;
        for byte in number.iter_mut().rev() {
            let value = usize::from(*byte) * 62 + carry;
            *byte = value.to_le_bytes()[0];
            carry = value / 256;
        }
        if carry > 0 {
            return Err(NotAnApiKey);
        }
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u128, secret: [u8; 32]) -> ApiKey {
        ApiKey {
            id: Uuid::from_u128(id),
            secret,
        }
    }

    fn with_checksum(body: &str) -> String {
        format!("{body}{}", checksum(body))
    }

    #[test]
    fn a_key_reads_back_as_it_was_written() {
        for key in [
            key(0, [0; 32]),
            key(u128::MAX, [255; 32]),
            key(1, [7; 32]),
            ApiKey::generate().unwrap(),
        ] {
            let text = key.reveal();
            assert_eq!(text.len(), LENGTH);
            let read: ApiKey = text.parse().unwrap();
            assert_eq!(read.id(), key.id());
            assert!(read.fits(&key.secret_sha256()));
            assert!(!read.fits(&[0; 32]));
            assert!(!read.fits(&[]));
        }
    }

    #[test]
    fn the_form_is_fixed() {
        let zeros = key(0, [0; 32]).reveal();
        let body = format!("kk_{}_{}", "0".repeat(22), "0".repeat(43));
        assert_eq!(zeros, with_checksum(&body));
        // The numbers of independent arithmetic: 2^128 - 1 and 2^256 - 1 in base 62.
        let all = key(u128::MAX, [255; 32]).reveal();
        let id = "7n42DGM5Tflk9n8mt7Fhc7";
        let secret = "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1";
        assert_eq!(all, with_checksum(&format!("kk_{id}_{secret}")));
        assert_eq!(key(61, [0; 32]).hint(), format!("kk_{}z", "0".repeat(21)));
    }

    #[test]
    fn two_keys_differ() {
        let (one, two) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        assert_ne!(one.reveal(), two.reveal());
        assert!(!one.fits(&two.secret_sha256()));
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let text = ApiKey::generate().unwrap().reveal();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(changed.parse::<ApiKey>().unwrap_err(), NotAnApiKey, "{at}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = ApiKey::generate().unwrap().reveal();
        let too_much = format!("kk_{}_{}", "z".repeat(22), "0".repeat(43));
        let too_secret = format!("kk_{}_{}", "0".repeat(22), "z".repeat(43));
        let other_prefix = format!("kx_{}_{}", "0".repeat(22), "0".repeat(43));
        let no_underscore = format!("kk_{}0{}", "0".repeat(22), "0".repeat(43));
        let sign = format!("kk_{}_{}", "-".repeat(22), "0".repeat(43));
        for text in [
            String::new(),
            "kk_".to_owned(),
            good[1..].to_owned(),
            format!("{good} "),
            good.to_lowercase() + "x",
            "é".repeat(LENGTH / 2) + "x",
            "x".repeat(1 << 20),
            with_checksum(&too_much),
            with_checksum(&too_secret),
            with_checksum(&other_prefix),
            with_checksum(&no_underscore),
            with_checksum(&sign),
        ] {
            assert!(text.parse::<ApiKey>().is_err(), "{text:.80}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let key = key(1, [0xAB; 32]);
        let secret = digits(&key.secret, SECRET_DIGITS);
        assert!(!format!("{key:?}").contains(&secret));
        assert!(!key.hint().contains(&secret[..4]));
    }
}
