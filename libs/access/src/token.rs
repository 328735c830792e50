//! Access tokens: JSON web signatures (RFC 7515) of type `at+jwt` (RFC 9068), signed with Ed25519 (RFC 8037) and nothing
//! else.
//!
//! The format takes a few lines, and here they say what is refused and when: nothing of a token is used before the
//! algorithm is the one, the key is known and the signature holds; that a signature held is remembered, and everything
//! else is checked at every call; keys are parsed when they arrive and not for each token; and a token never names,
//! brings or points to the key it is checked with.

mod opened;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use serde::{Deserialize, Serialize};

use self::opened::Opened;
use crate::claims::{Claims, MAX_LIFETIME_SECONDS};
use crate::trust::{Standing, TrustBundle};

/// No token is longer.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// By how much the clocks of two machines may differ.
pub const LEEWAY_SECONDS: i64 = 30;

const ALGORITHM: &str = "EdDSA";

const TYPE: &str = "at+jwt";

/// Why a token is refused. Callers are told a part of it only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("the token is too long")]
    TooLong,
    /// No three parts in base64url.
    #[error("the token has another form")]
    Form,
    /// The header is no JSON of ours.
    #[error("the token's header cannot be read")]
    Header,
    /// Signed in another way than with Ed25519, or not at all.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// No access token.
    #[error("the token is of another type")]
    Type,
    /// The header asks for extensions to be understood.
    #[error("the token wants extensions that are not known here")]
    Critical,
    /// Signed with a key that is not, or no longer, trusted.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Not signed by that key.
    #[error("the token's signature does not hold")]
    Signature,
    /// The claims are no JSON of ours, or contradict each other.
    #[error("the token's claims cannot be read")]
    Claims,
    /// Signed by somebody else.
    #[error("the token is of another issuer")]
    Issuer,
    /// For other services.
    #[error("the token is for another audience")]
    Audience,
    /// From the future.
    #[error("the token is not good yet")]
    NotYetValid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its session, key or subject has ended.
    #[error("the token was revoked")]
    Revoked,
}

/// The private half of a signing key.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Makes the key of a seed: 32 random bytes, which are the key's private form in RFC 8032.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(withheld)")
    }
}

/// Signs claims under the id of a key.
///
/// # Errors
/// [`TokenError::TooLong`] when the token would be longer than any service takes.
pub fn sign(claims: &Claims, key_id: &str, key: &SigningKey) -> Result<String, TokenError> {
    let header = HeaderToSign {
        alg: ALGORITHM,
        typ: TYPE,
        kid: key_id,
    };
    let header = serde_json::to_vec(&header).map_err(|_| TokenError::Header)?;
    let claims = serde_json::to_vec(claims).map_err(|_| TokenError::Claims)?;
    let token = sign_parts(&header, &claims, key);
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::TooLong);
    }
    Ok(token)
}

/// The compact form of a header and a payload, signed.
pub(crate) fn sign_parts(header: &[u8], payload: &[u8], key: &SigningKey) -> String {
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = key.0.sign(token.as_bytes()).to_bytes();
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

#[derive(Serialize)]
struct HeaderToSign<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

/// What is read of a header. `jku`, `jwk`, `x5u` and `x5c` are not: keys come from the trust bundle alone.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

/// A token whose form and header are right, and whose key is to be looked up by [`Self::key_id`].
#[derive(Debug)]
pub struct Unverified<'a> {
    key_id: String,
    signed: &'a [u8],
    payload: &'a str,
    signature: Signature,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`TokenError`] up to `UnknownKey`, which is for a token without `kid`.
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Form)?;
        if payload.contains('.') {
            return Err(TokenError::Form);
        }
        let header = decode(header)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| TokenError::Header)?;
        let key_id = header.check()?;
        let signature = Signature::from_slice(&decode(signature)?).map_err(|_| TokenError::Form)?;
        Ok(Self {
            key_id,
            signed: signed.as_bytes(),
            payload,
            signature,
        })
    }

    /// The id of the key that is said to have signed it.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Checks the signature, and only then reads the claims.
    fn open(&self, key: &VerifyingKey) -> Result<Claims, TokenError> {
        key.verify_strict(self.signed, &self.signature)
            .map_err(|_| TokenError::Signature)?;
        let claims = decode(self.payload)?;
        serde_json::from_slice(&claims).map_err(|_| TokenError::Claims)
    }
}

impl Header {
    fn check(self) -> Result<String, TokenError> {
        if self.alg != ALGORITHM {
            return Err(TokenError::Algorithm);
        }
        let typ = self.typ.as_deref().unwrap_or_default();
        // Types compare without case, and `application/` may stand before them (RFC 9068, 4).
        let is_ours = |text: &str| text.eq_ignore_ascii_case(TYPE);
        if !is_ours(typ) && !typ.strip_prefix("application/").is_some_and(is_ours) {
            return Err(TokenError::Type);
        }
        if self.crit.is_some() {
            return Err(TokenError::Critical);
        }
        self.kid.ok_or(TokenError::UnknownKey)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Form)
}

/// Checks tokens for one service.
#[derive(Clone, Debug)]
pub struct Verifier {
    issuer: String,
    audiences: Vec<String>,
    opened: Opened,
}

impl Verifier {
    /// Takes tokens of `issuer` for one of `audiences`.
    #[must_use]
    pub fn new(issuer: &str, audiences: &[&str]) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audiences: audiences.iter().map(|&name| name.to_owned()).collect(),
            opened: Opened::new(),
        }
    }

    /// Reads the claims of a token that is good at `now` (Unix time in seconds).
    ///
    /// # Errors
    /// [`TokenError`]: the first thing that is wrong.
    pub fn verify(&self, token: &str, trust: &TrustBundle, now: i64) -> Result<Claims, TokenError> {
        self.check(&Unverified::parse(token)?, trust, now)
    }

    /// As [`Self::verify`], of a token that was taken apart before.
    ///
    /// # Errors
    /// [`TokenError`], from `UnknownKey` on.
    pub fn check(
        &self,
        token: &Unverified<'_>,
        trust: &TrustBundle,
        now: i64,
    ) -> Result<Claims, TokenError> {
        let key = trust.key(token.key_id()).ok_or(TokenError::UnknownKey)?;
        let claims = self.opened.open(token, key)?;
        if claims.iss != self.issuer {
            return Err(TokenError::Issuer);
        }
        if !claims.aud.iter().any(|name| self.audiences.contains(name)) {
            return Err(TokenError::Audience);
        }
        check_sense(&claims)?;
        check_times(&claims, now)?;
        if trust.has_ended(&Standing::from(&claims)) {
            return Err(TokenError::Revoked);
        }
        Ok(claims)
    }
}

/// Claims that the issuer never makes are not guessed at.
const fn check_sense(claims: &Claims) -> Result<(), TokenError> {
    let is_of_org = claims.org.is_some();
    let has_role = claims.role.is_some();
    // A longer life would outlast the memory of what has ended.
    let lifetime = claims.exp.saturating_sub(claims.iat);
    let lives_shortly = 0 < lifetime && lifetime <= MAX_LIFETIME_SECONDS;
    if is_of_org != has_role || !lives_shortly || !matches!(claims.aal, 1 | 2) {
        return Err(TokenError::Claims);
    }
    Ok(())
}

const fn check_times(claims: &Claims, now: i64) -> Result<(), TokenError> {
    let latest = now.saturating_add(LEEWAY_SECONDS);
    if claims.iat > latest || claims.nbf > latest {
        return Err(TokenError::NotYetValid);
    }
    if claims.exp <= now.saturating_sub(LEEWAY_SECONDS) {
        return Err(TokenError::Expired);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
