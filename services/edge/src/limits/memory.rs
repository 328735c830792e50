//! Buckets in this process.
//!
//! A bucket that nobody has touched for a window is full, and full buckets need not be kept. So they live in two
//! generations: what is touched moves to the young one, and when that is a window old, or has as many as there may be, the
//! old one goes and the young one takes its place. Nothing is ever looked for to be thrown away. A crowd of addresses, each
//! new, shortens how long buckets are remembered, and never takes more memory.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::rate::{Level, Rate};

/// Buckets of a generation. Two full ones take about 20 MB.
const MOST: usize = 100_000;

/// The buckets of one limit.
pub(super) struct Buckets {
    rate: Rate,
    generations: Mutex<Generations>,
}

/// For each bucket when it is full again. Times are in microseconds since any one moment.
#[derive(Default)]
struct Generations {
    young: HashMap<String, u64>,
    old: HashMap<String, u64>,
    /// When the young one began.
    began: u64,
}

impl Buckets {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            generations: Mutex::default(),
        }
    }

    /// Counts a request at `now`.
    pub(super) fn take(&self, bucket: &str, now: u64) -> Level {
        self.change(bucket, now, |rate, ahead| rate.count(ahead))
    }

    /// Takes back that a request was counted.
    pub(super) fn give_back(&self, bucket: &str, now: u64) -> Level {
        self.change(bucket, now, |rate, ahead| {
            (true, ahead.saturating_sub(rate.interval_micros()))
        })
    }

    fn change(
        &self,
        bucket: &str,
        now: u64,
        change: impl FnOnce(Rate, u64) -> (bool, u64),
    ) -> Level {
        let mut generations = self.generations.lock();
        let outlived = generations.turn(now, self.rate.capacity_micros());
        let full_at = generations.full_at(bucket);
        let (is_within, ahead) = change(self.rate, full_at.saturating_sub(now));
        generations.put(bucket, now + ahead);
        drop(generations);
        // Without the lock: it takes a while.
        drop(outlived);
        self.rate.level(is_within, ahead)
    }
}

impl Generations {
    /// Begins another generation if it is time; with the one that goes.
    fn turn(&mut self, now: u64, lifetime: u64) -> Option<HashMap<String, u64>> {
        let is_over = now.saturating_sub(self.began) > lifetime || self.young.len() >= MOST;
        is_over.then(|| {
            self.began = now;
            let young = std::mem::take(&mut self.young);
            std::mem::replace(&mut self.old, young)
        })
    }

    fn full_at(&self, bucket: &str) -> u64 {
        let known = self.young.get(bucket).or_else(|| self.old.get(bucket));
        known.copied().unwrap_or_default()
    }

    fn put(&mut self, bucket: &str, full_at: u64) {
        match self.young.get_mut(bucket) {
            Some(known) => *known = full_at,
            None => {
                self.young.insert(bucket.to_owned(), full_at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::rate::Limit;

    const SECOND: u64 = 1_000_000;

    fn buckets(limit: &str) -> Buckets {
        Buckets::new(limit.parse::<Limit>().unwrap().0.unwrap())
    }

    fn kept(buckets: &Buckets) -> usize {
        let generations = buckets.generations.lock();
        generations.young.len() + generations.old.len()
    }

    #[test]
    fn buckets_are_apart_and_fill_again() {
        let buckets = buckets("2/1m");
        let within = |bucket, now| buckets.take(bucket, now).is_within;
        assert!(within("a", 0) && within("a", 0) && !within("a", 0));
        assert!(within("b", 0));
        assert!(!within("a", 29 * SECOND) && within("a", 30 * SECOND));
        assert!(!within("a", 31 * SECOND));
        let later = buckets.take("a", 600 * SECOND);
        assert_eq!((later.is_within, later.remaining), (true, 1), "full again");
    }

    #[test]
    fn what_is_given_back_may_be_used_again_and_is_never_more_than_the_quota() {
        let buckets = buckets("2/1m");
        buckets.take("a", 0);
        buckets.take("a", 0);
        assert_eq!(buckets.give_back("a", 0).remaining, 1);
        assert!(buckets.take("a", 0).is_within && !buckets.take("a", 0).is_within);
        for _ in 0..5 {
            buckets.give_back("a", 0);
        }
        assert_eq!(buckets.take("a", 0).remaining, 1);
    }

    #[test]
    fn what_is_spent_stays_known_until_it_has_come_back() {
        let buckets = buckets("60/1m");
        let mut now = 0;
        for round in 0..20 {
            // Generations turn at another moment of each round.
            now += 61 * SECOND + round * 7 * SECOND;
            buckets.take("guest", now - 20 * SECOND);
            let within = |now| {
                let takes = (0..100).map(|_| buckets.take("busy", now).is_within);
                takes.filter(|is_within| *is_within).count()
            };
            assert_eq!(within(now), 60, "round {round}");
            for second in 1..=30 {
                buckets.take("guest", now + second * SECOND);
            }
            assert_eq!(within(now + 30 * SECOND), 30, "round {round}");
            now += 30 * SECOND;
        }
        assert!(kept(&buckets) <= 4);
    }

    #[test]
    fn ten_thousand_new_addresses_a_second_do_not_make_it_grow() {
        let buckets = buckets("600/1m");
        for number in 0..500_000_u64 {
            // Ten thousand a second.
            buckets.take(&number.to_string(), number * 100);
        }
        assert!(kept(&buckets) <= 2 * MOST, "{}", kept(&buckets));
        let again = buckets.take("499999", 50 * SECOND);
        assert!(again.remaining < 599, "the newest ones are known");
    }
}
