//! When a submission may start, and when it is too late for it.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Invalid, Submission};
use crate::domain::job::Time;

const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const SHORTEST_WAIT: Duration = Duration::from_secs(60);

/// The times of an accepted job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// As asked for.
    pub not_before: Option<Time>,
    /// It may start then: now, or when it was asked for.
    pub run_at: Time,
    /// It expires then unless it has started.
    pub expire_at: Option<Time>,
}

impl Schedule {
    /// Reads the times of a submission that is accepted at `now`.
    ///
    /// # Errors
    /// [`Invalid`] for a start more than 30 days ahead, or a wait of less than a minute or more than 30 days.
    pub fn of(submission: &Submission, now: Time) -> Result<Self, Invalid> {
        let latest = now + TimeDelta::from_std(LONGEST).unwrap_or_default();
        if submission.not_before.is_some_and(|asked| asked > latest) {
            let text = "a start may be at most 30 days ahead";
            let invalid = Invalid::new("NOT_BEFORE_INVALID", "not_before", text);
            return Err(invalid.with("max", latest.to_rfc3339()));
        }
        let run_at = submission.not_before.map_or(now, |asked| asked.max(now));
        let expire_at = match submission.expire_after {
            Some(wait) if !(SHORTEST_WAIT..=LONGEST).contains(&wait) => {
                let text = "the time to wait for the start must be from 1 minute to 30 days";
                let invalid = Invalid::new("EXPIRE_AFTER_INVALID", "expire_after", text);
                return Err(invalid
                    .with("min", SHORTEST_WAIT.as_secs())
                    .with("max", LONGEST.as_secs()));
            }
            Some(wait) => Some(run_at + TimeDelta::from_std(wait).unwrap_or_default()),
            None => None,
        };
        Ok(Self {
            not_before: submission.not_before,
            run_at,
            expire_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Time {
        Time::UNIX_EPOCH
    }

    fn check(
        not_before: Option<i64>,
        wait: Option<u64>,
        expected: Result<(i64, Option<i64>), &str>,
    ) {
        let submission = Submission {
            not_before: not_before.map(|seconds| start() + TimeDelta::seconds(seconds)),
            expire_after: wait.map(Duration::from_secs),
            ..Submission::default()
        };
        let seconds = |time: Time| (time - start()).num_seconds();
        let found = Schedule::of(&submission, start())
            .map(|times| (seconds(times.run_at), times.expire_at.map(seconds)))
            .map_err(|invalid| invalid.reason);
        assert_eq!(found, expected, "{not_before:?} {wait:?}");
    }

    #[test]
    fn waiting_counts_from_the_start_that_was_asked_for() {
        check(None, None, Ok((0, None)));
        check(Some(-9), Some(60), Ok((0, Some(60))));
        check(Some(100), Some(60), Ok((100, Some(160))));
        check(
            Some(30 * 86_400),
            Some(30 * 86_400),
            Ok((30 * 86_400, Some(60 * 86_400))),
        );
    }

    #[test]
    fn times_out_of_range_are_refused() {
        check(Some(30 * 86_400 + 1), None, Err("NOT_BEFORE_INVALID"));
        for wait in [0, 59, 30 * 86_400 + 1, u64::MAX] {
            check(None, Some(wait), Err("EXPIRE_AFTER_INVALID"));
        }
    }
}
