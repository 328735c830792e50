//! Whether and when a call that failed is made again.

use std::time::Duration;

use crate::error::{Away, Error, Refusal};

/// How often and how patiently calls are made again, under the same idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all; 1 for no second one. 1 to 10.
    pub tries: u32,
    /// About the pause after the first try; it doubles from try to try.
    pub first_pause: Duration,
    /// No pause is longer. When Stripe asks for a longer one the call ends, and the caller is told.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    /// Four tries within some ten seconds, time-outs aside.
    fn default() -> Self {
        Self {
            tries: 4,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(8),
        }
    }
}

impl RetryPolicy {
    /// Returns the pause before the next try, after `tried` tries; `None` when there is none. `chance` is 0 to 1.
    pub(crate) fn pause(self, tried: u32, failure: &Failure, chance: f64) -> Option<Duration> {
        if tried >= self.tries || !failure.may_pass() {
            return None;
        }
        let doublings = tried.saturating_sub(1);
        let bound = self
            .first_pause
            .saturating_mul(2_u32.saturating_pow(doublings));
        // What failed together is not tried again together.
        let jitter = f64::midpoint(1.0, chance.clamp(0.0, 1.0));
        let pause = bound.min(self.longest_pause).mul_f64(jitter);
        match failure.retry_after() {
            Some(wish) if wish > self.longest_pause => None,
            Some(wish) => Some(pause.max(wish)),
            None => Some(pause),
        }
    }
}

/// What came of one try.
#[derive(Debug)]
pub(crate) enum Failure {
    Away(Away),
    Refused(Refusal),
    /// The answer has too many bytes; it would have as many again.
    TooLong,
}

impl Failure {
    pub(crate) fn into_error(self, tries: u32) -> Error {
        match self {
            Self::Away(problem) => Error::Away { tries, problem },
            Self::Refused(refusal) => refusal.into_error(tries),
            Self::TooLong => Error::Unreadable("it is too long"),
        }
    }

    /// Stripe's word counts where it gives one, but a request that it found wrong stays wrong.
    fn may_pass(&self) -> bool {
        let refusal = match self {
            Self::Away(_) => return true,
            Self::TooLong => return false,
            Self::Refused(refusal) => refusal,
        };
        match (refusal.status, refusal.should_retry) {
            (_, Some(false)) => false,
            (409 | 429, _) => true,
            // A kept answer is given again for as long as the key is known.
            (500..=599, _) => !refusal.is_replayed,
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::Away(_) | Self::TooLong => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        tries: 5,
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(4),
    };

    fn refused(status: u16) -> Refusal {
        Refusal {
            status,
            ..Refusal::default()
        }
    }

    fn is_tried_again(refusal: Refusal) -> bool {
        let failure = Failure::Refused(refusal);
        POLICY.pause(1, &failure, 0.5).is_some()
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_end() {
        let pauses = |chance| -> Vec<Option<u128>> {
            let failure = Failure::Away(Away::Broken);
            let pause = |tried| POLICY.pause(tried, &failure, chance);
            (1..=5)
                .map(|tried| pause(tried).map(|it| it.as_millis()))
                .collect()
        };
        assert_eq!(
            pauses(1.0),
            [Some(1000), Some(2000), Some(4000), Some(4000), None]
        );
        assert_eq!(
            pauses(0.0),
            [Some(500), Some(1000), Some(2000), Some(2000), None]
        );
    }

    #[test]
    fn wrong_requests_are_not_tried_again_whatever_stripe_says() {
        for status in [302, 400, 401, 402, 403, 404, 422, 424] {
            assert!(!is_tried_again(refused(status)), "{status}");
            let mut insistent = refused(status);
            insistent.should_retry = Some(true);
            assert!(!is_tried_again(insistent), "{status}");
        }
    }

    #[test]
    fn passing_trouble_is_tried_again_unless_stripe_says_no() {
        for status in [409, 429, 500, 502, 503] {
            assert!(is_tried_again(refused(status)), "{status}");
            let mut final_word = refused(status);
            final_word.should_retry = Some(false);
            assert!(!is_tried_again(final_word), "{status}");
        }
        let mut kept = refused(500);
        kept.is_replayed = true;
        assert!(!is_tried_again(kept));
    }

    #[test]
    fn stripes_wish_is_kept_and_too_long_a_one_ends_the_call() {
        let after = |seconds| {
            let mut refusal = refused(429);
            refusal.retry_after = Some(Duration::from_secs(seconds));
            POLICY.pause(1, &Failure::Refused(refusal), 0.0)
        };
        assert_eq!(after(3), Some(Duration::from_secs(3)));
        assert_eq!(after(0), Some(Duration::from_millis(500)));
        assert_eq!(after(5), None);
    }

    #[test]
    fn endless_answers_are_asked_for_once() {
        assert_eq!(POLICY.pause(1, &Failure::TooLong, 0.5), None);
    }
}
