//! Until when a call is of use, as gRPC says it: eight digits at most, and a unit.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

const HEADER: &str = "grpc-timeout";

/// No greater number may stand there.
const MAX_NUMBER: u128 = 99_999_999;

/// When a call ends that begins now. None when it has no deadline, or one that cannot be read.
#[must_use]
pub fn of(headers: &HeaderMap) -> Option<Instant> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    Instant::now().checked_add(read(text)?)
}

/// Writes what is left of the time until `deadline`, for the next one who is called or the next try.
pub fn write(headers: &mut HeaderMap, deadline: Option<Instant>) {
    let Some(deadline) = deadline else { return };
    let left = deadline.saturating_duration_since(Instant::now());
    if let Ok(value) = HeaderValue::from_str(&format(left)) {
        headers.insert(HEADER, value);
    }
}

fn read(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    let duration = match unit {
        "H" => Duration::from_secs(number.checked_mul(60 * 60)?),
        "M" => Duration::from_secs(number.checked_mul(60)?),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(duration)
}

/// In the smallest unit that it fits in, rounded down.
fn format(left: Duration) -> String {
    let units = [(left.as_micros(), 'u'), (left.as_millis(), 'm')];
    let fits = units.into_iter().find(|(number, _)| *number <= MAX_NUMBER);
    let (number, unit) = fits.unwrap_or((u128::from(left.as_secs()).min(MAX_NUMBER), 'S'));
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Duration>) {
        assert_eq!(read(text), expected, "{text}");
    }

    #[test]
    fn deadlines_are_read_in_all_units() {
        check("2H", Some(Duration::from_secs(7200)));
        check("3M", Some(Duration::from_secs(180)));
        check("4S", Some(Duration::from_secs(4)));
        check("5m", Some(Duration::from_millis(5)));
        check("6u", Some(Duration::from_micros(6)));
        check("7n", Some(Duration::from_nanos(7)));
        for text in ["", "S", "1", "1s", "-1S", "1.5S", "1µ"] {
            check(text, None);
        }
    }

    #[test]
    fn what_is_left_is_written_as_it_is_read_but_for_the_last_digits() {
        for micros in [0, 1, 99_999_999, 100_000_000, 3_600_000_000, u64::MAX / 2] {
            let left = Duration::from_micros(micros);
            let text = format(left);
            let again = read(&text).unwrap();
            assert!(text.len() <= 9, "{text}");
            let is_cut = left.as_secs() > 99_999_999;
            assert!(is_cut || again <= left, "{text}");
            assert!(is_cut || left - again < Duration::from_secs(1), "{text}");
        }
    }
}
