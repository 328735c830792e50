//! Whether and when a job whose attempt failed is tried again.

use std::time::Duration;

use super::job::Failure;

/// The reason a worker gives when it hands a job back because it shuts down.
pub const WORKER_DRAINED: &str = "WORKER_DRAINED";

/// The reason for an attempt whose worker fell silent.
pub const WORKER_LOST: &str = "WORKER_LOST";

/// The reason for an attempt whose worker came back without it.
pub const WORKER_RESTARTED: &str = "WORKER_RESTARTED";

/// The reason for an attempt that took too long.
pub const ATTEMPT_TIME_LIMIT: &str = "ATTEMPT_TIME_LIMIT";

const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// How often a job is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts that may end badly before the job fails, 1 or more.
    pub max_attempts: u32,
    /// Delay before the second attempt; doubles with every further one, up to a minute.
    pub base_delay: Duration,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Queue the job again after the delay.
    Retry {
        /// Before the next lease.
        delay: Duration,
        /// Whether the attempt counts towards the limit.
        counts: bool,
    },
    /// The job has failed.
    GiveUp,
}

impl RetryPolicy {
    /// Decides what follows a failure, when `failed_attempts` had failed before. `jitter` is 0 to 1.
    #[must_use]
    pub fn decide(&self, failed_attempts: u32, failure: &Failure, jitter: f64) -> Decision {
        if !failure.retryable {
            return Decision::GiveUp;
        }
        if failure.reason == WORKER_DRAINED {
            // The job did nothing wrong: an orderly end of a worker is not held against it.
            return Decision::Retry {
                delay: Duration::ZERO,
                counts: false,
            };
        }
        let failed = failed_attempts.saturating_add(1);
        if failed >= self.max_attempts {
            return Decision::GiveUp;
        }
        let is_worker_gone = failure.reason == WORKER_LOST || failure.reason == WORKER_RESTARTED;
        let delay = if is_worker_gone {
            Duration::ZERO
        } else {
            self.delay(failed, jitter)
        };
        Decision::Retry {
            delay,
            counts: true,
        }
    }

    /// Doubles from attempt to attempt; the jitter spreads it over its upper half.
    fn delay(&self, failed: u32, jitter: f64) -> Duration {
        let doublings = failed.saturating_sub(1).min(16);
        let full = (self.base_delay * 2_u32.pow(doublings)).min(LONGEST_DELAY);
        full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: 3,
        base_delay: Duration::from_secs(2),
    };

    fn check(failed_before: u32, reason: &str, retryable: bool, expected: Option<(f64, bool)>) {
        let failure = Failure {
            reason: reason.to_owned(),
            message: String::new(),
            retryable,
        };
        let decision = POLICY.decide(failed_before, &failure, 1.0);
        let expected = expected.map_or(Decision::GiveUp, |(seconds, counts)| Decision::Retry {
            delay: Duration::from_secs_f64(seconds),
            counts,
        });
        assert_eq!(decision, expected, "{failed_before} {reason}");
    }

    #[test]
    fn three_attempts_with_growing_delay() {
        check(0, "OUT_OF_MEMORY", true, Some((2.0, true)));
        check(1, "OUT_OF_MEMORY", true, Some((4.0, true)));
        check(2, "OUT_OF_MEMORY", true, None);
    }

    #[test]
    fn permanent_failure_is_final() {
        check(0, "REQUEST_INVALID", false, None);
    }

    #[test]
    fn lost_worker_costs_an_attempt_and_no_time() {
        check(1, WORKER_LOST, true, Some((0.0, true)));
        check(2, WORKER_LOST, true, None);
    }

    #[test]
    fn drained_worker_costs_nothing() {
        check(2, WORKER_DRAINED, true, Some((0.0, false)));
    }

    #[test]
    fn delay_is_jittered_and_bounded() {
        assert_eq!(POLICY.delay(1, 0.0), Duration::from_secs(1));
        assert_eq!(POLICY.delay(1, 7.0), Duration::from_secs(2));
        assert_eq!(POLICY.delay(u32::MAX, 1.0), LONGEST_DELAY);
    }
}
