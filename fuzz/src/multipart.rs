//! Forms: the request for a video in `multipart/form-data`.
//!
//! The first line is the header with the boundary, and the rest is the body.

use std::sync::LazyLock;

use http::Method;
use kinora_transcoder::{Form, Found, read_form};
use prost_reflect::MessageDescriptor;

use crate::{ROUTES, check_message};

/// The request that may be a form, and its message.
static REQUEST: LazyLock<(Found<'static>, MessageDescriptor)> = LazyLock::new(|| {
    let found = ROUTES.find(&Method::POST, "/v1/videos").expect("the route");
    let message = found.route.descriptor().input();
    (found, message)
});

/// Whether it was of interest.
///
/// # Panics
/// When something does not hold.
#[must_use]
pub fn multipart(data: &[u8]) -> bool {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else {
        return false;
    };
    let (header, body) = data.split_at(end);
    let Ok(header) = std::str::from_utf8(header) else {
        return false;
    };
    let (found, message) = &*REQUEST;
    let form = Form {
        message,
        alias: "input_reference",
        field: "image",
    };
    let body = body.get(1..).unwrap_or_default().to_vec();
    let Ok(json) = read_form(form, header, body.into()) else {
        return true;
    };
    let members = json.as_object().expect("an object");
    assert!(members.len() <= 32, "{members:?}");
    if let Ok(message) = found.message_of(None, json) {
        check_message(&message);
    }
    true
}
