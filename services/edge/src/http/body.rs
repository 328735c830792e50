//! Request bodies: JSON only, of bounded size, not forever, and only so many large ones at a time.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::LengthLimitError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// The largest body that is read: two pictures of 16 MiB in base64, and 64 KiB of everything else.
const MAX_BODY_BYTES: usize = 2 * (16 << 20) / 3 * 4 + 64 * 1024 + 64;

/// A body up to this length has no picture in it.
const SMALL_BODY_BYTES: u64 = 64 * 1024;

/// How long a client may take to send a small body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to send pictures.
const LARGE_BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// When to come back while all large uploads are taken, in seconds.
const RETRY_AFTER_SECONDS: &str = "5";

/// A body that was read. A large one keeps its place among the uploads as long as this lives.
pub(super) struct JsonBody {
    bytes: Bytes,
    place: Option<OwnedSemaphorePermit>,
}

impl JsonBody {
    /// Reads what it says; a large one on a thread that may take its time. Returns what keeps its place as well.
    ///
    /// # Errors
    /// 500 when the parser panics.
    pub(super) async fn parse<T: Send + 'static>(
        self,
        parser: fn(&[u8]) -> T,
    ) -> Result<(T, Option<OwnedSemaphorePermit>), Problem> {
        let Self { bytes, place } = self;
        if place.is_none() {
            return Ok((parser(&bytes), place));
        }
        let parsed = tokio::task::spawn_blocking(move || parser(&bytes)).await;
        Ok((parsed.map_err(|_| Problem::internal())?, place))
    }
}

/// Reads a JSON body as it is. One that is large, or does not say how large it is, needs a place among `uploads`.
pub(super) async fn read_json(
    uploads: &Arc<Semaphore>,
    headers: &HeaderMap,
    body: Body,
) -> Result<JsonBody, Problem> {
    require_json(headers)?;
    if declared_length(headers).is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        return Err(too_large());
    }
    let is_small = declared_length(headers).is_some_and(|length| length <= SMALL_BODY_BYTES);
    let (limit, place) = if is_small {
        (BODY_TIMEOUT, None)
    } else {
        let place = Arc::clone(uploads).try_acquire_owned();
        (LARGE_BODY_TIMEOUT, Some(place.map_err(|_| busy())?))
    };
    let bytes = read(body, limit).await?;
    Ok(JsonBody { bytes, place })
}

async fn read(body: Body, limit: Duration) -> Result<Bytes, Problem> {
    match tokio::time::timeout(limit, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => Err(too_large()),
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
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "UPLOADS_BUSY", detail)
        .with_header(RETRY_AFTER, RETRY_AFTER_SECONDS)
}

fn too_large() -> Problem {
    let detail = format!("the body must not be larger than {MAX_BODY_BYTES} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", detail)
        .with_metadata("max_bytes", MAX_BODY_BYTES.to_string())
}
