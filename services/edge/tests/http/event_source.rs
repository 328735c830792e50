//! The browser's `EventSource`: it sends `Accept` and `Last-Event-ID`, and whatever its URL says.

use std::io::Write;
use std::sync::Arc;

use kinora_access::Claims;
use parking_lot::Mutex;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use crate::events::Reader;
use crate::harness::{ADA, ORIGIN, TestEdge, check_problem};

fn event_source(edge: &TestEdge, url: &str) -> RequestBuilder {
    let request = edge.anonymous(Method::GET, url);
    let request = request.header("accept", "text/event-stream");
    request
        .header("cache-control", "no-cache")
        .header("origin", ORIGIN)
}

/// A video of Carl's, and a token of his.
async fn video_of_carl(edge: &TestEdge) -> (String, String) {
    let token = edge.accounts.issuer.token("carl");
    let request = edge.anonymous(Method::POST, "/v1/videos");
    let request = request.bearer_auth(&token);
    let body = serde_json::json!({ "prompt": "a red ball" });
    let made = request.json(&body).send().await.unwrap();
    let id = crate::harness::id_of(&crate::harness::read(made).await);
    (id, token)
}

#[track_caller]
fn check_unkept(headers: &HeaderMap) {
    assert_eq!(headers["cache-control"], "no-store, no-transform");
    assert_eq!(headers["referrer-policy"], "no-referrer");
}

async fn refused(request: RequestBuilder, status: u16, reason: &'static str) {
    let response = request.send().await.unwrap();
    check_unkept(response.headers());
    let problem = check_problem(response, status, reason).await;
    assert!(!format!("{problem:?}").contains("access_token="));
}

#[tokio::test]
async fn a_token_in_the_url_opens_a_stream_that_goes_on_where_it_was() {
    let edge = TestEdge::start().await;
    let (id, token) = video_of_carl(&edge).await;
    edge.scheduler.run(&id, 1);
    edge.scheduler.complete(&id);
    let url = format!("/v1/videos/{id}/events?access_token={token}");
    let response = event_source(&edge, &url).send().await.unwrap();
    check_unkept(response.headers());
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["access-control-allow-origin"], ORIGIN);
    Reader::of(response).expect(1, "queued").await;
    // It comes back with the same URL, and the id in a header.
    let again = event_source(&edge, &url).header("last-event-id", "2");
    Reader::of(again.send().await.unwrap())
        .expect(3, "completed")
        .await;
    // A page that opens another one says in the URL what it has.
    let anew = event_source(&edge, &format!("{url}&after_seq=2"));
    Reader::of(anew.send().await.unwrap())
        .expect(3, "completed")
        .await;
    assert_eq!(edge.accounts.exchanges(), 0);
}

#[tokio::test]
async fn a_token_in_the_url_opens_nothing_but_streams_of_events() {
    let edge = TestEdge::start().await;
    let (id, token) = video_of_carl(&edge).await;
    edge.scheduler.complete(&id);
    for (method, path) in [
        (Method::GET, "/v1/videos".to_owned()),
        (Method::GET, format!("/v1/videos/{id}")),
        (Method::GET, format!("/v1/videos/{id}/content")),
        (Method::HEAD, format!("/v1/videos/{id}/events")),
        (Method::POST, format!("/v1/videos/{id}:cancel")),
        (Method::DELETE, format!("/v1/videos/{id}")),
        (Method::GET, format!("/v2/kinora-tiny-t2v/stream/{id}")),
        (Method::GET, "/v1/me".to_owned()),
    ] {
        let url = format!("{path}?access_token={token}");
        let request = edge.anonymous(method.clone(), &url);
        let response = request
            .header("accept", "text/event-stream")
            .send()
            .await
            .unwrap();
        assert_eq!(
            response.status(),
            StatusCode::UNAUTHORIZED,
            "{method} {path}"
        );
    }
    // Whoever wants lines can set a header.
    let url = format!("/v1/videos/{id}/events?access_token={token}");
    let lines = edge
        .anonymous(Method::GET, &url)
        .header("accept", "application/x-ndjson");
    check_problem(lines.send().await.unwrap(), 401, "TOKEN_MISSING").await;
}

#[tokio::test]
async fn a_url_says_who_calls_once_and_for_a_while() {
    let edge = TestEdge::start().await;
    let (id, token) = video_of_carl(&edge).await;
    let path = format!("/v1/videos/{id}/events");
    let with = |token: &str| event_source(&edge, &format!("{path}?access_token={token}"));
    refused(with(ADA), 401, "TOKEN_INVALID").await;
    refused(with(""), 401, "TOKEN_MISSING").await;
    refused(with("nonsense"), 401, "TOKEN_INVALID").await;
    let twice = format!("{token}&access_token={token}");
    refused(with(&twice), 400, "QUERY_INVALID").await;
    refused(with(&token).bearer_auth(&token), 400, "FIELDS_CONFLICT").await;
    refused(
        with(&token).header("x-api-key", ADA),
        400,
        "FIELDS_CONFLICT",
    )
    .await;
    let claims = edge.accounts.issuer.claims("carl");
    let past = Claims {
        iat: claims.iat - 900,
        nbf: claims.nbf - 900,
        exp: claims.exp - 900,
        ..claims
    };
    let past = edge.accounts.issuer.sign(&past);
    refused(with(&past), 401, "TOKEN_EXPIRED").await;
    let other = edge.accounts.issuer.token("bob");
    refused(with(&other), 404, "JOB_NOT_FOUND").await;
    assert_eq!(edge.accounts.exchanges(), 0, "no key is asked about");
}

/// What is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The answer's headers but for those that name the call, and all of its body.
async fn said(response: Response) -> String {
    let headers = format!("{:?}", response.headers());
    headers + &response.text().await.unwrap()
}

#[tokio::test]
async fn a_token_in_the_url_is_neither_logged_nor_answered() {
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("debug")
        .with_writer(move || written.clone())
        .finish();
    // Servers and clients of this test are all on this thread.
    let _guard = tracing::subscriber::set_default(subscriber);
    let edge = TestEdge::start().await;
    let (id, token) = video_of_carl(&edge).await;
    edge.scheduler.complete(&id);
    for path in [
        format!("/v1/videos/{id}/events"),
        "/v1/videos/unknown/events".to_owned(),
        "/v1/videos".to_owned(),
        "/v1/nowhere".to_owned(),
    ] {
        for token in [token.as_str(), "kk_secret"] {
            let url = format!("{path}?access_token={token}");
            let response = event_source(&edge, &url).send().await.unwrap();
            assert!(!said(response).await.contains(token), "{path}");
        }
    }
    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(log.contains("answered") && log.contains(&id), "{log}");
    for secret in [token.as_str(), "kk_secret", "access_token="] {
        assert!(!log.contains(secret), "{log}");
    }
}
