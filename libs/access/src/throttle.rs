//! Guessing gets slower the more often it fails.
//!
//! What is counted, and how each counter slows down, is up to the service that counts.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};

/// After this long a counter begins anew.
pub const FORGET: TimeDelta = TimeDelta::hours(24);

type Time = DateTime<Utc>;

/// How a counter slows its tries down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// So many tries cost nothing.
    pub free: i32,
    /// After the first that does, and twice as long after each further one.
    pub delay: TimeDelta,
    /// No wait is longer.
    pub longest: TimeDelta,
    /// One failure is forgotten each time this has passed: what people mistype on a busy network never adds up.
    pub drain: TimeDelta,
}

/// The network that an address belongs to: who has IPv6 has 64 bits to choose from.
#[must_use]
pub fn network(address: &str) -> String {
    match address
        .parse::<IpAddr>()
        .map(|address| address.to_canonical())
    {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Err(_) => String::new(),
    }
}

/// Tries that have failed, or were not found to be right yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// How many.
    pub failures: i32,
    /// When the last one was.
    pub last_time: Option<Time>,
}

impl Counter {
    /// Until when the next try has to wait. None when it has not.
    #[must_use]
    pub fn blocked_until(self, rule: Rule) -> Option<Time> {
        let beyond = self.failures.checked_sub(rule.free)?;
        if beyond <= 0 {
            return None;
        }
        // Twenty doublings are more than any longest delay.
        let doublings = u32::try_from(beyond - 1).unwrap_or(0).min(20);
        let delay = rule.delay * (1_i32 << doublings);
        Some(self.last_time? + delay.min(rule.longest))
    }

    /// How long a try at `now` would have to wait. None when it may be made.
    #[must_use]
    pub fn wait(self, rule: Rule, now: Time) -> Option<TimeDelta> {
        let until = self.drained(rule, now).blocked_until(rule)?;
        (until > now).then(|| until - now)
    }

    /// Counts a try, before it is known how it ends: many at once count, too.
    #[must_use]
    pub fn charge(self, rule: Rule, now: Time) -> Self {
        Self {
            failures: self.drained(rule, now).failures.saturating_add(1),
            last_time: Some(now),
        }
    }

    /// Takes a try back that was right, and was counted `from` one state `to` another. Where nothing was counted since, it is
    /// as if it had not been made: it does not keep failures from being forgotten.
    #[must_use]
    pub fn refund(self, from: Self, to: Self) -> Self {
        if self == to {
            return from;
        }
        Self {
            failures: self.failures.saturating_sub(1).max(0),
            ..self
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
    fn what_is_mistyped_now_and_then_on_a_busy_network_never_adds_up() {
        let mut counter = Counter::default();
        for minute in 0..100_000 {
            let now = start() + TimeDelta::seconds(minute * 60);
            let charged = counter.charge(RULE, now);
            // Every eleventh try is wrong.
            counter = if minute % 11 == 0 {
                charged
            } else {
                charged.refund(counter, charged)
            };
            assert_eq!(counter.wait(RULE, now), None, "{minute}");
        }
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::"));
        assert_ne!(network("2001:db8:1:2::"), network("2001:db8:1:3::"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network(""), "");
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
        fn right_try_costs_nothing(failures in 0..i32::MAX - 2, by in 0..86_400_i64) {
            let before = Counter { failures, last_time: Some(start()) };
            let now = start() + TimeDelta::seconds(by);
            let charged = before.charge(RULE, now);
            prop_assert_eq!(charged.refund(before, charged), before);
            let further = charged.charge(RULE, now);
            prop_assert_eq!(further.refund(before, charged).failures, charged.failures);
        }

        #[test]
        fn who_waits_long_enough_may_try_again(failures in 0..i32::MAX, by in 0..86_400_i64) {
            let counter = Counter { failures, last_time: Some(start()) };
            if let Some(wait) = counter.wait(RULE, start() + TimeDelta::seconds(by)) {
                let then = start() + TimeDelta::seconds(by) + wait;
                prop_assert_eq!(counter.wait(RULE, then), None);
            }
            prop_assert_eq!(counter.wait(RULE, start() + FORGET), None);
        }
    }
}
