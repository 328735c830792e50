//! Request bodies: JSON, and forms where there may be files, of bounded size, not forever, and only so many large ones at a time.
//!
//! An absent body is an empty one.

use std::error::Error;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::LengthLimitError;
use kinora_mesh::places::{Place, Places};

use super::openai;
use crate::auth::Bearer;
use crate::problem::Problem;

/// The largest body that is read: two pictures of 16 MiB in base64, and 64 KiB of everything else.
const MAX_BODY_BYTES: usize = 2 * (16 << 20) / 3 * 4 + 64 * 1024 + 64;

/// A body up to this length has no picture in it.
pub(super) const SMALL_BODY_BYTES: usize = 64 * 1024;

/// How long a client may take to send a small body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to send pictures.
const LARGE_BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// When to come back while all large uploads are taken, in seconds.
const RETRY_AFTER_SECONDS: &str = "5";

/// Who sends a body, and the places for large ones.
#[derive(Clone, Copy)]
pub(super) struct Intake<'a> {
    pub(super) places: &'a Places,
    pub(super) caller: &'a Bearer,
}

/// A body that was read. A large one has a place among the uploads, to be kept until its request is answered.
pub(super) struct Taken {
    pub(super) bytes: Bytes,
    pub(super) place: Option<Place>,
}

/// Reads a body that is JSON, a form, or absent, and may hold pictures. One that is large, or does not say how large it is, needs
/// a place of the intake.
pub(super) async fn read_with_files(
    intake: Intake<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Taken, Problem> {
    if !body.is_end_stream() && !openai::is_form(headers) {
        require_json(headers)?;
    }
    take(intake, headers, body, MAX_BODY_BYTES).await
}

/// As [`read_with_files`], of JSON of at most `max_bytes`.
pub(super) async fn read_json_with_files(
    intake: Intake<'_>,
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
) -> Result<Taken, Problem> {
    if !body.is_end_stream() {
        require_json(headers)?;
    }
    take(intake, headers, body, max_bytes).await
}

async fn take(
    intake: Intake<'_>,
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
) -> Result<Taken, Problem> {
    require_plain(headers)?;
    let declared = declared_length(headers);
    let is_small = declared.is_some_and(|length| length <= SMALL_BODY_BYTES as u64);
    if is_small || body.is_end_stream() {
        let bytes = read(body, SMALL_BODY_BYTES, BODY_TIMEOUT).await?;
        return Ok(Taken { bytes, place: None });
    }
    if declared.is_some_and(|length| length > max_bytes as u64) {
        return Err(too_large(max_bytes));
    }
    let place = intake.places.take(intake.caller.principal().as_str());
    let place = place.ok_or_else(busy)?;
    let bytes = read(body, max_bytes, LARGE_BODY_TIMEOUT).await?;
    Ok(Taken {
        bytes,
        place: Some(place),
    })
}

/// Reads a body that is JSON, or absent, of at most `max_bytes`.
pub(super) async fn read_any_json(
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    require_json(headers)?;
    require_plain(headers)?;
    if declared_length(headers).is_some_and(|length| length > max_bytes as u64) {
        return Err(too_large(max_bytes));
    }
    read(body, max_bytes, BODY_TIMEOUT).await
}

async fn read(body: Body, max_bytes: usize, limit: Duration) -> Result<Bytes, Problem> {
    match tokio::time::timeout(limit, to_bytes(body, max_bytes)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => Err(too_large(max_bytes)),
        Ok(Err(_)) => {
            let detail = "the body ended before it was complete";
            Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "BODY_INCOMPLETE",
                detail,
            ))
        }
        Err(_) => {
            let detail = "the body did not arrive in time";
            Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "BODY_TIMEOUT",
                detail,
            ))
        }
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(not_json())
}

/// A body is as large as it says: none is unpacked.
fn require_plain(headers: &HeaderMap) -> Result<(), Problem> {
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().all(is_plain) {
        return Ok(());
    }
    let detail = "compressed bodies are not taken; send it as it is";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let problem = Problem::new(status, "CONTENT_ENCODING_UNSUPPORTED", detail);
    Err(problem
        .with_header(ACCEPT_ENCODING, "identity")
        .with_field("Content-Encoding", "must be absent"))
}

/// The body is something else than JSON.
pub(super) fn not_json() -> Problem {
    let detail = "the body must be sent as `Content-Type: application/json`";
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "CONTENT_TYPE_UNSUPPORTED",
        detail,
    )
    .with_field("Content-Type", "must be application/json")
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_too_large(error: &axum::Error) -> bool {
    error
        .source()
        .is_some_and(|source| source.is::<LengthLimitError>())
}

fn busy() -> Problem {
    let detail = "too many large bodies are being taken in; try again in a moment";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "UPLOADS_BUSY", detail)
        .with_header(RETRY_AFTER, RETRY_AFTER_SECONDS)
}

fn too_large(max_bytes: usize) -> Problem {
    let detail = format!("the body must not be larger than {max_bytes} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", detail)
        .with_metadata("max_bytes", max_bytes.to_string())
}
