//! Which grants are spent first, and which get credits back.

use std::cmp::Ordering;

use uuid::Uuid;

use super::Time;
use super::credits::Credits;
use super::grant::Grant;
use super::ledger::{Account, SystemAccount, Transfer};
use super::payer::Payer;

/// Credits of one grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The grant.
    pub grant: Uuid,
    /// How many; not 0.
    pub credits: Credits,
}

/// Puts grants in the order in which they are spent: the soonest to end, those that nobody paid for, the oldest.
pub fn in_order(grants: &mut [Grant]) {
    grants.sort_by(|one, other| {
        soonest(one.expire_time, other.expire_time)
            .then_with(|| {
                other
                    .origin
                    .is_promotional()
                    .cmp(&one.origin.is_promotional())
            })
            .then_with(|| one.create_time.cmp(&other.create_time))
            .then_with(|| one.id.cmp(&other.id))
    });
}

/// What does not end comes last.
fn soonest(one: Option<Time>, other: Option<Time>) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => one.cmp(&other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// Takes up to `wanted` from grants, in their order, and answers from which and how many were missing.
pub fn take(grants: &mut [Grant], wanted: Credits) -> (Vec<Part>, Credits) {
    let mut parts = Vec::new();
    let mut missing = wanted;
    for grant in grants {
        let credits = grant.available.min(missing);
        if credits.is_zero() {
            continue;
        }
        grant.available = grant.available.saturating_sub(credits);
        missing = missing.saturating_sub(credits);
        parts.push(Part {
            grant: grant.id,
            credits,
        });
        if missing.is_zero() {
            break;
        }
    }
    (parts, missing)
}

/// Which parts of a hold get `returned` credits back: the last to be spent are the first.
#[must_use]
pub fn give_back(parts: &[Part], returned: Credits) -> Vec<Part> {
    let mut missing = returned;
    let mut back = Vec::new();
    for part in parts.iter().rev() {
        let credits = part.credits.min(missing);
        if credits.is_zero() {
            continue;
        }
        missing = missing.saturating_sub(credits);
        back.push(Part {
            grant: part.grant,
            credits,
        });
    }
    back
}

/// Adds to a transfer that credits leave grants.
#[must_use]
pub fn leaving(transfer: Transfer, parts: &[Part]) -> Transfer {
    parts.iter().fold(transfer, |transfer, part| {
        transfer.loses(Account::Grant(part.grant), part.credits)
    })
}

/// Adds to a transfer that credits come back. Those of grants that have ended go where ended ones go; of the others a debt
/// is paid first.
#[must_use]
pub fn returning(
    transfer: Transfer,
    parts: &[Part],
    payer: Payer,
    debt: Credits,
    has_ended: impl Fn(Uuid) -> bool,
) -> Transfer {
    let mut owed = debt;
    parts.iter().fold(transfer, |transfer, part| {
        if has_ended(part.grant) {
            return transfer.gains(Account::System(SystemAccount::Expired), part.credits);
        }
        let paid = part.credits.min(owed);
        owed = owed.saturating_sub(paid);
        transfer.gains(Account::Debt(payer), paid).gains(
            Account::Grant(part.grant),
            part.credits.saturating_sub(paid),
        )
    })
}

#[cfg(test)]
mod tests;
