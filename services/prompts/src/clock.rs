//! What time it is.

use chrono::Utc;

use crate::domain::Time;

/// Tells the time. Passed in, so that tests can have their own.
pub trait Clock: Send + Sync {
    /// The present, to the microsecond that databases keep.
    fn now(&self) -> Time;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let now = Utc::now();
        Time::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }
}
