//! Who calls, as their token says.

use uuid::Uuid;

use super::Time;

/// What a person may do in an organisation. Grows from member to owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Uses it.
    Member,
    /// Manages members and programs, too.
    Admin,
    /// May do everything.
    Owner,
}

/// The user behind a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// A user, or a service account.
    pub id: Uuid,
    /// The session or API key that the token came from.
    pub session: Uuid,
    /// The organisation that they act for.
    pub organisation: Option<(Uuid, Role)>,
    /// What the token is good for.
    pub scopes: Vec<String>,
    /// How many factors were shown: 1 or 2.
    pub assurance: u8,
    /// When a credential was shown last.
    pub auth_time: Time,
    /// Administers the platform.
    pub is_operator: bool,
}
