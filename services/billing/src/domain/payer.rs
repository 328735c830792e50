//! Who pays.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A user, or an organisation for all who act for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Payer {
    /// A user, for what they do for themselves.
    User(Uuid),
    /// An organisation.
    Organisation(Uuid),
}

/// The text names no payer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no payer")]
pub struct NotAPayer;

impl Payer {
    /// The organisation, if it is one.
    #[must_use]
    pub const fn organisation(self) -> Option<Uuid> {
        match self {
            Self::User(_) => None,
            Self::Organisation(id) => Some(id),
        }
    }
}

/// The key under which a payer is kept: `user:<uuid>` or `org:<uuid>`.
impl fmt::Display for Payer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Organisation(id) => write!(f, "org:{id}"),
        }
    }
}

impl FromStr for Payer {
    type Err = NotAPayer;

    fn from_str(text: &str) -> Result<Self, NotAPayer> {
        let (kind, id) = text.split_once(':').ok_or(NotAPayer)?;
        let id = id.parse().map_err(|_| NotAPayer)?;
        match kind {
            "user" => Ok(Self::User(id)),
            "org" => Ok(Self::Organisation(id)),
            _ => Err(NotAPayer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_payer() {
        let id = Uuid::now_v7();
        for payer in [Payer::User(id), Payer::Organisation(id)] {
            assert_eq!(payer.to_string().parse(), Ok(payer));
        }
        for text in [
            "",
            "user",
            "user:",
            "org:1",
            "system:revenue",
            &format!("team:{id}"),
        ] {
            assert_eq!(text.parse::<Payer>(), Err(NotAPayer), "{text}");
        }
    }
}
