//! Who calls, as their token says.

use chrono::TimeDelta;
use uuid::Uuid;

use super::Time;
use super::origin::Origin;
use super::refusal::Refusal;

/// For this long after a credential was shown, nobody has to show one again.
const FRESH: TimeDelta = TimeDelta::minutes(10);

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
    /// When credentials were shown last: the older one of two factors.
    pub auth_time: Time,
    /// Administers the platform.
    pub is_operator: bool,
    /// From where, as the message of the call says; nothing where it has no place for that. For the audit log.
    pub origin: Origin,
}

impl Caller {
    /// Passes when a credential was shown within the last ten minutes, which sensitive calls ask for.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`] otherwise.
    pub fn must_be_fresh(&self, now: Time) -> Result<(), Refusal> {
        if now - self.auth_time <= FRESH {
            Ok(())
        } else {
            Err(Refusal::StepUpRequired)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_fresh_for_ten_minutes() {
        let shown: Time = "2026-11-22T12:00:00Z".parse().unwrap();
        let caller = Caller {
            id: Uuid::now_v7(),
            session: Uuid::now_v7(),
            organisation: None,
            scopes: Vec::new(),
            assurance: 1,
            auth_time: shown,
            is_operator: false,
            origin: Origin::default(),
        };
        let after = |time| caller.must_be_fresh(shown + time);
        assert_eq!(after(TimeDelta::zero()), Ok(()));
        assert_eq!(after(TimeDelta::minutes(10)), Ok(()));
        let late = TimeDelta::minutes(10) + TimeDelta::microseconds(1);
        assert_eq!(after(late), Err(Refusal::StepUpRequired));
    }
}
