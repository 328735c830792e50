//! The call of who verifies ages. It has no caller of ours: its signature, which the accounts service checks, says whose it is.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use kinora_proto::accounts::v1::CompleteAgeVerificationRequest;

use super::{Edge, body};
use crate::problem::Problem;
use crate::visit::Visit;

/// Hexadecimal HMAC-SHA-256 over the time stamp, a full stop and the body.
const SIGNATURE: &str = "x-kinora-signature";

/// Seconds since 1970.
const TIMESTAMP: &str = "x-kinora-timestamp";

/// No verifier has more to say.
const MAX_BODY_BYTES: usize = 16 << 10;

/// Passes on what a verifier found, byte for byte.
pub(super) async fn complete(
    State(edge): State<Edge>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (parts, body) = request.into_parts();
    let visit = Visit::of(&parts.extensions);
    visit.set_method("/v1/ageVerifications:complete");
    visit.count_stranger().await?;
    let body = body::read_any_json(&parts.headers, body, MAX_BODY_BYTES).await?;
    let header = |name| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let request = CompleteAgeVerificationRequest {
        body: body.to_vec(),
        signature: header(SIGNATURE).unwrap_or_default().to_owned(),
        timestamp: header(TIMESTAMP).unwrap_or_default().to_owned(),
    };
    edge.services.complete_age_verification(request).await?;
    // Its signature held.
    visit.forgive().await;
    Ok(StatusCode::NO_CONTENT)
}
