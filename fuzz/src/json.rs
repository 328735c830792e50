//! Bodies in JSON: values of every kind, data URLs, depth.
//!
//! A byte picks the route, and the rest is the body.

use std::sync::LazyLock;

use kinora_transcoder::{Found, read_json};
use prost::Message;

use crate::{Reading, check_message, pick, requests};

static REQUESTS: LazyLock<Vec<Found<'static>>> = LazyLock::new(|| requests(Reading::Body));

/// Whether it was of interest.
///
/// # Panics
/// When something does not hold.
#[must_use]
pub fn json(data: &[u8]) -> bool {
    let Some((found, body)) = pick(&REQUESTS, data) else {
        return false;
    };
    let message = match found.message(None, body) {
        Ok(message) => message,
        Err(error) => {
            assert!(error.violations.len() <= 16, "{error:?}");
            return true;
        }
    };
    if !body.is_empty() {
        let value = read_json(body).expect("what was read before");
        let other: serde_json::Value =
            serde_json::from_slice(body).expect("what another reader takes");
        assert_eq!(value, other);
    }
    let json = check_message(&message);
    if found.route.body_field().is_none() {
        let again = found.message_of(None, json);
        let again =
            again.unwrap_or_else(|error| panic!("{message:?} is not taken again: {error:?}"));
        // As bytes: a field that was given its default says the same as one that was left out.
        assert_eq!(
            again.encode_to_vec(),
            message.encode_to_vec(),
            "{message:?} became {again:?}"
        );
    }
    true
}
