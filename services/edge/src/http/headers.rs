//! Headers that say how a submission is to be taken.

use axum::http::HeaderMap;

use crate::problem::Problem;

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// `true` makes a new video although an equal request was accepted within the last minute.
const ALLOW_DUPLICATE: &str = "Allow-Duplicate";

/// The caller's own id of a request; empty for none.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<String, Problem> {
    let is_legal = |text: &str| {
        (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match single(headers, IDEMPOTENCY_KEY) {
        Ok(None) => Ok(String::new()),
        Ok(Some(text)) if is_legal(text) => Ok(text.to_owned()),
        _ => Err(Problem::invalid(
            IDEMPOTENCY_KEY,
            "must stand once, as 1 to 128 visible ASCII characters",
        )),
    }
}

/// Whether equal requests are to make videos of their own.
pub(super) fn allows_duplicate(headers: &HeaderMap) -> Result<bool, Problem> {
    match single(headers, ALLOW_DUPLICATE) {
        Ok(None | Some("false")) => Ok(false),
        Ok(Some("true")) => Ok(true),
        _ => Err(Problem::invalid(
            ALLOW_DUPLICATE,
            "must stand once, as true or false",
        )),
    }
}

/// A header that may stand once, as text.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(()),
    }
}
