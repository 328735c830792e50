//! What clients of the OpenAI API for videos send and expect beyond the contract (ADR 15).
//!
//! `/v1/videos` is one resource for them and for everybody else. They may send it as a form, call the first picture
//! `input_reference`, and are told how long to wait before they ask again.

use axum::body::Bytes;
use axum::http::HeaderMap;
use kinora_transcoder::{DynamicMessage, Found, Route, read_json};
use prost_reflect::MessageDescriptor;

use crate::problem::Problem;

mod form;
mod poll;
mod reference;

pub(super) use form::is_form;
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
        form::read(headers, body, message)?
    } else {
        read_json(&body)?
    };
    Ok(found.message_of(query, reference::adapt(json)?)?)
}
