//! What an access token says.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// No token is good for longer, in seconds: what ended is remembered as long as tokens from before it may live.
pub const MAX_LIFETIME_SECONDS: i64 = 10 * 60;

/// The claims of an access token (RFC 9068). Times are Unix times in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who signed it.
    pub iss: String,
    /// The services that take it.
    pub aud: Vec<String>,
    /// The user or service account.
    pub sub: Uuid,
    /// When it was issued.
    pub iat: i64,
    /// From when on it is good.
    pub nbf: i64,
    /// Until when it is good; at most [`MAX_LIFETIME_SECONDS`] after `iat`.
    pub exp: i64,
    /// Its own id.
    pub jti: Uuid,
    /// The session or API key behind it.
    pub sid: Uuid,
    /// When credentials were last shown: the older one of two factors.
    pub auth_time: i64,
    /// How sure the sign-in was: 1, or 2 with a second factor or a passkey.
    pub aal: u8,
    /// How the caller signed in: `pwd`, `otp`, `oidc`, `hwk`, `key`, `rec`.
    pub amr: Vec<String>,
    /// What it may be used for, separated by spaces.
    pub scope: String,
    /// The organisation that the caller acts for. Absent for one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Uuid>,
    /// The caller's role there. Present with `org` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The version of the terms of use that was accepted. 0 for none.
    pub terms: u32,
    /// What is known of the caller's age.
    pub age: Age,
    /// Whether the caller may administer the platform.
    #[serde(default, skip_serializing_if = "is_false")]
    pub adm: bool,
    /// Whether the caller's password is a first one, which others know: nothing else is done before it is changed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub init: bool,
}

/// A member's role in an organisation. Higher ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Uses what the organisation has.
    Member,
    /// Manages members and keys, too.
    Admin,
    /// Manages everything.
    Owner,
}

/// What is known of somebody's age. Surer is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Age {
    /// Nothing.
    Unverified,
    /// What the person said.
    Declared,
    /// What a verifier said.
    Verified,
}

/// Something that a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Reading and following videos.
    VideosRead,
    /// Making, cancelling and deleting videos.
    VideosWrite,
    /// Everything about webhooks.
    Webhooks,
    /// One's own profile, sessions and keys.
    Account,
    /// Managing organisations.
    Org,
    /// Administering the platform; worth something with `adm` only.
    Admin,
}

impl Scope {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::VideosRead,
        Self::VideosWrite,
        Self::Webhooks,
        Self::Account,
        Self::Org,
        Self::Admin,
    ];

    /// How it stands in a token.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VideosRead => "videos:read",
            Self::VideosWrite => "videos:write",
            Self::Webhooks => "webhooks",
            Self::Account => "account",
            Self::Org => "org",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::VideosRead => 1,
            Self::VideosWrite => 2,
            Self::Webhooks => 4,
            Self::Account => 8,
            Self::Org => 16,
            Self::Admin => 32,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such scope")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or(UnknownScope)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// Reads a token's `scope`. What this version does not know grants nothing here.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        text.split(' ')
            .filter_map(|name| name.parse().ok())
            .collect()
    }

    /// Whether `scope` is among them.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{scope}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_and_written_as_words() {
        let scopes = Scopes::parse("webhooks videos:read future:thing");
        assert_eq!(scopes.to_string(), "videos:read webhooks");
        assert!(scopes.has(Scope::Webhooks) && !scopes.has(Scope::VideosWrite));
        let all: Scopes = Scope::ALL.into_iter().collect();
        assert_eq!(Scopes::parse(&all.to_string()), all);
        assert_eq!(
            scopes.intersection(Scopes::parse("webhooks org")),
            Scopes::parse("webhooks")
        );
    }

    #[test]
    fn scope_that_only_looks_like_one_grants_nothing() {
        for text in [
            "",
            " ",
            "Admin",
            "admin,org",
            "videos",
            "videos:read\tadmin",
        ] {
            assert_eq!(Scopes::parse(text), Scopes::default(), "{text:?}");
        }
    }
}
