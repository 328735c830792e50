//! Verifiers of age: somebody else looks at a document or a face, and tells whether a person is of age.
//!
//! A person follows a link to the verifier; the verifier calls back with what it found. Which verifier that is makes no
//! difference to the rest of the service.

use chrono::TimeDelta;
use hmac::{Hmac, Mac};
use kinora_mesh::secret::Secret;
use serde::Deserialize;
use sha2::Sha256;
use url::Url;

use super::Time;
use super::refusal::Refusal;

/// Where the link's template takes the token of the verification.
const PLACE: &str = "{flow}";

/// A call is no longer believed when it is this old, or this far in the future.
const MAX_AGE: TimeDelta = TimeDelta::minutes(5);

/// No verifier has more to say.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// A shorter secret could be guessed.
const MIN_SECRET_BYTES: usize = 32;

/// A call of a verifier, as it reached the edge.
#[derive(Clone, Copy, Debug)]
pub struct Callback<'a> {
    /// Byte for byte.
    pub body: &'a [u8],
    /// In hexadecimal.
    pub signature: &'a str,
    /// Seconds since 1970.
    pub timestamp: &'a str,
}

/// What a verifier found.
#[derive(Clone, PartialEq, Eq)]
pub struct Finding {
    /// Of the verification that it belongs to.
    pub token: String,
    /// Whether the person is of age.
    pub is_adult: bool,
}

/// Somebody who tells whether people are of age.
pub trait AgeVerifier: Send + Sync {
    /// By which it is remembered who said so.
    fn name(&self) -> &str;

    /// Where a person goes for the verification with this token, which has characters of base64url only.
    fn link(&self, token: &str) -> String;

    /// Reads a call, if it is the verifier's own and new.
    ///
    /// # Errors
    /// [`Refusal::AgeCallbackInvalid`].
    fn read(&self, callback: Callback<'_>, now: Time) -> Result<Finding, Refusal>;
}

/// A verifier with a link, which signs its calls: HMAC-SHA-256 under a shared secret over the time stamp, a full stop and
/// the body. The body is JSON: `{"flow": "<token>", "is_adult": true}`.
#[derive(Clone, Debug)]
pub struct SignedLink {
    name: String,
    template: String,
    secret: Secret,
}

#[derive(Deserialize)]
struct Body {
    flow: String,
    is_adult: bool,
}

impl SignedLink {
    /// A verifier behind a link like `https://verifier.example/start?session={flow}`.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub fn new(name: &str, template: &str, secret: Secret) -> Result<Self, &'static str> {
        let url = Url::parse(&template.replace(PLACE, "token"));
        let url = url.map_err(|_| "the age verifier's link is no URL")?;
        let is_local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if url.scheme() != "https" && !(url.scheme() == "http" && is_local) {
            return Err("the age verifier's link begins with https://");
        }
        if !template.contains(PLACE) {
            return Err("the age verifier's link has a place for {flow}");
        }
        if secret.reveal().len() < MIN_SECRET_BYTES {
            return Err("the age verifier's secret has at least 32 bytes");
        }
        if name.is_empty() || name.chars().count() > 100 {
            return Err("the age verifier's name has 1 to 100 characters");
        }
        Ok(Self {
            name: name.to_owned(),
            template: template.to_owned(),
            secret,
        })
    }

    fn has_signed(&self, callback: Callback<'_>) -> bool {
        let Ok(signature) = hex::decode(callback.signature) else {
            return false;
        };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.secret.reveal().as_bytes()) else {
            return false;
        };
        mac.update(callback.timestamp.as_bytes());
        mac.update(b".");
        mac.update(callback.body);
        mac.verify_slice(&signature).is_ok()
    }
}

impl AgeVerifier for SignedLink {
    fn name(&self) -> &str {
        &self.name
    }

    fn link(&self, token: &str) -> String {
        self.template.replace(PLACE, token)
    }

    fn read(&self, callback: Callback<'_>, now: Time) -> Result<Finding, Refusal> {
        let invalid = Refusal::AgeCallbackInvalid;
        if callback.body.len() > MAX_BODY_BYTES || !self.has_signed(callback) {
            return Err(invalid);
        }
        let seconds = callback.timestamp.parse().map_err(|_| invalid)?;
        let time = Time::from_timestamp(seconds, 0).ok_or(invalid)?;
        if (now - time).abs() > MAX_AGE {
            return Err(invalid);
        }
        let body: Body = serde_json::from_slice(callback.body).map_err(|_| invalid)?;
        Ok(Finding {
            token: body.flow,
            is_adult: body.is_adult,
        })
    }
}

/// Signs as a verifier does.
#[cfg(test)]
pub(crate) fn sign(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(&[timestamp.as_bytes(), b".", body].concat());
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "https://verifier.example/?s={flow}";
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const BODY: &[u8] = br#"{"flow": "abc", "is_adult": true}"#;

    fn verifier() -> SignedLink {
        SignedLink::new("v", LINK, Secret::new(SECRET.to_owned())).unwrap()
    }

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn read(body: &[u8], signature: &str, timestamp: &str, now: Time) -> bool {
        let callback = Callback {
            body,
            signature,
            timestamp,
        };
        verifier().read(callback, now).is_ok()
    }

    #[test]
    fn a_signed_call_is_read_for_five_minutes() {
        let (stamp, signature) = ("1700000000", sign(SECRET, "1700000000", BODY));
        for (seconds, is_read) in [
            (0, true),
            (300, true),
            (-300, true),
            (301, false),
            (-301, false),
        ] {
            assert_eq!(
                read(BODY, &signature, stamp, at(seconds)),
                is_read,
                "{seconds}"
            );
        }
        assert_eq!(verifier().link("abc"), "https://verifier.example/?s=abc");
    }

    #[test]
    fn whatever_was_not_signed_is_refused() {
        let (stamp, signature) = ("1700000000", sign(SECRET, "1700000000", BODY));
        let other = sign("another secret", stamp, BODY);
        let minor = br#"{"flow": "abc", "is_adult": false}"#;
        let long = vec![b' '; MAX_BODY_BYTES + 1];
        for (body, signature, stamp) in [
            (BODY, other.as_str(), stamp),
            (BODY, &signature[2..], stamp),
            (BODY, "", stamp),
            (BODY, "no hexadecimal", stamp),
            (minor, &signature, stamp),
            (BODY, &signature, "1700000001"),
            (b"{}", &sign(SECRET, stamp, b"{}"), stamp),
            (BODY, &sign(SECRET, "soon", BODY), "soon"),
            (BODY, &sign(SECRET, "", BODY), ""),
            (&long, &sign(SECRET, stamp, &long), stamp),
        ] {
            assert!(!read(body, signature, stamp, at(0)), "{signature} {stamp}");
        }
    }

    #[test]
    fn options_that_cannot_work_are_refused() {
        let secret = || Secret::new(SECRET.to_owned());
        for link in [
            "{flow}",
            "http://verifier.example/{flow}",
            "https://verifier.example/",
        ] {
            assert!(SignedLink::new("v", link, secret()).is_err(), "{link}");
        }
        assert!(SignedLink::new("v", LINK, Secret::new("short".to_owned())).is_err());
        assert!(SignedLink::new("", LINK, secret()).is_err());
        assert!(SignedLink::new("v", "http://127.0.0.1:1/{flow}", secret()).is_ok());
    }
}
