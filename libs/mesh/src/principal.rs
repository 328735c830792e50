//! On whose behalf a call is made.
//!
//! The edge authenticates and names the principal in a metadata entry; services behind it read the
//! entry and check ownership in their queries. Only the loopback or a private network may reach those
//! services until calls carry signed tokens.

use std::fmt;

use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use uuid::Uuid;

use crate::error::{Kind, PublicError};

/// The metadata entry that carries the principal.
pub const PRINCIPAL_KEY: &str = "kinora-principal";

const MAX_CHARS: usize = 128;

/// A user, organisation or service account: 1 to 128 of letters, digits and `._-@:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal(String);

impl Principal {
    /// Checks a name.
    ///
    /// # Errors
    /// `Unauthenticated` with reason `PRINCIPAL_INVALID` when the name has another form.
    pub fn new(name: impl Into<String>) -> Result<Self, PublicError> {
        let name = name.into();
        let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-@:".contains(c);
        if name.is_empty() || name.len() > MAX_CHARS || !name.chars().all(is_legal) {
            return Err(PublicError::new(
                Kind::Unauthenticated,
                "PRINCIPAL_INVALID",
                "the caller's name is not valid",
            ));
        }
        Ok(Self(name))
    }

    /// A user, or a program that acts for itself.
    #[must_use]
    pub fn of_user(user: Uuid) -> Self {
        Self(user.to_string())
    }

    /// A user or service account that acts for an organisation.
    #[must_use]
    pub fn of_member(organisation: Uuid, user: Uuid) -> Self {
        Self(format!("{organisation}:{user}"))
    }

    /// Reads the principal of a call.
    ///
    /// # Errors
    /// `Unauthenticated` with reason `PRINCIPAL_MISSING` or `PRINCIPAL_INVALID`.
    pub fn from_metadata(metadata: &MetadataMap) -> Result<Self, PublicError> {
        let value = metadata.get(PRINCIPAL_KEY).ok_or_else(|| {
            PublicError::new(
                Kind::Unauthenticated,
                "PRINCIPAL_MISSING",
                "the call names no caller",
            )
        })?;
        Self::new(value.to_str().unwrap_or_default())
    }

    /// Names this principal in an outgoing call.
    pub fn attach(&self, metadata: &mut MetadataMap) {
        if let Ok(value) = self.0.parse::<AsciiMetadataValue>() {
            metadata.insert(PRINCIPAL_KEY, value);
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_travels_in_metadata() {
        let principal = Principal::new("user:42@example.org").unwrap();
        let mut metadata = MetadataMap::new();
        principal.attach(&mut metadata);
        assert_eq!(Principal::from_metadata(&metadata), Ok(principal));
    }

    #[test]
    fn ids_make_legal_names() {
        let (organisation, user) = (Uuid::now_v7(), Uuid::now_v7());
        for made in [
            Principal::of_user(user),
            Principal::of_member(organisation, user),
        ] {
            assert_eq!(Principal::new(made.as_str()), Ok(made));
        }
    }

    #[test]
    fn odd_names_are_refused() {
        for name in ["", "a b", "a\n", "ä", "a/b", &"x".repeat(129)] {
            assert!(Principal::new(name).is_err(), "{name:?}");
        }
    }
}
