//! Copies that clients have already, and answers in gzip.

use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{BOB, TestEdge, check_problem};

async fn send(edge: &TestEdge, method: Method, path: &str, sent: &[(&str, &str)]) -> Response {
    let mut request = edge.request(method, path);
    for (name, value) in sent {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn zipped(edge: &TestEdge, path: &str) -> Response {
    send(edge, Method::GET, path, &[("accept-encoding", "br, gzip")]).await
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).map(|value| value.to_str().unwrap());
    value.unwrap_or_default()
}

/// Whether an answer tells caches what it depends on.
fn varies(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all("vary").iter();
    values.any(|value| value.to_str().unwrap().contains("accept-encoding"))
}

async fn unzipped(response: Response) -> Vec<u8> {
    assert_eq!(text(response.headers(), "content-encoding"), "gzip");
    let zipped = response.bytes().await.unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(&zipped[..]).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Enough of it to be worth it.
async fn submit_at_length(edge: &TestEdge) -> Response {
    let prompt = "a red ball rolls over a blue table, ".repeat(100);
    edge.post("/v1/videos", json!({ "prompt": prompt })).await
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let path = format!("/v1/videos/{id}");
    let first = edge.get(&path).await;
    let tag = text(first.headers(), "etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    assert_eq!(text(first.headers(), "cache-control"), "private, no-cache");
    let lists = [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"a\", W/{tag}"),
        "*".to_owned(),
    ];
    for method in [Method::GET, Method::HEAD] {
        for list in &lists {
            let sent = [("if-none-match", list.as_str())];
            let same = send(&edge, method.clone(), &path, &sent).await;
            assert_eq!(same.status(), StatusCode::NOT_MODIFIED, "{method} {list}");
            let headers = same.headers().clone();
            assert_eq!(text(&headers, "etag"), tag);
            assert_eq!(text(&headers, "cache-control"), "private, no-cache");
            assert!(varies(&headers));
            assert_eq!(same.bytes().await.unwrap(), "");
        }
        let other = send(&edge, method, &path, &[("if-none-match", "\"a\"")]).await;
        assert_eq!(other.status(), StatusCode::OK);
        assert_eq!(text(other.headers(), "etag"), tag);
    }
    edge.scheduler.run(&id, 1);
    let changed = send(&edge, Method::GET, &path, &[("if-none-match", &tag)]).await;
    assert_eq!(changed.status(), StatusCode::OK);
    assert_ne!(text(changed.headers(), "etag"), tag);
}

#[tokio::test]
async fn a_tag_opens_nothing() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let path = format!("/v1/videos/{id}");
    let tag = text(edge.get(&path).await.headers(), "etag").to_owned();
    for known in [tag.as_str(), "*"] {
        let by_bob = edge.anonymous(Method::GET, &path).bearer_auth(BOB);
        let by_bob = by_bob.header("if-none-match", known).send().await.unwrap();
        assert!(by_bob.headers().get("etag").is_none());
        check_problem(by_bob, 404, "JOB_NOT_FOUND").await;
        let stranger = edge.anonymous(Method::GET, &path);
        let stranger = stranger.header("if-none-match", known).send().await;
        check_problem(stranger.unwrap(), 401, "TOKEN_MISSING").await;
    }
}

#[tokio::test]
async fn what_is_made_and_what_goes_on_has_no_tag() {
    let edge = TestEdge::start().await;
    let body = json!({ "prompt": "a red ball" });
    let request = edge.request(Method::POST, "/v1/videos").json(&body);
    let made = request.header("if-none-match", "*").send().await.unwrap();
    assert_eq!(made.status(), StatusCode::OK);
    assert!(made.headers().get("etag").is_none());
    assert_eq!(text(made.headers(), "cache-control"), "no-store");
    let made: Value = made.json().await.unwrap();
    let path = format!("/v1/videos/{}/events", made["id"].as_str().unwrap());
    let events = send(&edge, Method::GET, &path, &[("if-none-match", "*")]).await;
    assert_eq!(events.status(), StatusCode::OK);
    assert!(events.headers().get("etag").is_none());
}

#[tokio::test]
async fn whoever_takes_gzip_gets_the_same_in_gzip() {
    let edge = TestEdge::start().await;
    let made: Value = submit_at_length(&edge).await.json().await.unwrap();
    let video = format!("/v1/videos/{}", made["id"].as_str().unwrap());
    for path in [
        video.as_str(),
        "/v1/videos",
        "/openapi.json",
        "/docs/swagger-ui.css",
        "/docs/swagger-ui-bundle.js",
    ] {
        let plain = edge.get(path).await;
        assert!(plain.headers().get("content-encoding").is_none(), "{path}");
        assert!(varies(plain.headers()), "{path}");
        let tag = text(plain.headers(), "etag").to_owned();
        let zipped_answer = zipped(&edge, path).await;
        assert!(varies(zipped_answer.headers()), "{path}");
        let weak = text(zipped_answer.headers(), "etag").to_owned();
        assert_eq!(weak, format!("W/{tag}"), "other bytes have no strong tag");
        let content = plain.bytes().await.unwrap();
        assert!(unzipped(zipped_answer).await == content, "{path}");
        let sent = [("accept-encoding", "gzip"), ("if-none-match", &weak)];
        let same = send(&edge, Method::GET, path, &sent).await;
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(text(same.headers(), "etag"), weak, "{path}");
        assert!(same.headers().get("content-encoding").is_none(), "{path}");
    }
}

#[tokio::test]
async fn problems_come_in_gzip_too() {
    let edge = TestEdge::start().await;
    let path = format!("/v1/videos/{}/x", "a".repeat(4000));
    let response = zipped(&edge, &path).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let kind = text(response.headers(), "content-type").to_owned();
    let document: Value = serde_json::from_slice(&unzipped(response).await).unwrap();
    assert_eq!(kind, "application/problem+json");
    assert_eq!(document["reason"], "ROUTE_NOT_FOUND");
}

#[tokio::test]
async fn what_is_secret_small_or_without_end_comes_as_it_is() {
    let edge = TestEdge::start().await;
    let prompt = "a red ball ".repeat(1000);
    let request = edge
        .request(Method::POST, "/v1/videos")
        .header("accept-encoding", "gzip")
        .json(&json!({ "prompt": prompt }));
    let made = request.send().await.unwrap();
    assert!(made.headers().get("content-encoding").is_none());
    let made: Value = made.json().await.unwrap();
    assert_eq!(made["prompt"], prompt.as_str());
    let id = made["id"].as_str().unwrap();
    edge.scheduler.complete(id);
    for path in [
        "/healthz".to_owned(),
        format!("/v1/videos/{id}/events"),
        format!("/v1/videos/{id}/content"),
        format!("/v2/kinora-tiny-t2v/status/{id}"),
    ] {
        let answer = zipped(&edge, &path).await;
        assert!(!answer.status().is_server_error(), "{path}");
        assert!(answer.headers().get("content-encoding").is_none(), "{path}");
    }
    let lines = [
        ("accept-encoding", "gzip"),
        ("accept", "application/x-ndjson"),
    ];
    let path = format!("/v1/videos/{id}/events");
    let lines = send(&edge, Method::GET, &path, &lines).await;
    assert!(lines.headers().get("content-encoding").is_none());
    let lines = lines.text().await.unwrap();
    assert!(lines.lines().count() > 1, "{lines}");
}

#[tokio::test]
async fn whoever_takes_nothing_that_there_is_gets_it_as_it_is() {
    let edge = TestEdge::start().await;
    for accepted in ["identity;q=0", "*;q=0", "br;q=1, *;q=0"] {
        let request = edge
            .request(Method::POST, "/v1/videos")
            .header("accept-encoding", accepted)
            .json(&json!({ "prompt": "p", "allow_duplicate": true }));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
        let accepted = [("accept-encoding", accepted)];
        let document = send(&edge, Method::GET, "/openapi.json", &accepted).await;
        assert!(document.headers().get("content-encoding").is_none());
        assert_eq!(document.status(), StatusCode::OK);
    }
    assert_eq!(edge.scheduler.count(), 3);
}
