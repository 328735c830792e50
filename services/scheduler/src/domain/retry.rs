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
    /// Decides what follows a failure, when `failed_attempts` had failed before. `has_advanced` tells whether the attempt
    /// stored a checkpoint beyond the one it was granted. `jitter` is 0 to 1.
    ///
    /// An attempt that was cut off does not count when it has advanced: a long job outlives any number of workers, and a
    /// job that kills its workers without getting on is given up. Steps are finite, so this ends.
    #[must_use]
    pub fn decide(
        &self,
        failed_attempts: u32,
        failure: &Failure,
        has_advanced: bool,
        jitter: f64,
    ) -> Decision {
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
        let is_worker_gone = failure.reason == WORKER_LOST || failure.reason == WORKER_RESTARTED;
        let is_cut_off = is_worker_gone || failure.reason == ATTEMPT_TIME_LIMIT;
        let counts = !(is_cut_off && has_advanced);
        let failed = failed_attempts.saturating_add(1);
        if counts && failed >= self.max_attempts {
            return Decision::GiveUp;
        }
        let delay = if is_worker_gone {
            Duration::ZERO
        } else {
            self.delay(failed, jitter)
        };
        Decision::Retry { delay, counts }
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
        check_advanced(failed_before, reason, (retryable, false), expected);
    }

    fn check_advanced(
        failed_before: u32,
        reason: &str,
        (retryable, has_advanced): (bool, bool),
        expected: Option<(f64, bool)>,
    ) {
        let failure = Failure {
            reason: reason.to_owned(),
            message: String::new(),
            retryable,
        };
        let decision = POLICY.decide(failed_before, &failure, has_advanced, 1.0);
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
    fn attempt_that_was_cut_off_costs_nothing_when_it_has_advanced() {
        let advanced = (true, true);
        check_advanced(2, WORKER_LOST, advanced, Some((0.0, false)));
        check_advanced(2, WORKER_RESTARTED, advanced, Some((0.0, false)));
        check_advanced(0, ATTEMPT_TIME_LIMIT, advanced, Some((2.0, false)));
        check_advanced(2, ATTEMPT_TIME_LIMIT, advanced, Some((8.0, false)));
    }

    #[test]
    fn attempt_that_broke_costs_one_however_far_it_came() {
        let advanced = (true, true);
        check_advanced(0, "OUT_OF_MEMORY", advanced, Some((2.0, true)));
        check_advanced(2, "OUT_OF_MEMORY", advanced, None);
        check_advanced(0, WORKER_LOST, (false, true), None);
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
