//! Stripe's webhooks. They have no caller of ours: the signature, which billing checks over the bytes as they came, says
//! whose they are. Whoever else sends one is told so before its body is read, where that can be seen from outside.

use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use kinora_mesh::places::Places;
use kinora_proto::billing::v1::ReceiveStripeWebhookRequest;

use super::{Edge, body};
use crate::problem::Problem;
use crate::visit::Visit;

/// A time and hexadecimal HMAC-SHA-256, one or several: `t=…,v1=…`.
const SIGNATURE: &str = "stripe-signature";

/// Some hundred characters are usual, while a secret is changed, too.
const LONGEST_SIGNATURE: usize = 1024;

/// The most that the contract takes. An invoice of hundreds of lines is shorter.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Webhooks that are taken in at a time.
const MOST: u32 = 64;

/// Those of one address.
const MOST_OF_ADDRESS: u32 = 16;

/// When to come back while all places are taken, in seconds. Stripe comes by its own clock.
const RETRY_AFTER_SECONDS: &str = "5";

/// The places for webhooks.
pub(crate) fn places() -> Places {
    Places::new(MOST, MOST_OF_ADDRESS)
}

/// Passes on what Stripe says, byte for byte. It is kept when it is answered; whatever else is answered, Stripe sends it
/// again.
pub(super) async fn receive(
    State(edge): State<Edge>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (parts, body) = request.into_parts();
    let visit = Visit::of(&parts.extensions);
    visit.set_method("/v1/stripe:webhook");
    visit.count_stranger().await?;
    let signature = signature_of(&parts.headers)?.to_owned();
    let address = edge.services.origin(&parts).address;
    let _place = edge.stripe_webhooks.take(&address).ok_or_else(busy)?;
    let body = body::read_any_json(&parts.headers, body, MAX_BODY_BYTES).await?;
    let message = ReceiveStripeWebhookRequest {
        body: body.to_vec(),
        signature,
    };
    edge.services.receive_stripe_webhook(message).await?;
    // Its signature held.
    visit.forgive().await;
    Ok(StatusCode::OK)
}

/// Passes for what may be a signature; which ones hold, billing knows.
fn signature_of(headers: &HeaderMap) -> Result<&str, Problem> {
    let text = headers.get(SIGNATURE);
    let text = text.and_then(|value| value.to_str().ok());
    let text = text.filter(|text| {
        let parts = || text.split(',').map(str::trim);
        let has_time = parts().any(|part| part.starts_with("t="));
        let has_hash = parts().any(|part| part.starts_with("v1="));
        text.len() <= LONGEST_SIGNATURE && has_time && has_hash
    });
    text.ok_or_else(|| {
        let detail = "the webhook is not signed as Stripe does it";
        Problem::new(StatusCode::BAD_REQUEST, "WEBHOOK_REFUSED", detail)
    })
}

fn busy() -> Problem {
    let detail = "too many webhooks are being taken in; try again in a moment";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "WEBHOOKS_BUSY", detail)
        .with_header(RETRY_AFTER, RETRY_AFTER_SECONDS)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_looks_signed_is_read() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(SIGNATURE, HeaderValue::from_str(text).unwrap());
            signature_of(&headers).is_ok()
        };
        assert!(of("t=1795321258,v1=00ff"));
        assert!(of("t=1795321258,v1=00ff,v1=11ee,v0=22"));
        let long = format!("t=1,v1={}", "0".repeat(LONGEST_SIGNATURE));
        for text in [
            "",
            "signed",
            "t=1795321258",
            "v1=00ff",
            "x=t=1,y=v1=2",
            &long,
        ] {
            assert!(!of(text), "{text}");
        }
        assert!(signature_of(&HeaderMap::new()).is_err());
    }
}
