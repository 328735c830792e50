//! Headers that mean a field of a request, or its deadline.
//!
//! A header is read where the request has its field, and passed over elsewhere.

use std::time::Duration;

use axum::http::HeaderMap;
use kinora_transcoder::{DynamicMessage, set_text};
use prost_reflect::Value;

use crate::problem::Problem;

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// `true` makes a new video although an equal request was accepted within the last minute.
const ALLOW_DUPLICATE: &str = "Allow-Duplicate";

/// The last event that a client has, which `EventSource` sends by itself.
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// How long a client waits for an answer, in seconds.
const REQUEST_TIMEOUT: &str = "X-Request-Timeout";

/// Sets the fields that stand in headers.
///
/// # Errors
///
/// A 400 [`Problem`] that names the header when it makes no sense, or says something else than the body.
pub(super) fn apply(headers: &HeaderMap, message: &mut DynamicMessage) -> Result<(), Problem> {
    set_request_id(headers, message)?;
    set_allow_duplicate(headers, message)?;
    set_after_seq(headers, message)
}

/// How long a call may take: what the client asks for, and `most` at most.
///
/// # Errors
///
/// A 400 [`Problem`] when the header is no number of seconds above 0.
pub(super) fn timeout(headers: &HeaderMap, most: Duration) -> Result<Duration, Problem> {
    let wanted = match single(headers, REQUEST_TIMEOUT) {
        Ok(None) => return Ok(most),
        Ok(Some(text)) => seconds(text),
        Err(_) => None,
    };
    let detail = "must stand once, as a decimal number of seconds above 0";
    wanted
        .map(|wanted| wanted.min(most))
        .ok_or_else(|| Problem::invalid(REQUEST_TIMEOUT, detail))
}

/// Whoever sends the same request again sends the same key.
fn set_request_id(headers: &HeaderMap, message: &mut DynamicMessage) -> Result<(), Problem> {
    let field = "request_id";
    let Some(value) = message.get_field_by_name(field) else {
        return Ok(());
    };
    let in_body = value.as_str().unwrap_or_default();
    let key = match single(headers, IDEMPOTENCY_KEY) {
        Ok(None) => return Ok(()),
        Ok(Some(key)) if is_key(key) => key,
        _ => {
            let detail = "must stand once, as 1 to 128 visible ASCII characters";
            return Err(Problem::invalid(IDEMPOTENCY_KEY, detail));
        }
    };
    if !in_body.is_empty() && in_body != key {
        let detail = "must be the same as `request_id` in the body";
        return Err(Problem::invalid(IDEMPOTENCY_KEY, detail));
    }
    set_text(message, field, key);
    Ok(())
}

fn set_allow_duplicate(headers: &HeaderMap, message: &mut DynamicMessage) -> Result<(), Problem> {
    let field = "allow_duplicate";
    if message.get_field_by_name(field).is_none() {
        return Ok(());
    }
    match single(headers, ALLOW_DUPLICATE) {
        Ok(None | Some("false")) => Ok(()),
        Ok(Some("true")) => {
            message.set_field_by_name(field, Value::Bool(true));
            Ok(())
        }
        _ => {
            let detail = "must stand once, as true or false";
            Err(Problem::invalid(ALLOW_DUPLICATE, detail))
        }
    }
}

/// The header wins over the query: a client that comes back repeats the URL it began with.
fn set_after_seq(headers: &HeaderMap, message: &mut DynamicMessage) -> Result<(), Problem> {
    let field = "after_seq";
    if message.get_field_by_name(field).is_none() {
        return Ok(());
    }
    let number = match single(headers, LAST_EVENT_ID) {
        Ok(None) => return Ok(()),
        Ok(Some(text)) => text.parse::<u32>().ok(),
        Err(_) => None,
    };
    let detail = "must be the id of an event, a whole number";
    let number = number.ok_or_else(|| Problem::invalid(LAST_EVENT_ID, detail))?;
    message.set_field_by_name(field, Value::U32(number));
    Ok(())
}

fn is_key(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn seconds(text: &str) -> Option<Duration> {
    let is_decimal = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let number: f64 = text.parse().ok().filter(|_| text.bytes().all(is_decimal))?;
    let duration = Duration::try_from_secs_f64(number).ok()?;
    (!duration.is_zero()).then_some(duration)
}

/// The header stands more than once, or is no text.
struct Odd;

/// A header that may stand once, as text.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Odd> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(Odd),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const MOST: Duration = Duration::from_secs(10);

    fn of(values: &[&'static str]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(REQUEST_TIMEOUT, HeaderValue::from_static(value));
        }
        timeout(&headers, MOST).ok()
    }

    #[test]
    fn a_client_shortens_its_time_and_never_lengthens_it() {
        assert_eq!(of(&[]), Some(MOST));
        assert_eq!(of(&["2.5"]), Some(Duration::from_millis(2500)));
        assert_eq!(of(&["3600"]), Some(MOST));
    }

    #[test]
    fn times_that_make_no_sense_are_refused() {
        let huge: &'static str = "99999999999999999999999999";
        for odd in [
            "", "0", "0.0", "-1", "1e3", "inf", "nan", "5s", ".", "1.2.3", huge,
        ] {
            assert_eq!(of(&[odd]), None, "{odd}");
        }
        assert_eq!(of(&["1", "2"]), None);
    }
}
