//! The call of who verifies ages. It has no caller of ours: its signature, which the accounts service checks, says whose it is.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use kinora_proto::accounts::v1::CompleteAgeVerificationRequest;

use super::{Edge, body};
use crate::problem::Problem;

/// Hexadecimal HMAC-SHA-256 over the time stamp, a full stop and the body.
const SIGNATURE: &str = "x-kinora-signature";

/// Seconds since 1970.
const TIMESTAMP: &str = "x-kinora-timestamp";

/// No verifier has more to say.
const MAX_BODY_BYTES: usize = 16 << 10;

/// Passes on what a verifier found, byte for byte.
pub(super) async fn complete(
    State(edge): State<Edge>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let body = body::read_any_json(&headers, body, MAX_BODY_BYTES).await?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let request = CompleteAgeVerificationRequest {
        body: body.to_vec(),
        signature: header(SIGNATURE).unwrap_or_default().to_owned(),
        timestamp: header(TIMESTAMP).unwrap_or_default().to_owned(),
    };
    edge.services.complete_age_verification(request).await?;
    Ok(StatusCode::NO_CONTENT)
}
