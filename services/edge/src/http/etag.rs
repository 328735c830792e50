//! Whether a client has an answer already: entity tags (RFC 9110, 8.8.3 and 13.1.2).

use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::transcoded::private;

/// The caller's own cache keeps an answer, and asks each time whether it still holds.
const ASKED_EACH_TIME: &str = "private, no-cache";

/// Names the bytes of an answer.
pub(super) struct EntityTag(String);

impl EntityTag {
    /// The first 128 bits of their digest tell answers apart.
    pub(super) fn of(content: &[u8]) -> Self {
        let digest = Sha256::digest(content);
        let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
        Self(format!("\"{}\"", digits.collect::<String>()))
    }

    /// Whether the client names it, or anything that there is. Tags are the same whether they are weak or not.
    pub(super) fn is_known(&self, headers: &HeaderMap) -> bool {
        let lists = headers.get_all(IF_NONE_MATCH).iter();
        let tags = lists
            .filter_map(|list| list.to_str().ok())
            .flat_map(|list| list.split(','));
        let mut tags = tags.map(str::trim);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.0)
    }

    /// Says it in an answer.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        if let Ok(tag) = HeaderValue::from_str(&self.0) {
            headers.insert(ETAG, tag);
        }
    }
}

/// Answers what was asked for with JSON, or says that the copy which the client has is the same.
pub(super) fn unless_known(headers: &HeaderMap, json: Vec<u8>) -> Response {
    let tag = EntityTag::of(&json);
    let mut response = if tag.is_known(headers) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        private(Bytes::from(json), "application/json")
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(ASKED_EACH_TIME));
    tag.mark(headers);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: &[&str], expected: bool) {
        let mut headers = HeaderMap::new();
        for line in sent {
            headers.append(IF_NONE_MATCH, HeaderValue::from_str(line).unwrap());
        }
        assert_eq!(
            EntityTag::of(b"{}").is_known(&headers),
            expected,
            "{sent:?}"
        );
    }

    #[test]
    fn a_tag_is_known_wherever_it_stands_and_however_weak_it_is() {
        let EntityTag(tag) = EntityTag::of(b"{}");
        assert_eq!(tag.len(), 34, "{tag}");
        check(&[&tag], true);
        check(&[&format!("W/{tag}")], true);
        check(&[&format!("\"x\" , W/\"y\",{tag}")], true);
        check(&["\"x\"", &tag], true);
        check(&["*"], true);
    }

    #[test]
    fn anything_else_is_not_known() {
        let EntityTag(tag) = EntityTag::of(b"{}");
        let bare = tag.trim_matches('"').to_owned();
        let EntityTag(other) = EntityTag::of(b"[]");
        check(&[], false);
        for odd in ["", "\"*\"", "W/", "w/*", &bare, &other, &format!("w/{tag}")] {
            check(&[odd], false);
        }
    }
}
