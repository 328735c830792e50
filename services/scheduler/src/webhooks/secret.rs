//! Signatures after Standard Webhooks 1.0.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
const NEW_BYTES: usize = 32;

/// The longest and shortest key that the specification allows, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A symmetric key, `whsec_` and base64. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    key: Vec<u8>,
}

/// The text is none of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret cannot be read")]
pub struct InvalidSecret;

impl Secret {
    /// Makes a new one of 32 random bytes.
    #[must_use]
    pub fn generate() -> Self {
        let key: [u8; NEW_BYTES] = rand::random();
        Self {
            text: format!("{PREFIX}{}", STANDARD.encode(key)),
            key: key.to_vec(),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`InvalidSecret`].
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let key = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        if !KEY_BYTES.contains(&key.len()) {
            return Err(InvalidSecret);
        }
        let text = text.to_owned();
        Ok(Self { text, key })
    }

    /// The text, for its owner and for the database alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// `v1,` and the base64 of the HMAC-SHA256 of `id.timestamp.body`; `timestamp` in seconds since 1970.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        // A key of any length is legal.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What signs the messages of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// The newest.
    pub present: Secret,
    /// The one before, until the next rotation.
    pub former: Option<Secret>,
}

impl Secrets {
    /// How many sign, 1 or 2.
    #[must_use]
    pub const fn count(&self) -> u32 {
        match self.former {
            Some(_) => 2,
            None => 1,
        }
    }

    /// The `webhook-signature` header: one signature a secret, newest first.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let secrets = std::iter::once(&self.present).chain(&self.former);
        let signatures: Vec<String> = secrets
            .map(|secret| secret.sign(id, timestamp, body))
            .collect();
        signatures.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    const KNOWN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: i64 = 1_614_265_330;
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn signature_is_that_of_the_reference_libraries() {
        let secret = Secret::parse(KNOWN).expect("reads");
        assert_eq!(secret.sign(ID, TIMESTAMP, BODY), SIGNATURE);
    }

    #[test]
    fn both_secrets_sign_newest_first() {
        let former = Secret::parse(KNOWN).expect("reads");
        let present = Secret::generate();
        let newest = present.sign(ID, TIMESTAMP, BODY);
        let mut secrets = Secrets {
            present,
            former: None,
        };
        assert_eq!(
            (secrets.count(), secrets.sign(ID, TIMESTAMP, BODY)),
            (1, newest.clone())
        );
        secrets.former = Some(former);
        let both = format!("{newest} {SIGNATURE}");
        assert_eq!(
            (secrets.count(), secrets.sign(ID, TIMESTAMP, BODY)),
            (2, both)
        );
    }

    #[test]
    fn new_secrets_differ_and_can_be_read() {
        let (one, other) = (Secret::generate(), Secret::generate());
        assert_ne!(one, other);
        assert_eq!(Secret::parse(one.expose()), Ok(one.clone()));
        assert_eq!(one.key.len(), NEW_BYTES);
    }

    #[test]
    fn secrets_are_not_printed_and_others_not_read() {
        let secret = Secret::parse(KNOWN).expect("reads");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let short = format!("whsec_{}", STANDARD.encode([1; 23]));
        for wrong in ["", "whsec_", "whsec_%%%", &KNOWN[6..], &short] {
            assert_eq!(Secret::parse(wrong), Err(InvalidSecret), "{wrong}");
        }
    }
}
