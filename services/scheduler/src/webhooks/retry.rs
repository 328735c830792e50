//! When a message is tried again, and when an endpoint is left alone. Pure.

use std::time::Duration;

use super::model::{DeliveryState, FailedTry, Health, Outcome};
use crate::domain::job::Time;

/// The shortest time to the next try.
const SHORTEST_DELAY: Duration = Duration::from_secs(1);

/// The longest time to the next try, and the longest that an endpoint is left alone in one go.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);

/// How tries are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRules {
    /// Bound of the first delay; doubles with every failure, up to an hour.
    pub base_delay: Duration,
    /// Failures in a row that open the circuit.
    pub failures_to_open: u32,
    /// How long the circuit stays open at first; doubles with every opening, up to an hour.
    pub base_pause: Duration,
}

/// What becomes of a delivery after a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Where it stands.
    pub state: DeliveryState,
    /// The next try, if there is one.
    pub next_attempt_time: Time,
    /// Whether the try opened the circuit of the endpoint.
    pub opened_circuit: bool,
}

/// A delivery at the end of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Failed tries before this one, since the delivery was made or replayed.
    pub failures: u32,
    /// No try begins after.
    pub give_up_time: Time,
}

impl RetryRules {
    /// Decides what follows from a try, for the delivery and for the endpoint. `chance` is from 0 to 1.
    pub fn settle(
        &self,
        health: &mut Health,
        trial: Trial,
        outcome: &Outcome,
        now: Time,
        chance: f64,
    ) -> Verdict {
        let verdict = |state, next_attempt_time| Verdict {
            state,
            next_attempt_time,
            opened_circuit: false,
        };
        match outcome {
            Outcome::Delivered { .. } => {
                let enabled = health.enabled;
                *health = Health {
                    enabled,
                    ..Health::good()
                };
                verdict(DeliveryState::Delivered, now)
            }
            Outcome::Gone => {
                health.enabled = false;
                verdict(DeliveryState::Failed, now)
            }
            Outcome::Failed(failed) => {
                let opened_circuit = self.count_failure(health, failed, now, chance);
                let next = now + self.delay(trial.failures, failed, chance);
                let state = if next < trial.give_up_time {
                    DeliveryState::Pending
                } else {
                    DeliveryState::Failed
                };
                Verdict {
                    opened_circuit,
                    ..verdict(state, next)
                }
            }
        }
    }

    /// Whether the next try only finds out if the endpoint is back.
    #[must_use]
    pub const fn is_half_open(&self, health: &Health) -> bool {
        health.consecutive_failures >= self.failures_to_open
    }

    /// Exponential with full jitter, and not before the endpoint allows it.
    fn delay(&self, failures: u32, failed: &FailedTry, chance: f64) -> Duration {
        let bound = doubled(self.base_delay, failures);
        let delay = bound.mul_f64(chance).max(SHORTEST_DELAY);
        delay.max(bounded_wish(failed).unwrap_or_default())
    }

    /// Returns whether this failure opened the circuit.
    fn count_failure(
        &self,
        health: &mut Health,
        failed: &FailedTry,
        now: Time,
        chance: f64,
    ) -> bool {
        health.consecutive_failures = health.consecutive_failures.saturating_add(1);
        let is_open = health.paused_until.is_some_and(|until| until > now);
        // Tries that were under way when it opened do not prolong it.
        let opens = self.is_half_open(health) && !is_open;
        if opens {
            let bound = doubled(self.base_pause, health.openings);
            health.openings = health.openings.saturating_add(1);
            health.paused_until = Some(now + bound.mul_f64(f64::midpoint(1.0, chance)));
        }
        if let Some(wish) = bounded_wish(failed) {
            health.paused_until = health.paused_until.max(Some(now + wish));
        }
        opens
    }
}

fn bounded_wish(failed: &FailedTry) -> Option<Duration> {
    failed.retry_after.map(|wish| wish.min(LONGEST_DELAY))
}

fn doubled(base: Duration, times: u32) -> Duration {
    base.saturating_mul(2_u32.saturating_pow(times))
        .min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::webhooks::fixtures::now;

    const RULES: RetryRules = RetryRules {
        base_delay: Duration::from_secs(5),
        failures_to_open: 3,
        base_pause: Duration::from_secs(30),
    };

    fn failed(retry_after: Option<u64>) -> Outcome {
        Outcome::Failed(FailedTry {
            status: Some(503),
            error: "answered with an error",
            retry_after: retry_after.map(Duration::from_secs),
        })
    }

    fn trial(failures: u32) -> Trial {
        let give_up_time = now() + TimeDelta::days(1);
        Trial {
            failures,
            give_up_time,
        }
    }

    fn seconds_to_next(failures: u32, outcome: &Outcome, chance: f64) -> i64 {
        let verdict = RULES.settle(&mut Health::good(), trial(failures), outcome, now(), chance);
        assert_eq!(verdict.state, DeliveryState::Pending);
        (verdict.next_attempt_time - now()).num_seconds()
    }

    #[test]
    fn delays_double_up_to_an_hour_with_full_jitter() {
        let longest: Vec<i64> = (0..12)
            .map(|n| seconds_to_next(n, &failed(None), 1.0))
            .collect();
        assert_eq!(
            longest,
            [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
        );
        assert_eq!(seconds_to_next(u32::MAX, &failed(None), 1.0), 3600);
        assert_eq!(seconds_to_next(4, &failed(None), 0.5), 40);
        assert_eq!(seconds_to_next(9, &failed(None), 0.0), 1);
    }

    #[test]
    fn wish_of_the_endpoint_is_followed_up_to_an_hour() {
        assert_eq!(seconds_to_next(0, &failed(Some(120)), 0.0), 120);
        assert_eq!(seconds_to_next(0, &failed(Some(0)), 0.0), 1);
        assert_eq!(seconds_to_next(0, &failed(Some(u64::MAX)), 0.0), 3600);
        let mut health = Health::good();
        RULES.settle(&mut health, trial(0), &failed(Some(120)), now(), 0.0);
        assert_eq!(health.paused_until, Some(now() + TimeDelta::seconds(120)));
    }

    #[test]
    fn delivery_is_given_up_after_its_time() {
        let over = Trial {
            failures: 3,
            give_up_time: now() + TimeDelta::milliseconds(500),
        };
        let verdict = RULES.settle(&mut Health::good(), over, &failed(None), now(), 0.0);
        assert_eq!(verdict.state, DeliveryState::Failed);
    }

    #[test]
    fn circuit_opens_after_failures_in_a_row_and_closes_with_a_good_try() {
        let mut health = Health::good();
        for count in 1..=2 {
            let verdict = RULES.settle(&mut health, trial(0), &failed(None), now(), 1.0);
            assert_eq!(
                (verdict.opened_circuit, health.consecutive_failures),
                (false, count)
            );
            assert_eq!(health.paused_until, None);
        }
        assert!(
            RULES
                .settle(&mut health, trial(0), &failed(None), now(), 1.0)
                .opened_circuit
        );
        let until = now() + TimeDelta::seconds(30);
        assert_eq!(
            (health.paused_until, RULES.is_half_open(&health)),
            (Some(until), true)
        );
        // One that was under way changes nothing.
        assert!(
            !RULES
                .settle(&mut health, trial(0), &failed(None), now(), 1.0)
                .opened_circuit
        );
        assert_eq!(health.paused_until, Some(until));
        // The probe fails: longer.
        assert!(
            RULES
                .settle(&mut health, trial(0), &failed(None), until, 1.0)
                .opened_circuit
        );
        assert_eq!(health.paused_until, Some(until + TimeDelta::seconds(60)));
        let delivered = Outcome::Delivered { status: 204 };
        let verdict = RULES.settle(&mut health, trial(5), &delivered, until, 1.0);
        assert_eq!(
            (verdict.state, health),
            (DeliveryState::Delivered, Health::good())
        );
    }

    #[test]
    fn gone_disables_the_endpoint() {
        let mut health = Health::good();
        let verdict = RULES.settle(&mut health, trial(0), &Outcome::Gone, now(), 1.0);
        assert_eq!(
            (verdict.state, health.enabled),
            (DeliveryState::Failed, false)
        );
        // A try that was under way and went well does not enable it again.
        RULES.settle(
            &mut health,
            trial(0),
            &Outcome::Delivered { status: 200 },
            now(),
            1.0,
        );
        assert!(!health.enabled);
    }
}
