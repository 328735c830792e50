//! Days and times as people write them.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat};

const DATE: &str = "is no date such as 2027-01-31, and no time such as 2027-01-31T18:00:00Z";

/// The beginning of a day, or a time, in the form of RFC 3339.
pub(super) fn from_date(text: &str) -> Result<String, String> {
    match date(text) {
        Some(date) => Ok(beginning_of(date)),
        None => time(text),
    }
}

/// The end of a day, which is the beginning of the next one, or a time.
pub(super) fn until_date(text: &str) -> Result<String, String> {
    match date(text) {
        Some(date) => date
            .succ_opt()
            .map(beginning_of)
            .ok_or_else(|| DATE.to_owned()),
        None => time(text),
    }
}

/// A day, and no time.
pub(super) fn day(text: &str) -> Result<String, String> {
    let date = date(text).ok_or("is no day such as 2027-01-31")?;
    Ok(date.format("%Y-%m-%d").to_string())
}

fn date(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

fn beginning_of(date: NaiveDate) -> String {
    let midnight = date.and_time(NaiveTime::MIN).and_utc();
    midnight.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn time(text: &str) -> Result<String, String> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| DATE.to_owned())?;
    Ok(time.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_in_utc_and_times_are_themselves() {
        assert_eq!(until_date("2027-01-31").unwrap(), "2027-02-01T00:00:00Z");
        assert_eq!(from_date("2027-01-31").unwrap(), "2027-01-31T00:00:00Z");
        let noon = "2027-01-31T12:00:00+02:00";
        assert_eq!(until_date(noon).unwrap(), "2027-01-31T10:00:00Z");
        assert_eq!(from_date(noon).unwrap(), "2027-01-31T10:00:00Z");
        assert_eq!(day("2027-01-31").unwrap(), "2027-01-31");
        for text in [
            "",
            "2027",
            "2027-13-01",
            "31.1.2027",
            "2027-01-31T12:00:00",
            "now",
        ] {
            assert!(
                until_date(text).is_err() && from_date(text).is_err(),
                "{text}"
            );
            assert!(day(text).is_err(), "{text}");
        }
    }
}
