//! Holds: credits that are set aside for a job, and what may become of them.

use uuid::Uuid;

use super::Time;
use super::credits::Credits;
use super::payer::Payer;
use super::refusal::Refusal;
use super::window::Window;
use super::work::Work;

/// What has become of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldState {
    /// The credits are set aside.
    Open,
    /// A clip was delivered.
    Captured,
    /// The job ended without one.
    Released,
    /// Nobody settled or renewed it in time.
    Expired,
}

impl HoldState {
    const ALL: [Self; 4] = [Self::Open, Self::Captured, Self::Released, Self::Expired];

    /// How it stands in the database.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Open => 1,
            Self::Captured => 2,
            Self::Released => 3,
            Self::Expired => 4,
        }
    }

    /// What stands in the database.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// Credits that are set aside for a job, or were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The job.
    pub job: Uuid,
    /// Who pays.
    pub payer: Payer,
    /// Whose job it is.
    pub user: Uuid,
    /// What it was priced by.
    pub work: Work,
    /// What is set aside.
    pub credits: Credits,
    /// Of that, the price of the preview.
    pub preview_credits: Credits,
    /// The version of the prices.
    pub price_book: u32,
    /// In which it is counted.
    pub window: Window,
    /// What has become of it.
    pub state: HoldState,
    /// Of `credits`, what was captured.
    pub captured: Credits,
    /// Of `captured`, what came back.
    pub refunded: Credits,
    /// The lease under which the clip was delivered.
    pub lease: Option<u64>,
    /// When it was made.
    pub create_time: Time,
    /// When it lapses.
    pub expire_time: Time,
    /// When it was settled or lapsed.
    pub settle_time: Option<Time>,
}

/// How a clip is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// It was, just so.
    Before,
    /// With so many of the credits that are set aside.
    Held(Credits),
    /// With so many from what is there by now: the hold has lapsed, and its credits went back.
    Lapsed(Credits),
}

/// How credits go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// They did.
    Before,
    /// All of them, now.
    Now,
    /// They did when the hold lapsed; from now on nothing can be captured.
    Final,
}

impl Hold {
    /// How a clip that was delivered under `lease` is paid; None for all that is held.
    ///
    /// # Errors
    /// [`Refusal::CaptureExceedsHold`]; [`Refusal::HoldSettled`] when it was released, or captured otherwise.
    pub fn capture(&self, lease: u64, credits: Option<Credits>) -> Result<Capture, Refusal> {
        let credits = credits.unwrap_or(self.credits);
        if credits > self.credits {
            return Err(Refusal::CaptureExceedsHold { held: self.credits });
        }
        match self.state {
            HoldState::Open => Ok(Capture::Held(credits)),
            HoldState::Expired => Ok(Capture::Lapsed(credits)),
            HoldState::Captured if self.lease == Some(lease) && self.captured == credits => {
                Ok(Capture::Before)
            }
            HoldState::Captured | HoldState::Released => Err(Refusal::HoldSettled),
        }
    }

    /// How its credits go back.
    ///
    /// # Errors
    /// [`Refusal::HoldSettled`] when it was captured.
    pub const fn release(&self) -> Result<Release, Refusal> {
        match self.state {
            HoldState::Open => Ok(Release::Now),
            HoldState::Expired => Ok(Release::Final),
            HoldState::Released => Ok(Release::Before),
            HoldState::Captured => Err(Refusal::HoldSettled),
        }
    }

    /// Whether it has lapsed and nobody has noticed.
    #[must_use]
    pub fn is_overdue(&self, now: Time) -> bool {
        self.state == HoldState::Open && self.expire_time <= now
    }

    /// How many of the captured credits come back; None for all that are left.
    ///
    /// # Errors
    /// [`Refusal::HoldNotCaptured`]; [`Refusal::RefundExceedsCapture`], also when nothing is left.
    pub fn refund(&self, credits: Option<Credits>) -> Result<Credits, Refusal> {
        if self.state != HoldState::Captured {
            return Err(Refusal::HoldNotCaptured);
        }
        let left = self.captured.saturating_sub(self.refunded);
        let credits = credits.unwrap_or(left);
        if credits.is_zero() || credits > left {
            return Err(Refusal::RefundExceedsCapture { left });
        }
        Ok(credits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::work::tests::standard;

    fn credits(value: i64) -> Credits {
        Credits::new(value).unwrap()
    }

    fn hold(state: HoldState) -> Hold {
        let now: Time = "2026-11-22T12:00:00Z".parse().unwrap();
        let is_captured = state == HoldState::Captured;
        Hold {
            job: Uuid::nil(),
            payer: Payer::User(Uuid::nil()),
            user: Uuid::nil(),
            work: standard(16),
            credits: credits(1000),
            preview_credits: Credits::ZERO,
            price_book: 1,
            window: Window {
                start: now,
                end: now,
            },
            state,
            captured: credits(if is_captured { 800 } else { 0 }),
            refunded: Credits::ZERO,
            lease: is_captured.then_some(3),
            create_time: now,
            expire_time: now,
            settle_time: None,
        }
    }

    #[test]
    fn a_hold_is_captured_once_and_for_no_more_than_it_holds() {
        let (open, captured) = (hold(HoldState::Open), hold(HoldState::Captured));
        assert_eq!(open.capture(1, None), Ok(Capture::Held(credits(1000))));
        assert_eq!(
            open.capture(9, Some(credits(1))),
            Ok(Capture::Held(credits(1)))
        );
        let too_much = Err(Refusal::CaptureExceedsHold {
            held: credits(1000),
        });
        for state in HoldState::ALL {
            assert_eq!(hold(state).capture(3, Some(credits(1001))), too_much);
        }
        assert_eq!(captured.capture(3, Some(credits(800))), Ok(Capture::Before));
        for (lease, amount) in [(2, Some(800)), (4, Some(800)), (3, Some(799)), (3, None)] {
            let refused = captured.capture(lease, amount.map(credits));
            assert_eq!(refused, Err(Refusal::HoldSettled), "{lease} {amount:?}");
        }
        assert_eq!(
            hold(HoldState::Released).capture(1, None),
            Err(Refusal::HoldSettled)
        );
        let late = hold(HoldState::Expired).capture(1, Some(credits(500)));
        assert_eq!(late, Ok(Capture::Lapsed(credits(500))));
    }

    #[test]
    fn what_was_captured_is_not_released() {
        let release = |state| hold(state).release();
        assert_eq!(release(HoldState::Open), Ok(Release::Now));
        assert_eq!(release(HoldState::Released), Ok(Release::Before));
        assert_eq!(release(HoldState::Expired), Ok(Release::Final));
        assert_eq!(release(HoldState::Captured), Err(Refusal::HoldSettled));
    }

    #[test]
    fn refunds_stay_within_the_capture() {
        let mut captured = hold(HoldState::Captured);
        assert_eq!(captured.refund(None), Ok(credits(800)));
        captured.refunded = credits(700);
        assert_eq!(captured.refund(None), Ok(credits(100)));
        assert_eq!(captured.refund(Some(credits(100))), Ok(credits(100)));
        for refused in [0, 101, i64::MAX] {
            let left = credits(100);
            let refused = captured.refund(Some(credits(refused)));
            assert_eq!(refused, Err(Refusal::RefundExceedsCapture { left }));
        }
        captured.refunded = credits(800);
        let left = Credits::ZERO;
        assert_eq!(
            captured.refund(None),
            Err(Refusal::RefundExceedsCapture { left })
        );
        for state in [HoldState::Open, HoldState::Released, HoldState::Expired] {
            assert_eq!(hold(state).refund(None), Err(Refusal::HoldNotCaptured));
        }
    }

    #[test]
    fn states_are_kept_by_their_codes() {
        for state in HoldState::ALL {
            assert_eq!(HoldState::from_code(state.code()), Some(state));
        }
        assert_eq!(HoldState::from_code(0), None);
    }
}
