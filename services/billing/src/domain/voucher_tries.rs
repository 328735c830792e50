//! What wrong voucher codes are counted by: guessing gets slower the more often it fails.
//!
//! Wrong codes are counted by person and by network. Right ones are not, so that a hall of people behind one address
//! redeems what it was given; nor are codes that were mistyped, which can be no voucher's.

use chrono::TimeDelta;
use kinora_access::throttle::{Rule, network};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What tries are counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Names the counter. Nothing personal can be read from it.
    pub key: String,
    /// How it slows down.
    pub rule: Rule,
}

impl Counted {
    /// The counters of a try, in the order in which everybody locks them: of the person, and of the network unless it is
    /// not known.
    #[must_use]
    pub fn of(user: Uuid, address: &str) -> Vec<Self> {
        let mut counted = vec![Self::by("user", &user.to_string(), BY_PERSON)];
        let network = network(address);
        if !network.is_empty() {
            counted.push(Self::by("network", &network, BY_NETWORK));
        }
        counted.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        counted
    }

    fn by(kind: &str, of: &str, rule: Rule) -> Self {
        let key = hex::encode(Sha256::digest(format!("{kind}\n{of}")));
        Self { key, rule }
    }
}

/// A person has a handful of codes at most.
const BY_PERSON: Rule = Rule {
    free: 10,
    delay: TimeDelta::seconds(10),
    longest: TimeDelta::hours(1),
    drain: TimeDelta::minutes(10),
};

/// A company or a school has one network.
const BY_NETWORK: Rule = Rule {
    free: 50,
    delay: TimeDelta::seconds(1),
    longest: TimeDelta::minutes(15),
    drain: TimeDelta::minutes(1),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_and_a_network_are_counted_apart_and_locked_in_one_order() {
        let (ada, ben) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let here = Counted::of(ada, "2001:db8:1:2::1");
        assert_eq!(here, Counted::of(ada, "2001:db8:1:2:ffff::"));
        assert_eq!(here.len(), 2);
        assert!(here.is_sorted_by(|one, other| one.key < other.key));
        let shared = |other: &[Counted]| here.iter().filter(|it| other.contains(it)).count();
        assert_eq!(shared(&Counted::of(ada, "192.0.2.1")), 1);
        assert_eq!(shared(&Counted::of(ben, "2001:db8:1:2::7")), 1);
        assert_eq!(shared(&Counted::of(ben, "2001:db8:1:3::")), 0);
        assert_eq!(Counted::of(ada, "").len(), 1);
        assert_eq!(
            Counted::of(ada, "::ffff:192.0.2.1"),
            Counted::of(ada, "192.0.2.1")
        );
    }
}
