//! Whether and when a job whose attempt failed is tried again.

use std::time::Duration;

use super::job::Failure;

/// The reason a worker gives when it hands a job back because it shuts down.
pub const WORKER_DRAINED: &str = "WORKER_DRAINED";

/// The reason a worker gives when it hands a job back because a higher class needs its place.
pub const PREEMPTED: &str = "PREEMPTED";

/// The reason for an attempt whose worker fell silent.
pub const WORKER_LOST: &str = "WORKER_LOST";

/// The reason for an attempt whose worker came back without it.
pub const WORKER_RESTARTED: &str = "WORKER_RESTARTED";

/// The reason for an attempt that took too long.
pub const ATTEMPT_TIME_LIMIT: &str = "ATTEMPT_TIME_LIMIT";

/// The reason a job fails for when it has cost that many workers, one after the other.
pub const POISONED: &str = "POISONED";

/// A job that lost this many workers in a row without getting on is taken out of circulation.
pub const MOST_LOST_WORKERS: u32 = 3;

/// Beyond this many, giving a job back counts as any failure: no worker can keep one from ever ending.
pub const MOST_HAND_BACKS: u32 = 100;

/// Whether a failure tells that the worker is gone.
#[must_use]
pub fn is_worker_gone(failure: &Failure) -> bool {
    failure.reason == WORKER_LOST || failure.reason == WORKER_RESTARTED
}

/// Whether a failure only gives the job back: the job did nothing wrong.
#[must_use]
pub fn is_hand_back(failure: &Failure) -> bool {
    failure.reason == WORKER_DRAINED || failure.reason == PREEMPTED
}

const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// How often a job is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts that may end badly before the job fails, 1 or more.
    pub max_attempts: u32,
    /// Delay before the second attempt; doubles with every further one, up to a minute.
    pub base_delay: Duration,
}

/// What a job has gone through when an attempt ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Attempts that ended badly before.
    pub failed_attempts: u32,
    /// How often the job was given back unfinished before.
    pub hand_backs: u32,
    /// Whether the attempt stored a checkpoint beyond the one it was granted.
    pub has_advanced: bool,
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
    /// Decides what follows a failure. `jitter` is 0 to 1.
    ///
    /// An attempt that was cut off does not count when it has advanced: a long job outlives any number of workers, and a
    /// job that kills its workers without getting on is given up. Steps are finite, so this ends.
    #[must_use]
    pub fn decide(&self, history: History, failure: &Failure, jitter: f64) -> Decision {
        if !failure.retryable {
            return Decision::GiveUp;
        }
        if is_hand_back(failure) && history.hand_backs < MOST_HAND_BACKS {
            return Decision::Retry {
                delay: Duration::ZERO,
                counts: false,
            };
        }
        let is_cut_off = is_worker_gone(failure) || failure.reason == ATTEMPT_TIME_LIMIT;
        let counts = !(is_cut_off && history.has_advanced);
        let failed = history.failed_attempts.saturating_add(1);
        if counts && failed >= self.max_attempts {
            return Decision::GiveUp;
        }
        let delay = if is_worker_gone(failure) {
            Duration::ZERO
        } else {
            self.delay(failed, jitter)
        };
        Decision::Retry { delay, counts }
    }

    /// Doubles from attempt to attempt. Full jitter: what failed together is not tried again together.
    fn delay(&self, failed: u32, jitter: f64) -> Duration {
        let doublings = failed.saturating_sub(1).min(16);
        let full = (self.base_delay * 2_u32.pow(doublings)).min(LONGEST_DELAY);
        full.mul_f64(jitter.clamp(0.0, 1.0))
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
        let history = History {
            failed_attempts: failed_before,
            has_advanced,
            ..History::default()
        };
        let decision = POLICY.decide(history, &failure, 1.0);
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
    fn job_that_is_given_back_pays_nothing() {
        check(2, WORKER_DRAINED, true, Some((0.0, false)));
        check(2, PREEMPTED, true, Some((0.0, false)));
    }

    #[test]
    fn job_that_is_given_back_for_ever_pays_at_last() {
        let failure = Failure {
            reason: PREEMPTED.to_owned(),
            message: String::new(),
            retryable: true,
        };
        let history = History {
            failed_attempts: 2,
            hand_backs: MOST_HAND_BACKS,
            has_advanced: false,
        };
        assert_eq!(POLICY.decide(history, &failure, 1.0), Decision::GiveUp);
    }

    #[test]
    fn delay_is_jittered_and_bounded() {
        assert_eq!(POLICY.delay(1, 0.0), Duration::ZERO);
        assert_eq!(POLICY.delay(2, 0.5), Duration::from_secs(2));
        assert_eq!(POLICY.delay(1, 7.0), Duration::from_secs(2));
        assert_eq!(POLICY.delay(u32::MAX, 1.0), LONGEST_DELAY);
    }
}
