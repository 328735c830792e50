//! What clients of the OpenAI API for videos send and expect beyond the contract (ADR 15).
//!
//! `/v1/videos` is one resource for them and for everybody else. They may send it as a form, call the first picture
//! `input_reference`, and are told how long to wait before they ask again.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use kinora_transcoder::{DynamicMessage, Form, Found, Route, read_form, read_json};
use prost_reflect::MessageDescriptor;

use crate::problem::Problem;

mod poll;
mod reference;

pub(super) use poll::header_of;

/// The body that these clients may send in their way.
const REQUEST: &str = "kinora.scheduler.v1.CreateVideoRequest";

/// The message that is the body of a request for a video, or for its estimate. None for other routes.
pub(super) fn body_of(route: &Route) -> Option<MessageDescriptor> {
    let input = route.descriptor().input();
    let body = match route.body_field() {
        Some(field) => input.get_field_by_name(field)?.kind().as_message()?.clone(),
        None => input,
    };
    (route.takes_body() && body.full_name() == REQUEST).then_some(body)
}

/// Makes the message of a request whose body is `message`: JSON, a form, or nothing.
///
/// # Errors
/// A problem that names what cannot be taken.
pub(super) fn message(
    found: &Found<'_>,
    message: &MessageDescriptor,
    headers: &HeaderMap,
    query: Option<&str>,
    body: Bytes,
) -> Result<DynamicMessage, Problem> {
    let json = if body.is_empty() {
        serde_json::json!({})
    } else if is_form(headers) {
        let form = Form {
            message,
            alias: reference::FIELD,
            field: reference::IMAGE,
        };
        read_form(form, content_type(headers), body)?
    } else {
        read_json(&body)?
    };
    Ok(found.message_of(query, reference::adapt(json)?)?)
}

/// Whether a body says that it is a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let essence = content_type(headers).split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("multipart/form-data")
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok());
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_form_says_that_it_is_one() {
        let check = |value: &'static str, expected: bool| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(is_form(&headers), expected, "{value}");
        };
        check("multipart/form-data; boundary=b", true);
        check("Multipart/Form-Data;boundary=b", true);
        check("application/json", false);
        check("multipart/mixed; boundary=b", false);
    }
}
