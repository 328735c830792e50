//! Request bodies: JSON only, of bounded size, not forever, and only so many large ones at a time.
//!
//! Where every field has a default, an absent body is read as `{}`.

use std::error::Error;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::LengthLimitError;
use kinora_mesh::places::{Place, Places};

use crate::auth::Bearer;
use crate::fields::Rejected;
use crate::problem::Problem;

/// The largest body that is read: two pictures of 16 MiB in base64, and 64 KiB of everything else.
const MAX_BODY_BYTES: usize = 2 * (16 << 20) / 3 * 4 + 64 * 1024 + 64;

/// A body up to this length has no picture in it.
const SMALL_BODY_BYTES: usize = 64 * 1024;

/// How long a client may take to send a small body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to send pictures.
const LARGE_BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// When to come back while all large uploads are taken, in seconds.
const RETRY_AFTER_SECONDS: &str = "5";

/// What a body may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Pictures too.
    Pictures,
    /// Text and numbers.
    Text,
}

impl Content {
    const fn max_bytes(self) -> usize {
        match self {
            Self::Pictures => MAX_BODY_BYTES,
            Self::Text => SMALL_BODY_BYTES,
        }
    }
}

/// Who sends a body, and the places for large ones.
#[derive(Clone, Copy)]
pub(super) struct Intake<'a> {
    pub(super) places: &'a Places,
    pub(super) caller: &'a Bearer,
}

/// What a body said. A large one keeps its place among the uploads as long as this lives.
pub(super) struct Parsed<T> {
    pub(super) message: T,
    _place: Option<Place>,
}

/// Reads a JSON body. One that is large, or may hold pictures and does not say how large it is, needs a place of
/// the intake, and is parsed on a thread that may take its time.
pub(super) async fn read_json<T: Send + 'static>(
    intake: Intake<'_>,
    headers: &HeaderMap,
    body: Body,
    content: Content,
    parser: fn(&[u8]) -> Result<T, Rejected>,
) -> Result<Parsed<T>, Problem> {
    let max_bytes = content.max_bytes();
    let declared = declared_length(headers);
    require_json(headers)?;
    if declared.is_some_and(|length| length > max_bytes as u64) {
        return Err(too_large(max_bytes));
    }
    let is_small = declared.is_some_and(|length| length <= SMALL_BODY_BYTES as u64);
    if is_small || content == Content::Text {
        let message = parser(&read(body, max_bytes, BODY_TIMEOUT).await?)?;
        return Ok(Parsed {
            message,
            _place: None,
        });
    }
    let place = intake.places.take(intake.caller.principal().as_str());
    let place = place.ok_or_else(busy)?;
    let bytes = read(body, max_bytes, LARGE_BODY_TIMEOUT).await?;
    let parsed = tokio::task::spawn_blocking(move || parser(&bytes)).await;
    Ok(Parsed {
        message: parsed.map_err(|_| Problem::internal())??,
        _place: Some(place),
    })
}

/// As [`read_json`], where a body may be absent.
pub(super) async fn read_optional_json<T: Send + 'static>(
    intake: Intake<'_>,
    headers: &HeaderMap,
    body: Body,
    content: Content,
    parser: fn(&[u8]) -> Result<T, Rejected>,
) -> Result<Parsed<T>, Problem> {
    if !body.is_end_stream() {
        return read_json(intake, headers, body, content, parser).await;
    }
    Ok(Parsed {
        message: parser(b"{}")?,
        _place: None,
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
    let detail = "the body must be sent as `Content-Type: application/json`";
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "CONTENT_TYPE_UNSUPPORTED",
        detail,
    )
    .with_field("Content-Type", "must be application/json"))
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
