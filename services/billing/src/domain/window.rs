//! The spans in which allowances come and spending is counted.
//!
//! Without a word from the operator that is a month from the payer's first day on: it begins at midnight (UTC) on the day of
//! the month on which the payer was first seen, or on the last day of a month that is too short for it.

use chrono::{Datelike, Months, NaiveDate, NaiveTime, TimeDelta};

use super::Time;
use super::refusal::Refusal;

/// No window of an operator is longer.
const LONGEST: TimeDelta = TimeDelta::days(400);

/// A span of time, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its beginning.
    pub start: Time,
    /// What is no longer in it.
    pub end: Time,
}

impl Window {
    /// A window of an operator.
    ///
    /// # Errors
    /// [`Refusal::WindowInvalid`] unless it ends after it begins, after now, and at most 400 days later.
    pub fn of_operator(start: Time, end: Time, now: Time) -> Result<Self, Refusal> {
        let length = end.signed_duration_since(start);
        if end <= now || length <= TimeDelta::zero() || length > LONGEST {
            return Err(Refusal::WindowInvalid);
        }
        Ok(Self { start, end })
    }

    /// Whether a moment lies in it.
    #[must_use]
    pub fn contains(&self, time: Time) -> bool {
        self.start <= time && time < self.end
    }
}

/// The window of a payer at `now`: the operator's while it lasts, else the month since `first_seen`.
#[must_use]
pub fn window_at(first_seen: Time, operators: Option<Window>, now: Time) -> Window {
    match operators.filter(|window| window.contains(now)) {
        Some(window) => window,
        None => month_at(first_seen, now),
    }
}

fn month_at(first_seen: Time, now: Time) -> Window {
    let anchor = first_seen.date_naive();
    let today = now.date_naive();
    let months = months_between(anchor, today);
    let this = months_after(anchor, months);
    // On the days before the anchor's day of a month its window has not begun.
    let months = if today < this { months - 1 } else { months };
    Window {
        start: midnight(months_after(anchor, months)),
        end: midnight(months_after(anchor, months + 1)),
    }
}

/// From the month of one day to the month of another, whatever the days.
fn months_between(anchor: NaiveDate, day: NaiveDate) -> i64 {
    let count = |date: NaiveDate| i64::from(date.year()) * 12 + i64::from(date.month0());
    count(day) - count(anchor)
}

/// The same day so many months later, or the last one of a shorter month. Beyond the years that there are, the last one.
fn months_after(anchor: NaiveDate, months: i64) -> NaiveDate {
    let distance = Months::new(u32::try_from(months.unsigned_abs()).unwrap_or(u32::MAX));
    if months < 0 {
        anchor
            .checked_sub_months(distance)
            .unwrap_or(NaiveDate::MIN)
    } else {
        anchor
            .checked_add_months(distance)
            .unwrap_or(NaiveDate::MAX)
    }
}

/// The beginning of a day.
fn midnight(day: NaiveDate) -> Time {
    day.and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> Time {
        let text = if text.contains('T') {
            text.to_owned()
        } else {
            format!("{text}T00:00:00")
        };
        format!("{text}Z").parse().unwrap()
    }

    #[track_caller]
    fn check(first_seen: &str, now: &str, start: &str, end: &str) {
        let window = window_at(time(first_seen), None, time(now));
        let expected = Window {
            start: time(start),
            end: time(end),
        };
        assert_eq!(window, expected, "{first_seen} at {now}");
    }

    #[test]
    fn months_are_anchored_at_the_first_day() {
        check(
            "2026-11-22T12:34:56",
            "2026-11-22T12:34:56",
            "2026-11-22",
            "2026-12-22",
        );
        check(
            "2026-11-22",
            "2026-12-21T23:59:59",
            "2026-11-22",
            "2026-12-22",
        );
        check("2026-11-22", "2026-12-22", "2026-12-22", "2027-01-22");
        check("2026-11-22", "2030-02-01", "2030-01-22", "2030-02-22");
    }

    #[test]
    fn short_months_end_a_window_early_and_do_not_move_the_next_one() {
        check("2026-01-31", "2026-02-27", "2026-01-31", "2026-02-28");
        check("2026-01-31", "2026-02-28", "2026-02-28", "2026-03-31");
        check("2026-01-31", "2026-03-30", "2026-02-28", "2026-03-31");
        check("2026-01-31", "2026-03-31", "2026-03-31", "2026-04-30");
        check("2026-01-31", "2028-02-29", "2028-02-29", "2028-03-31");
        check("2024-02-29", "2025-02-28", "2025-02-28", "2025-03-29");
        check("2026-12-31", "2027-01-01", "2026-12-31", "2027-01-31");
    }

    #[test]
    fn clock_before_the_first_day_is_in_a_window_too() {
        check(
            "2026-11-22",
            "2026-11-21T23:59:59",
            "2026-10-22",
            "2026-11-22",
        );
        check("2026-03-31", "2026-02-28", "2026-02-28", "2026-03-31");
    }

    #[test]
    fn an_operators_window_holds_while_it_lasts() {
        let contest = Window {
            start: time("2026-12-10"),
            end: time("2026-12-20"),
        };
        let at = |now: &str| window_at(time("2026-11-22"), Some(contest), time(now));
        let month = Window {
            start: time("2026-11-22"),
            end: time("2026-12-22"),
        };
        assert_eq!(at("2026-12-09T23:59:59"), month);
        assert_eq!(at("2026-12-10"), contest);
        assert_eq!(at("2026-12-19T23:59:59"), contest);
        assert_eq!(at("2026-12-20"), month);
    }

    #[test]
    fn an_operators_window_ends_after_it_begins_and_after_now() {
        let now = time("2026-12-01");
        let made = |start, end| Window::of_operator(time(start), time(end), now);
        assert!(made("2026-11-01", "2026-12-02").is_ok());
        assert!(made("2027-01-01", "2028-02-05").is_ok());
        for (start, end) in [
            ("2026-11-01", "2026-12-01"),
            ("2026-12-10", "2026-12-10"),
            ("2026-12-11", "2026-12-10"),
            ("2027-01-01", "2028-02-06"),
        ] {
            assert_eq!(
                made(start, end),
                Err(Refusal::WindowInvalid),
                "{start} {end}"
            );
        }
    }

    fn times() -> impl Strategy<Value = Time> {
        // 1970 to 2100, to the second.
        (0_i64..4_102_444_800).prop_map(|seconds| Time::from_timestamp(seconds, 0).unwrap())
    }

    proptest! {
        #[test]
        fn windows_follow_each_other_without_gaps(first_seen in times(), now in times()) {
            let window = window_at(first_seen, None, now);
            prop_assert!(window.contains(now));
            let next = window_at(first_seen, None, window.end);
            prop_assert_eq!(next.start, window.end);
            let before = window_at(first_seen, None, window.start - TimeDelta::seconds(1));
            prop_assert_eq!(before.end, window.start);
        }

        #[test]
        fn windows_are_months(first_seen in times(), now in times()) {
            let window = window_at(first_seen, None, now);
            let days = (window.end - window.start).num_days();
            prop_assert!((28..=31).contains(&days), "{days}");
            let (anchor, start) = (first_seen.date_naive(), window.start.date_naive());
            let is_last = (start + TimeDelta::days(1)).month() != start.month();
            prop_assert!(start.day() == anchor.day() || (start.day() < anchor.day() && is_last));
        }
    }
}
