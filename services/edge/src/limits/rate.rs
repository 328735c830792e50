//! How much is allowed, and the one formula that says whether there is room.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Windows are shown in whole seconds; a bucket must not outlive the memory of a day.
const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// A unit comes every microsecond at most.
const MOST_PER_SECOND: u64 = 1_000_000;

/// A quota of requests in a window: 1 to 1,000,000 for each second of the window, which is 1 second to 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    quota: u64,
    window_seconds: u64,
}

/// What is left after a request was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    /// Whether there was room for it.
    pub(crate) is_within: bool,
    /// Requests that may follow at once.
    pub(crate) remaining: u64,
    /// When one more may, in microseconds.
    pub(crate) next_micros: u64,
}

impl Rate {
    /// Requests in a window.
    pub(crate) const fn quota(self) -> u64 {
        self.quota
    }

    /// The window.
    pub(crate) const fn window_seconds(self) -> u64 {
        self.window_seconds
    }

    /// The time in which one unit comes back, in microseconds: never shorter than what the quota says.
    pub(crate) const fn interval_micros(self) -> u64 {
        (self.window_seconds * 1_000_000).div_ceil(self.quota)
    }

    /// How far a bucket's time may be ahead of the clock, in microseconds.
    pub(crate) const fn capacity_micros(self) -> u64 {
        self.interval_micros() * self.quota
    }

    /// Counts one request of a bucket whose time is `ahead` of the clock, in microseconds; with how far it is ahead then.
    ///
    /// This is the generic cell rate algorithm. A bucket is one point in time, that at which it is full again, and each
    /// request moves it on by an interval. There is room as long as it is no more than the capacity ahead.
    pub(crate) const fn count(self, ahead: u64) -> (bool, u64) {
        let then = ahead + self.interval_micros();
        if then <= self.capacity_micros() {
            (true, then)
        } else {
            (false, ahead)
        }
    }

    /// What the place of a bucket means.
    pub(crate) const fn level(self, is_within: bool, ahead: u64) -> Level {
        let interval = self.interval_micros();
        let room = self.capacity_micros().saturating_sub(ahead);
        let next_micros = match ahead {
            0 => 0,
            // Only after a limit was made smaller.
            _ if ahead > self.capacity_micros() => ahead - self.capacity_micros() + interval,
            _ => interval - room % interval,
        };
        Level {
            is_within,
            remaining: room / interval,
            next_micros,
        }
    }
}

impl Level {
    /// When one more request may be made, in whole seconds that are never too early.
    pub(crate) const fn next_seconds(self) -> u64 {
        self.next_micros.div_ceil(1_000_000)
    }
}

/// The text is no [`Limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be requests and a window of whole seconds, such as 600/1m, or off; at most 1,000,000 a second, and a window of 24 hours"
)]
pub struct InvalidLimit;

/// A rate, or none at all. Written as `600/1m` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub Option<Rate>);

impl FromStr for Limit {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        if text == "off" {
            return Ok(Self(None));
        }
        let (quota, window) = text.split_once('/').ok_or(InvalidLimit)?;
        let quota = quota.parse().map_err(|_| InvalidLimit)?;
        let window = humantime::parse_duration(window).map_err(|_| InvalidLimit)?;
        let window_seconds = window.as_secs();
        let is_whole = window.subsec_nanos() == 0 && window_seconds >= 1;
        let is_rate = (1..=window_seconds.saturating_mul(MOST_PER_SECOND)).contains(&quota);
        if !is_whole || !is_rate || window > LONGEST_WINDOW {
            return Err(InvalidLimit);
        }
        Ok(Self(Some(Rate {
            quota,
            window_seconds,
        })))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("off"),
            Some(rate) => {
                let window = Duration::from_secs(rate.window_seconds);
                write!(f, "{}/{}", rate.quota, humantime::format_duration(window))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse::<Limit>().unwrap().0.unwrap()
    }

    #[test]
    fn limits_are_read_and_written() {
        for text in ["600/1m", "1/1s", "1000000/1s", "7/24h", "off"] {
            let limit: Limit = text.parse().unwrap();
            assert_eq!(limit.to_string().parse(), Ok(limit), "{text}");
        }
        assert_eq!(rate("600/1m").window_seconds(), 60);
        for text in [
            "",
            "0/1m",
            "-1/1m",
            "600",
            "600/",
            "/1m",
            "600/500ms",
            "600/1500ms",
            "600/0s",
            "1000001/1s",
            "1/25h",
            "18446744073709551615/24h",
            "on",
        ] {
            assert_eq!(text.parse::<Limit>(), Err(InvalidLimit), "{text}");
        }
    }

    #[test]
    fn exactly_the_quota_fits_at_once_also_where_it_does_not_divide_the_window() {
        for text in ["1/1s", "7/1s", "600/1m", "999983/1s", "86399/24h"] {
            let rate = rate(text);
            let mut ahead = 0;
            for left in (0..rate.quota()).rev() {
                let (is_within, then) = rate.count(ahead);
                let level = rate.level(is_within, then);
                assert!(is_within, "{text}, {left} left");
                assert_eq!(level.remaining, left, "{text}");
                ahead = then;
            }
            assert_eq!(rate.count(ahead), (false, ahead), "{text}");
        }
    }

    #[test]
    fn one_comes_back_after_an_interval() {
        let rate = rate("10/1m");
        let full = rate.capacity_micros();
        assert_eq!(rate.level(false, full).next_seconds(), 6);
        assert_eq!(rate.level(false, full - 5_999_999).next_micros, 1);
        let (is_within, ahead) = rate.count(full - 6_000_000);
        assert_eq!((is_within, ahead), (true, full));
        assert_eq!(rate.level(true, 6_000_000).remaining, 9);
        assert_eq!(rate.level(true, 6_000_000).next_seconds(), 6);
        assert_eq!(rate.level(true, 0).next_seconds(), 0);
    }

    #[test]
    fn a_bucket_of_a_larger_limit_is_waited_for() {
        let rate = rate("10/1m");
        let level = rate.level(false, 120_000_000);
        assert_eq!((level.remaining, level.next_seconds()), (0, 66));
    }
}
