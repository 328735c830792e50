//! The interface, written down: `GET /openapi.json` for programs, `GET /docs` for people. Both are for everybody.
//!
//! The document is made from the contracts that routes come from; what no contract says is in `openapi/more.json`, and the
//! calls of RunPod's endpoints are in `openapi/runpod.json`.

mod body;
mod needs;
mod page;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use kinora_transcoder::Transcoder;
use kinora_transcoder::openapi::{Info, document};
use serde_json::Value;

use super::admission::Rules;
use super::etag::EntityTag;
use super::{Edge, compression, services};
use crate::error::Error;

/// What the contracts do not say: errors, who calls, and the paths that are answered by hand.
const MORE: [&str; 2] = [
    include_str!("../../openapi/more.json"),
    include_str!("../../openapi/runpod.json"),
];

const TITLE: &str = "Kinora";

const DESCRIPTION: &str = "Generates video from text with open models on your own machines.

JSON is the canonical form of protocol buffers, with names in snake case: numbers of 64 bits are texts, \
times are RFC 3339, durations are seconds with an `s`, bytes are base64, and a field that is not set is absent. Requests may \
have 64-bit numbers as numbers, too. A field that is `null` in a request is absent. Fields that are not known are refused. Errors are problem documents (RFC 9457).";

/// Headers that stand for fields; the last one goes with every call.
const HEADERS: [(&str, &str); 4] = [
    ("request_id", "IdempotencyKey"),
    ("allow_duplicate", "AllowDuplicate"),
    ("after_seq", "LastEventId"),
    ("", "RequestTimeout"),
];

/// Headers of every answer to a request that was counted.
const ANSWER_HEADERS: [(&str, &str); 2] = [
    ("RateLimit", "RateLimit"),
    ("RateLimit-Policy", "RateLimitPolicy"),
];

/// What any call may be answered with.
const ANSWERS: [(&str, &str); 1] = [("429", "RateLimited")];

/// How long a copy is good, in a browser and on the way there.
const SHORTLY: &str = "public, max-age=300";

/// The whole interface, as `docs/openapi.json` has it and as an edge with billing serves it.
///
/// # Errors
/// [`Error::Routes`], [`Error::Rules`] and [`Error::RouteForWorkloads`] when the contracts make no sense.
pub fn interface() -> Result<Value, Error> {
    let services = services::all();
    let routes = Transcoder::new(kinora_proto::DESCRIPTORS, &services)?;
    let rules = Rules::read(&services, &routes)?;
    Ok(describe(&routes, &rules))
}

/// The paths of this module.
pub(super) fn router() -> Router<Edge> {
    let made = Arc::new(OnceLock::new());
    let read = async move |State(edge): State<Edge>, headers: HeaderMap| {
        let file = made.get_or_init(|| {
            let json = describe(&edge.services.routes, &edge.services.rules).to_string();
            File::new("application/json", SHORTLY, json)
        });
        file.answer(&headers)
    };
    Router::new()
        .route("/openapi.json", get(read))
        .merge(page::router())
}

fn describe(routes: &Transcoder, rules: &Rules) -> Value {
    let info = Info {
        title: TITLE,
        version: env!("CARGO_PKG_VERSION"),
        description: DESCRIPTION,
        needs: &|route| needs::of(rules.of(route)),
        set_by_server: &[services::ORIGIN],
        headers: &HEADERS,
        answer_headers: &ANSWER_HEADERS,
        answers: &ANSWERS,
    };
    // A test makes the whole document, which none is without a sound piece.
    let more = MORE.map(|piece| serde_json::from_str(piece).unwrap_or_default());
    let mut document = document(routes, &info, &more);
    body::complete(&mut document);
    document
}

/// Something that is the same for everybody.
struct File {
    content: Bytes,
    /// The same in gzip, where that is shorter.
    zipped: Option<Bytes>,
    content_type: &'static str,
    cache_control: &'static str,
    tag: EntityTag,
}

impl File {
    fn new(
        content_type: &'static str,
        cache_control: &'static str,
        content: impl Into<Bytes>,
    ) -> Self {
        let content = content.into();
        Self {
            tag: EntityTag::of(&content),
            zipped: compression::gzip(&content),
            content,
            content_type,
            cache_control,
        }
    }

    /// The content, or that the copy which the client has is the same.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let mut response = if self.tag.is_known(headers) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            self.content(headers)
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
        self.tag.mark(response.headers_mut());
        response
    }

    fn content(&self, headers: &HeaderMap) -> Response {
        let zipped = self.zipped.clone();
        let zipped = zipped.filter(|_| compression::is_gzip_wanted(headers));
        let mut response = match zipped {
            Some(zipped) => ([(CONTENT_ENCODING, compression::GZIP)], zipped).into_response(),
            None => self.content.clone().into_response(),
        };
        let encoding = HeaderValue::from_static("accept-encoding");
        response.headers_mut().insert(VARY, encoding);
        response
    }
}

#[cfg(test)]
mod tests;
