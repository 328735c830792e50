//! The keys that sign tokens: one does, one is ready, one has just done so.

use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Time;

/// A key signs for this long.
pub const ROTATE_AFTER: TimeDelta = TimeDelta::days(30);

/// Tokens under a key that has been replaced are good for this long: more than any token lives.
pub const DROP_AFTER: TimeDelta = TimeDelta::hours(1);

/// What has ended is told for this long: the life of a token, and what clocks may differ by.
pub const REMEMBER_ENDED: TimeDelta = TimeDelta::minutes(11);

/// Where a key is in its life. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyState {
    /// Known to verifiers, and signs nothing yet.
    Standby,
    /// Signs.
    Current,
    /// Signs nothing any more; its last tokens are still good.
    Previous,
    /// No token of it is good.
    Revoked,
}

impl KeyState {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Standby, Self::Current, Self::Previous, Self::Revoked];

    /// How it stands in a row.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Standby => 1,
            Self::Current => 2,
            Self::Previous => 3,
            Self::Revoked => 4,
        }
    }

    /// Reads it from a row.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeyInfo {
    /// The `kid` of its tokens.
    pub id: Uuid,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made.
    pub create_time: Time,
    /// When it got its state.
    pub state_time: Time,
}

/// What tokens are checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Id and public half of the keys that are not revoked.
    pub keys: Vec<(Uuid, Vec<u8>)>,
    /// Of the terms in force. 0 for none.
    pub terms_version: u32,
    /// What has ended lately, and when: Unix time in seconds.
    pub ended: Vec<(Uuid, i64)>,
}

impl Trust {
    /// Changes with the content, and is the same in every replica.
    #[must_use]
    pub fn revision(&self) -> String {
        let mut hash = Sha256::new();
        for (id, key) in &self.keys {
            hash.update([b'k']);
            hash.update(id.as_bytes());
            hash.update(key);
        }
        hash.update([b't']);
        hash.update(self.terms_version.to_be_bytes());
        for (id, end_time) in &self.ended {
            hash.update([b'e']);
            hash.update(id.as_bytes());
            hash.update(end_time.to_be_bytes());
        }
        hex::encode(&hash.finalize()[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revision_changes_with_every_part() {
        let trust = Trust {
            keys: vec![(Uuid::nil(), vec![1; 32])],
            terms_version: 1,
            ended: vec![(Uuid::nil(), 5)],
        };
        let mut revisions = vec![trust.revision()];
        assert_eq!(trust.revision(), revisions[0]);
        for change in [
            |it: &mut Trust| it.keys[0].1[0] = 2,
            |it: &mut Trust| it.keys.clear(),
            |it: &mut Trust| it.terms_version = 2,
            |it: &mut Trust| it.ended[0].1 = 6,
            |it: &mut Trust| it.ended.clear(),
        ] {
            let mut other = trust.clone();
            change(&mut other);
            revisions.push(other.revision());
        }
        revisions.sort_unstable();
        revisions.dedup();
        assert_eq!(revisions.len(), 6);
    }
}
