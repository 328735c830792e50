//! Errors as programs for RunPod's endpoints read them: problem documents whose `error` is a text, or of Ovi's endpoints
//! the object that its service answers with.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::Response;
use serde_json::Value;

use super::endpoint::Endpoint;
use crate::problem;
use crate::visit::Visit;

/// No document is longer.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// Writes what went wrong at the endpoint of the path, which is one of this module's.
pub(super) async fn shape(request: Request, next: Next) -> Response {
    let mut names = request.uri().path().split('/').skip(2);
    let endpoint = Endpoint::of(names.next().unwrap_or_default());
    let verb = names.next().unwrap_or_default();
    Visit::of(request.extensions()).set_method(&format!("/v2/{{endpoint}}/{verb}"));
    let response = problem::render(request, next).await;
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    if !is_error || matches!(endpoint, Endpoint::Ovi(_)) {
        return response;
    }
    with_text(response).await
}

/// The sentence instead of the object.
async fn with_text(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, MAX_DOCUMENT_BYTES).await.unwrap_or_default();
    let mut document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if let Some(Value::String(message)) = document.pointer_mut("/error/message").map(Value::take) {
        document["error"] = Value::String(message);
    }
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(document.to_string()))
}
