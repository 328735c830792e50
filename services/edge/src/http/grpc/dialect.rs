//! What a request's content type says.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};

/// What `tonic-web` knows, which looks at the whole header.
const WEB: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];

/// How a call is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web, of this content type.
    Web(&'static str),
    /// One that is not spoken here, with messages in JSON for example.
    Unknown,
}

impl Dialect {
    /// None for what is no call.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = value.split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        if !essence.starts_with("application/grpc") {
            return None;
        }
        let web = WEB.into_iter().find(|known| *known == essence);
        Some(match essence.as_str() {
            "application/grpc" | "application/grpc+proto" => Self::Grpc,
            _ => web.map_or(Self::Unknown, Self::Web),
        })
    }
}

/// The form of gRPC-Web that a caller asks for first. Many say that they take anything: they mean what they send.
pub(super) fn accepted(headers: &HeaderMap) -> Option<&'static str> {
    let lines = headers.get_all(ACCEPT).iter();
    let mut ranges = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    ranges.find_map(|range| {
        let essence = range.split(';').next().unwrap_or_default().trim();
        WEB.into_iter()
            .find(|known| known.eq_ignore_ascii_case(essence))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content_type: &'static str, expected: Option<Dialect>) {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
        assert_eq!(Dialect::of(&headers), expected, "{content_type}");
    }

    #[test]
    fn content_types_tell_calls_from_everything_else() {
        check("application/grpc", Some(Dialect::Grpc));
        check("Application/gRPC+proto; a=b", Some(Dialect::Grpc));
        for web in WEB {
            check(web, Some(Dialect::Web(web)));
        }
        check(
            "application/grpc-web;charset=utf-8",
            Some(Dialect::Web(WEB[0])),
        );
        check("application/grpc+json", Some(Dialect::Unknown));
        check("application/grpc-web+json", Some(Dialect::Unknown));
        check("application/json", None);
        check("text/plain; application/grpc", None);
        assert_eq!(Dialect::of(&HeaderMap::new()), None);
    }

    #[test]
    fn the_form_of_an_answer_is_the_one_that_is_named() {
        let check = |accept: &'static str, expected: Option<&str>| {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(accepted(&headers), expected, "{accept}");
        };
        check("*/*", None);
        check("application/grpc-web-text", Some(WEB[2]));
        check("text/html, Application/gRPC-Web;q=0.5", Some(WEB[0]));
        assert_eq!(accepted(&HeaderMap::new()), None);
    }
}
