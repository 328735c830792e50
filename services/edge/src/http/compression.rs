//! Answers in gzip, for who takes it and where it is of use: JSON, problems and the page that shows the interface.
//!
//! How well an answer is compressed tells what else stands in it, to who may choose a part of it and sees its length
//! (BREACH). So nothing is compressed that no cache may keep (`no-store`): whatever was made or changed, which is where
//! tokens, keys and secrets stand that are shown once, beside texts of the request. Streams are not, either: a compressor
//! would hold their messages back. What is the same for everybody was compressed once ([`gzip`]).

use std::io::Write;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY,
};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use tower_http::compression::predicate::SizeAbove;
use tower_http::compression::{CompressionLayer, CompressionLevel, Predicate};

/// What is shorter fits one packet anyway.
const SMALLEST_BYTES: u64 = 1024;

pub(super) const GZIP: &str = "gzip";

const COMPRESSED: [&str; 5] = [
    "application/json",
    "application/problem+json",
    "text/css",
    "text/html",
    "text/javascript",
];

/// The bytes in gzip, if that is of use.
pub(super) fn gzip(content: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).ok()?;
    let zipped = encoder.finish().ok()?;
    (zipped.len() < content.len()).then(|| zipped.into())
}

/// Whether gzip is what a request behind [`with_compression`] takes.
pub(super) fn is_gzip_wanted(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT_ENCODING)
        .is_some_and(|value| value == GZIP)
}

/// Lets a router answer in gzip.
pub(super) fn with_compression(router: Router) -> Router {
    let layer = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(SMALLEST_BYTES).and(is_compressible));
    router.layer(layer).layer(from_fn(negotiate))
}

fn is_compressible(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let text = |name| {
        let value = headers.get(name).map(HeaderValue::to_str);
        value.and_then(Result::ok).unwrap_or_default()
    };
    let essence = text(CONTENT_TYPE).split(';').next().unwrap_or_default();
    COMPRESSED.contains(&essence.trim()) && !text(CACHE_CONTROL).contains("no-store")
}

/// The layer within is told what the client takes in one word: whoever takes nothing that there is would get 406 from it,
/// once the call is done. And a tag that is strong means bytes, which are others in gzip.
async fn negotiate(mut request: Request, next: Next) -> Response {
    let takes_gzip = takes_gzip(request.headers());
    request.headers_mut().remove(ACCEPT_ENCODING);
    if takes_gzip {
        let gzip = HeaderValue::from_static(GZIP);
        request.headers_mut().insert(ACCEPT_ENCODING, gzip);
    }
    let mut response = next.run(request).await;
    let is_known = response.status() == StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    if is_known {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
    if headers.contains_key(CONTENT_ENCODING) || (is_known && takes_gzip) {
        weaken(headers);
    }
    response
}

fn weaken(headers: &mut HeaderMap) {
    let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
    let strong = tag.filter(|tag| !tag.starts_with("W/"));
    let weak = strong.and_then(|tag| HeaderValue::from_str(&format!("W/{tag}")).ok());
    if let Some(weak) = weak {
        headers.insert(ETAG, weak);
    }
}

/// Whether the client takes gzip: by its name, or else by `*`.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT_ENCODING).iter();
    let codings = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    let (mut by_name, mut by_star) = (None, None);
    for coding in codings {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let is_taken = Some(has_weight(weight));
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => by_name = is_taken,
            "*" => by_star = is_taken,
            _ => {}
        }
    }
    by_name.or(by_star).unwrap_or(false)
}

/// Whether `q=…` says more than nothing.
fn has_weight(weight: &str) -> bool {
    let weight = weight.trim();
    let number = weight
        .strip_prefix("q=")
        .or_else(|| weight.strip_prefix("Q="));
    let number: Option<f32> = number.and_then(|number| number.parse().ok());
    number.is_some_and(|number| number > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_who_says_so() {
        let check = |accepted: &[&'static str], expected: bool| {
            let mut headers = HeaderMap::new();
            for line in accepted {
                headers.append(ACCEPT_ENCODING, HeaderValue::from_static(line));
            }
            assert_eq!(takes_gzip(&headers), expected, "{accepted:?}");
        };
        for taking in [
            "gzip",
            "GZip",
            "x-gzip",
            "*",
            "br, gzip;q=0.5",
            "*;q=0, gzip",
        ] {
            check(&[taking], true);
        }
        check(&["br", "gzip ; q=1.000"], true);
        for refusing in [
            "",
            "identity",
            "br",
            "gzip;q=0",
            "gzip;q=0.000, *",
            "*;q=0",
            "gzip;q=x",
            "identity;q=0",
            "gzips",
        ] {
            check(&[refusing], false);
        }
        check(&[], false);
    }

    #[test]
    fn what_is_secret_or_has_no_end_stays_as_it_is() {
        let check = |content_type: &'static str, cache_control: &'static str, expected: bool| {
            let headers = HeaderMap::from_iter([
                (CONTENT_TYPE, HeaderValue::from_static(content_type)),
                (CACHE_CONTROL, HeaderValue::from_static(cache_control)),
            ]);
            let empty = Extensions::new();
            let found = is_compressible(StatusCode::OK, Version::HTTP_11, &headers, &empty);
            assert_eq!(found, expected, "{content_type}, {cache_control}");
        };
        check("application/json", "private, no-cache", true);
        check("text/html; charset=utf-8", "public, max-age=300", true);
        check("application/json", "no-store", false);
        for other in [
            "text/event-stream",
            "application/x-ndjson",
            "application/grpc",
            "application/grpc-web-text+proto",
            "application/octet-stream",
            "image/png",
        ] {
            check(other, "private, no-cache", false);
        }
    }
}
