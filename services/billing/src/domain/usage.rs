//! What delivered clips took.

use chrono::{NaiveDate, TimeDelta};
use serde::Serialize;
use uuid::Uuid;

use super::Time;
use super::credits::Credits;
use super::payer::Payer;
use super::refusal::Refusal;
use super::sheet::Row;

/// Nobody asks for more days at once.
const MOST_DAYS: i64 = 400;

/// Days, both of them included. In UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    /// The first one.
    pub from: NaiveDate,
    /// The last one.
    pub to: NaiveDate,
}

/// What one person's delivered clips of one model took on one day.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageLine {
    /// `YYYY-MM-DD`, in UTC.
    pub day: String,
    /// The model.
    pub model: String,
    /// The person.
    pub user: Uuid,
    /// Who paid.
    pub payer: Payer,
    /// Delivered clips.
    pub clips: u64,
    /// Of video, as it plays.
    pub seconds: f64,
    /// Captured, without what was refunded.
    pub credits: Credits,
}

/// A line as it stands in a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UsageRow {
    day: String,
    model: String,
    user_id: Uuid,
    /// Empty when the person paid.
    organisation_id: String,
    clips: u64,
    seconds: f64,
    credits: u64,
}

impl From<&UsageLine> for UsageRow {
    fn from(line: &UsageLine) -> Self {
        let organisation = line.payer.organisation();
        Self {
            day: line.day.clone(),
            model: line.model.clone(),
            user_id: line.user,
            organisation_id: organisation.map(|id| id.to_string()).unwrap_or_default(),
            clips: line.clips,
            seconds: line.seconds,
            credits: line.credits.into(),
        }
    }
}

impl Row for UsageRow {
    const HEADING: &'static [&'static str] = &[
        "day",
        "model",
        "user_id",
        "organisation_id",
        "clips",
        "seconds",
        "credits",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.day.clone(),
            self.model.clone(),
            self.user_id.to_string(),
            self.organisation_id.clone(),
            self.clips.to_string(),
            self.seconds.to_string(),
            self.credits.to_string(),
        ]
    }
}

impl Days {
    /// Reads two days, `YYYY-MM-DD`. Empty ones are that of `beginning` and that of `now`.
    ///
    /// # Errors
    /// [`Refusal::DaysInvalid`] for what is no day, and when the last one is before the first or more than 400 days after.
    pub fn parse(from: &str, to: &str, beginning: Time, now: Time) -> Result<Self, Refusal> {
        let to = day_or(to, now)?;
        let from = day_or(from, beginning)?;
        let distance = to.signed_duration_since(from);
        if distance < TimeDelta::zero() || distance.num_days() > MOST_DAYS {
            return Err(Refusal::DaysInvalid);
        }
        Ok(Self { from, to })
    }
}

/// As days stand in the database and in answers.
#[must_use]
pub fn day_of(time: Time) -> String {
    time.date_naive().to_string()
}

fn day_or(text: &str, time: Time) -> Result<NaiveDate, Refusal> {
    if text.is_empty() {
        return Ok(time.date_naive());
    }
    let day: NaiveDate = text.parse().map_err(|_| Refusal::DaysInvalid)?;
    // One spelling each, and none that sorts elsewhere, such as a year of five digits.
    if text.len() == 10 && day.to_string() == text {
        Ok(day)
    } else {
        Err(Refusal::DaysInvalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(from: &str, to: &str) -> Result<(String, String), Refusal> {
        let beginning = "2026-11-10T00:00:00Z".parse().unwrap();
        let now = "2026-11-22T23:59:59Z".parse().unwrap();
        let days = Days::parse(from, to, beginning, now)?;
        Ok((days.from.to_string(), days.to.to_string()))
    }

    #[test]
    fn days_are_those_of_the_window_unless_they_are_given() {
        let days = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
        assert_eq!(parse("", ""), days("2026-11-10", "2026-11-22"));
        assert_eq!(parse("2026-11-22", ""), days("2026-11-22", "2026-11-22"));
        assert_eq!(parse("2025-10-18", ""), days("2025-10-18", "2026-11-22"));
        assert_eq!(
            parse("2024-02-29", "2024-03-01"),
            days("2024-02-29", "2024-03-01")
        );
    }

    #[test]
    fn what_is_no_span_of_days_is_refused() {
        for (from, to) in [
            ("2026-11-23", ""),
            ("2025-10-17", ""),
            ("2026-02-30", "2026-03-01"),
            ("2026-2-3", "2026-03-01"),
            ("20261101", ""),
            ("+12026-11-01", "+12026-11-02"),
            ("yesterday", ""),
            ("2026-11-20", "2026-11-19"),
        ] {
            assert_eq!(parse(from, to), Err(Refusal::DaysInvalid), "{from} {to}");
        }
    }
}
