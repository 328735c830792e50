//! Queries: nested fields, lists and field masks.
//!
//! A byte picks the route, and the rest is the query.

use std::sync::LazyLock;

use kinora_transcoder::Found;
use serde_json::json;

use crate::{Reading, check_message, pick, requests};

static REQUESTS: LazyLock<Vec<Found<'static>>> = LazyLock::new(|| requests(Reading::Query));

/// Whether it was of interest.
///
/// # Panics
/// When something does not hold.
#[must_use]
pub fn query(data: &[u8]) -> bool {
    let Some((found, query)) = pick(&REQUESTS, data) else {
        return false;
    };
    let Ok(query) = std::str::from_utf8(query) else {
        return false;
    };
    match found.message_of(Some(query), json!({})) {
        Ok(message) => {
            check_message(&message);
        }
        Err(error) => assert!(error.violations.len() <= 16, "{error:?}"),
    }
    true
}
