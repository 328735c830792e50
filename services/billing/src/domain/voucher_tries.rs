//! Guessing voucher codes gets slower the more often it fails.
//!
//! Wrong codes are counted by person and by network. Right ones are not, so that a hall of people behind one address
//! redeems what it was given; nor are codes that were mistyped, which can be no voucher's.

use std::net::IpAddr;

use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Time;

/// After this long a counter begins anew.
pub const FORGET: TimeDelta = TimeDelta::hours(24);

/// How a counter slows tries down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// So many wrong codes cost nothing.
    pub free: i32,
    /// After the first that does, and twice as long after each further one.
    pub delay: TimeDelta,
    /// No wait is longer.
    pub longest: TimeDelta,
    /// One wrong code is forgotten each time this has passed.
    pub drain: TimeDelta,
}

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

/// The network that an address belongs to: who has IPv6 has 64 bits to choose from.
fn network(address: &str) -> String {
    match address.parse::<IpAddr>().map(|it| it.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Err(_) => String::new(),
    }
}

/// Codes that were wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// How many.
    pub failures: i32,
    /// When the last one was.
    pub last_time: Option<Time>,
}

impl Counter {
    /// How long a try at `now` has to wait. None when it may be made.
    #[must_use]
    pub fn wait(self, rule: Rule, now: Time) -> Option<TimeDelta> {
        let left = self.drained(rule, now);
        let beyond = left.failures.saturating_sub(rule.free);
        if beyond <= 0 {
            return None;
        }
        // Twenty doublings are more than any longest delay.
        let doublings = u32::try_from(beyond - 1).unwrap_or(0).min(20);
        let delay = (rule.delay * (1_i32 << doublings)).min(rule.longest);
        let until = left.last_time? + delay;
        (until > now).then(|| until - now)
    }

    /// Counts a wrong code.
    #[must_use]
    pub fn charge(self, rule: Rule, now: Time) -> Self {
        Self {
            failures: self.drained(rule, now).failures.saturating_add(1),
            last_time: Some(now),
        }
    }

    /// What is left of it by now.
    fn drained(self, rule: Rule, now: Time) -> Self {
        let Some(last) = self.last_time.filter(|last| *last + FORGET > now) else {
            return Self::default();
        };
        let passed = (now - last).num_milliseconds().max(0);
        let drained = passed / rule.drain.num_milliseconds().max(1);
        let drained = i32::try_from(drained).unwrap_or(i32::MAX);
        Self {
            failures: self.failures.saturating_sub(drained).max(0),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: Rule = Rule {
        free: 3,
        delay: TimeDelta::seconds(1),
        longest: TimeDelta::minutes(1),
        drain: TimeDelta::minutes(10),
    };

    fn start() -> Time {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn first_tries_are_free_and_then_waits_double_up_to_the_longest() {
        let mut counter = Counter::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            counter = counter.charge(RULE, start());
            waits.push(counter.wait(RULE, start()).map_or(0, |it| it.num_seconds()));
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

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

    proptest! {
        #[test]
        fn more_failures_never_shorten_the_wait(failures in 0..i32::MAX, more in 0..1000_i32) {
            let wait = |failures| {
                let counter = Counter { failures, last_time: Some(start()) };
                counter.wait(RULE, start()).unwrap_or_default()
            };
            let longer = wait(failures.saturating_add(more));
            prop_assert!(wait(failures) <= longer && longer <= RULE.longest);
        }

        #[test]
        fn who_waits_long_enough_may_try_again(failures in 0..i32::MAX, by in 0..86_400_i64) {
            let counter = Counter { failures, last_time: Some(start()) };
            let now = start() + TimeDelta::seconds(by);
            if let Some(wait) = counter.wait(RULE, now) {
                prop_assert_eq!(counter.wait(RULE, now + wait), None);
            }
            prop_assert_eq!(counter.wait(RULE, start() + FORGET), None);
        }
    }
}
