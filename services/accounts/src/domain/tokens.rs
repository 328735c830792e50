//! What a sign-in hands out.

use std::fmt;

use uuid::Uuid;

use super::Time;

/// What somebody has shown in order to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// `amr` values: "pwd", "otp", "oidc", "hwk", "rec".
    pub methods: &'a [&'a str],
    /// How many factors that was: 1 or 2.
    pub assurance: u8,
}

/// An access token, and the refresh token that gets the next one.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// For calls.
    pub access: String,
    /// Until when.
    pub access_expire: Time,
    /// Good for one refresh.
    pub refresh: String,
    /// Until when, if it is not used.
    pub refresh_expire: Time,
    /// The session that both belong to.
    pub session: Uuid,
}

// Tokens are secrets.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
