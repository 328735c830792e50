//! The interface, written down: `GET /openapi.json` for programs, `GET /docs` for people. Both are for everybody.
//!
//! The document is made from the contracts that routes come from; what no contract says is in `openapi/more.json`.

mod page;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use kinora_transcoder::openapi::{Info, document};
use kinora_transcoder::{InvalidRoutes, Transcoder};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Edge, services};

/// What the contracts do not say: errors, who calls, and the paths that are answered by hand.
const MORE: &str = include_str!("../../openapi/more.json");

const TITLE: &str = "Kinora";

const DESCRIPTION: &str = "Generates video from text with open models on your own machines.

JSON is the canonical form of protocol buffers, with names in snake case: numbers of 64 bits are texts, \
times are RFC 3339, durations are seconds with an `s`, bytes are base64, and a field that is not set is absent. Requests may \
have 64-bit numbers as numbers, too. Fields that are not known are refused. Errors are problem documents (RFC 9457).";

/// Headers that stand for fields; the last one goes with every call.
const HEADERS: [(&str, &str); 4] = [
    ("request_id", "IdempotencyKey"),
    ("allow_duplicate", "AllowDuplicate"),
    ("after_seq", "LastEventId"),
    ("", "RequestTimeout"),
];

/// How long a copy is good, in a browser and on the way there.
const SHORTLY: &str = "public, max-age=300";

/// The whole interface, as `docs/openapi.json` has it and as an edge with billing serves it.
///
/// # Errors
/// [`InvalidRoutes`] when the contracts make no sense.
pub fn interface() -> Result<Value, InvalidRoutes> {
    let routes = Transcoder::new(kinora_proto::DESCRIPTORS, &services::all())?;
    Ok(describe(&routes))
}

/// The paths of this module.
pub(super) fn router() -> Router<Edge> {
    let made = Arc::new(OnceLock::new());
    let read = async move |State(edge): State<Edge>, headers: HeaderMap| {
        let file = made.get_or_init(|| {
            let json = describe(&edge.services.routes).to_string();
            File::new("application/json", SHORTLY, json)
        });
        file.answer(&headers)
    };
    Router::new()
        .route("/openapi.json", get(read))
        .merge(page::router())
}

fn describe(routes: &Transcoder) -> Value {
    let info = Info {
        title: TITLE,
        version: env!("CARGO_PKG_VERSION"),
        description: DESCRIPTION,
        is_open: |route| services::is_open(&route.service(), route.method()),
        set_by_server: &[services::ORIGIN],
        headers: &HEADERS,
    };
    // A test makes the whole document, which none is without a sound piece.
    let more = serde_json::from_str(MORE).unwrap_or_default();
    document(routes, &info, &more)
}

/// Something that is the same for everybody.
struct File {
    content: Bytes,
    content_type: &'static str,
    cache_control: &'static str,
    etag: String,
}

impl File {
    fn new(
        content_type: &'static str,
        cache_control: &'static str,
        content: impl Into<Bytes>,
    ) -> Self {
        let content = content.into();
        let digest = hex_of(&Sha256::digest(&content));
        Self {
            content,
            content_type,
            cache_control,
            etag: format!("\"{digest}\""),
        }
    }

    /// The content, or that the copy which the client has is the same.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let mut response = if self.is_known(headers) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            self.content.clone().into_response()
        };
        let fixed = [
            (CONTENT_TYPE, self.content_type),
            (CACHE_CONTROL, self.cache_control),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        for (name, value) in fixed {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            response.headers_mut().insert(ETAG, etag);
        }
        response
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        let lists = headers.get_all(IF_NONE_MATCH).iter();
        let tags = lists
            .filter_map(|list| list.to_str().ok())
            .flat_map(|list| list.split(','));
        let mut tags = tags.map(|tag| tag.trim().trim_start_matches("W/"));
        tags.any(|tag| tag == self.etag || tag == "*")
    }
}

/// The first 128 bits tell documents apart.
fn hex_of(digest: &[u8]) -> String {
    let digest = digest.iter().take(16);
    digest.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
