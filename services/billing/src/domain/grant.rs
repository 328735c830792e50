//! Grants: credits with an origin and an end.

use uuid::Uuid;

use super::Time;
use super::credits::Credits;
use super::ledger::SystemAccount;

/// Where credits come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GrantOrigin {
    /// The allowance of a plan.
    Plan,
    /// A voucher.
    Voucher,
    /// Bought.
    Purchase,
    /// Given by an operator.
    Goodwill,
    /// Captured before, and given back.
    Refund,
}

impl GrantOrigin {
    const ALL: [Self; 5] = [
        Self::Plan,
        Self::Voucher,
        Self::Purchase,
        Self::Goodwill,
        Self::Refund,
    ];

    /// How it stands in the database.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Plan => 1,
            Self::Voucher => 2,
            Self::Purchase => 3,
            Self::Goodwill => 4,
            Self::Refund => 5,
        }
    }

    /// What stands in the database.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.code() == code)
    }

    /// Whether nobody paid for it. A refund was paid for, as far as anybody can tell.
    #[must_use]
    pub const fn is_promotional(self) -> bool {
        matches!(self, Self::Plan | Self::Voucher | Self::Goodwill)
    }

    /// The platform's account that it comes out of.
    #[must_use]
    pub const fn source(self) -> SystemAccount {
        match self {
            Self::Plan | Self::Voucher | Self::Goodwill => SystemAccount::Promotion,
            Self::Purchase => SystemAccount::Clearing,
            Self::Refund => SystemAccount::Revenue,
        }
    }
}

/// Credits with an origin and an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Derived from the key under which it was given.
    pub id: Uuid,
    /// Where it comes from.
    pub origin: GrantOrigin,
    /// What was granted.
    pub credits: Credits,
    /// What is left of it, without what is held.
    pub available: Credits,
    /// When it was given.
    pub create_time: Time,
    /// When it ends. None for never.
    pub expire_time: Option<Time>,
    /// The plan, the campaign, or why an operator gave it.
    pub note: String,
}

impl Grant {
    /// Whether its time is over.
    #[must_use]
    pub fn has_ended(&self, now: Time) -> bool {
        self.expire_time.is_some_and(|end| end <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_kept_by_their_codes() {
        for origin in GrantOrigin::ALL {
            assert_eq!(GrantOrigin::from_code(origin.code()), Some(origin));
        }
        assert_eq!(GrantOrigin::from_code(0), None);
        assert_eq!(GrantOrigin::from_code(6), None);
    }
}
