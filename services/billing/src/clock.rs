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

/// A clock that is set by hand, for tests.
#[cfg(test)]
pub mod testing {
    use parking_lot::Mutex;

    use super::{Clock, Time};

    /// Stands still until it is moved.
    pub struct ManualClock(Mutex<Time>);

    impl ManualClock {
        /// Begins at some time on a Sunday in 2026.
        pub fn new() -> Self {
            let start = "2026-11-22T12:00:00Z".parse().unwrap();
            Self(Mutex::new(start))
        }

        /// Moves it to some time.
        pub fn set(&self, time: Time) {
            *self.0.lock() = time;
        }

        /// Moves it on.
        pub fn advance(&self, by: chrono::TimeDelta) {
            *self.0.lock() += by;
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> Time {
            *self.0.lock()
        }
    }
}
