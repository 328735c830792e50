//! Access tokens in URLs (RFC 6750, 2.3), for the browser's `EventSource`, which can set no header.
//!
//! URLs are kept where headers are not: in histories, and in the logs of what stands between. So a token may stand there
//! for a stream of events and for nothing else, no API key ever does, since it lasts, and the answer asks everybody to
//! keep nothing. The token becomes the header that it stands for before anything else looks at the URL.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, REFERRER_POLICY};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kinora_access::{Refusal, TokenError};
use kinora_mesh::error::PublicError;

use super::services::{Services, find};
use super::stream::Form;
use crate::auth::{API_KEY_HEADER, KEY_PREFIX};
use crate::problem::Problem;

/// The parameter of the query.
const PARAMETER: &str = "access_token";

/// Lets in who asks for a stream of events with a token in the URL. Everything else goes on as it came.
pub(super) async fn admit(
    State(services): State<Services>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    if !has_token(&parts) || !is_of_event_source(&services, &parts) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let answer = match become_header(&mut parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    };
    unkept(answer)
}

fn has_token(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    query.split('&').any(|pair| value_of(pair).is_some())
}

/// Whoever asks for anything but a stream of events can set a header.
fn is_of_event_source(services: &Services, parts: &Parts) -> bool {
    let found = find(&services.routes, &parts.method, parts.uri.path());
    parts.method == Method::GET
        && found.is_ok_and(|found| {
            let form = Form::of(&parts.headers, found.route);
            found.route.is_of_events() && form == Form::Events
        })
}

/// Takes the token out of the URL and sets the header that it stands for.
fn become_header(parts: &mut Parts) -> Result<(), Problem> {
    let query = parts.uri.query().unwrap_or_default();
    let (tokens, others): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|pair| value_of(pair).is_some());
    let mut tokens = tokens.into_iter().filter_map(value_of);
    let (Some(token), None) = (tokens.next(), tokens.next()) else {
        return Err(invalid(
            "QUERY_INVALID",
            "`access_token` stands more than once",
        ));
    };
    let headers = &mut parts.headers;
    if headers.contains_key(AUTHORIZATION) || headers.contains_key(API_KEY_HEADER) {
        let detail = "`access_token` stands in the URL, and a header says who calls, too";
        return Err(invalid("FIELDS_CONFLICT", detail));
    }
    if token.starts_with(KEY_PREFIX) {
        let detail = "an API key must not stand in a URL; an access token may";
        return Err(Problem::unauthenticated("TOKEN_INVALID", detail));
    }
    let form = || Problem::from(PublicError::from(Refusal::Token(TokenError::Form)));
    let mut bearer: HeaderValue = format!("Bearer {token}").parse().map_err(|_| form())?;
    bearer.set_sensitive(true);
    headers.insert(AUTHORIZATION, bearer);
    parts.uri = with_query(&parts.uri, &others.join("&"))?;
    Ok(())
}

/// A token consists of characters that URLs need not escape.
fn value_of(pair: &str) -> Option<&str> {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (name == PARAMETER).then_some(value)
}

fn with_query(uri: &Uri, query: &str) -> Result<Uri, Problem> {
    let mut parts = uri.clone().into_parts();
    let path = uri.path();
    let path_and_query = if query.is_empty() {
        path.parse()
    } else {
        format!("{path}?{query}").parse()
    };
    parts.path_and_query = Some(path_and_query.map_err(|_| Problem::internal())?);
    Uri::from_parts(parts).map_err(|_| Problem::internal())
}

fn invalid(reason: &str, detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, reason, detail)
}

/// No cache keeps the answer, and no page that it becomes tells others its URL.
fn unkept(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    let once = HeaderValue::from_static("no-store, no-transform");
    headers.insert(CACHE_CONTROL, once);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str) -> Parts {
        let request = Request::get(uri).body(()).unwrap();
        request.into_parts().0
    }

    #[track_caller]
    fn check(uri: &str, token: &str, rest: &str) {
        let mut parts = parts(uri);
        assert!(has_token(&parts), "{uri}");
        become_header(&mut parts).unwrap();
        let header = &parts.headers[AUTHORIZATION];
        assert!(header.is_sensitive(), "{uri}");
        assert_eq!(header, &format!("Bearer {token}"), "{uri}");
        assert_eq!(parts.uri.to_string(), rest, "{uri}");
    }

    #[test]
    fn the_token_leaves_the_rest_of_the_url_as_it_was() {
        check("/v1?access_token=a.b.c", "a.b.c", "/v1");
        check("/v1?x=%201&access_token=a", "a", "/v1?x=%201");
        check("/v1?access_token=a&x=1&y", "a", "/v1?x=1&y");
        check("http://edge/v1?access_token=a", "a", "http://edge/v1");
        check("/v1?access_token=", "", "/v1");
        check("/v1?access_token", "", "/v1");
    }

    #[test]
    fn other_parameters_are_none() {
        for uri in ["/v1", "/v1?", "/v1?x=access_token=a", "/v1?Access_Token=a"] {
            assert!(!has_token(&parts(uri)), "{uri}");
        }
    }

    #[test]
    fn two_tokens_and_keys_are_refused() {
        for uri in [
            "/v1?access_token=a&access_token=a",
            "/v1?access_token=a&x=1&access_token",
            "/v1?access_token=kk_a",
        ] {
            let mut parts = parts(uri);
            assert!(become_header(&mut parts).is_err(), "{uri}");
            assert!(!parts.headers.contains_key(AUTHORIZATION), "{uri}");
        }
    }
}
