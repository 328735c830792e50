use kinora_edge::UploadOptions;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fake::Trouble;
use crate::harness::{ADA, CALL_TIMEOUT, TestEdge, check_problem};

/// Posts raw bytes as JSON and asserts the reason and the first field that is named.
async fn check_body(edge: &TestEdge, body: &str, reason: &'static str, field: Option<&str>) {
    let request = edge
        .request(Method::POST, "/v1/videos")
        .header("content-type", "application/json; charset=utf-8")
        .body(body.to_owned());
    let problem = check_problem(request.send().await.unwrap(), 400, reason).await;
    let named = problem.errors.first().map(|error| error.field.as_str());
    assert_eq!(named, field, "{body}");
}

#[tokio::test]
async fn bodies_that_are_wrong_name_their_fields() {
    let edge = TestEdge::start().await;
    let invalid = "INVALID_ARGUMENT";
    check_body(&edge, r#"{"prompt":"p","seed":1.5}"#, invalid, Some("seed")).await;
    check_body(&edge, r#"{"prompt":"p","seed":-1}"#, invalid, Some("seed")).await;
    check_body(
        &edge,
        r#"{"prompt":"p","frames":-17}"#,
        invalid,
        Some("frames"),
    )
    .await;
    check_body(
        &edge,
        r#"{"prompt":"p","width":"64"}"#,
        invalid,
        Some("width"),
    )
    .await;
    check_body(&edge, r#"{"prompt":["p"]}"#, invalid, Some("prompt")).await;
    check_body(
        &edge,
        r#"{"prompt":"p","promt":"p"}"#,
        invalid,
        Some("promt"),
    )
    .await;
    check_body(&edge, "{}", invalid, Some("prompt")).await;
    check_body(
        &edge,
        r#"{"prompt":"p","guidance":NaN}"#,
        "BODY_INVALID",
        None,
    )
    .await;
    check_body(&edge, "prompt=p", "BODY_INVALID", None).await;
    check_body(&edge, "", "BODY_INVALID", None).await;
    check_body(&edge, &"[".repeat(50_000), "BODY_INVALID", None).await;
    check_body(
        &edge,
        &format!(r#"{{"a":{}"#, "[".repeat(1000)),
        "BODY_INVALID",
        None,
    )
    .await;
}

#[tokio::test]
async fn large_bodies_are_refused_with_and_without_a_length() {
    let edge = TestEdge::start().await;
    let large = json!({ "prompt": "x".repeat(46 << 20) }).to_string();
    let declared = edge
        .request(Method::POST, "/v1/videos")
        .header("content-type", "application/json")
        .body(large.clone());
    check_problem(declared.send().await.unwrap(), 413, "BODY_TOO_LARGE").await;
    let pieces = futures::stream::iter([Ok::<_, std::io::Error>(large)]);
    let streamed = edge
        .request(Method::POST, "/v1/videos")
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(pieces));
    check_problem(streamed.send().await.unwrap(), 413, "BODY_TOO_LARGE").await;
}

#[tokio::test]
async fn large_bodies_wait_their_turn_and_small_ones_do_not() {
    let edge = TestEdge::start_with(UploadOptions { large_uploads: 1 }, CALL_TIMEOUT).await;
    let large = json!({ "prompt": "p", "image": "A".repeat(100_000) }).to_string();
    let mut slow = TcpStream::connect(edge.address).await.unwrap();
    let head = format!(
        "POST /v1/videos HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADA}\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        large.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // The edge asks for the body, so this one has the only place.
    let mut asked = [0; 12];
    slow.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100");
    let post = || {
        edge.request(Method::POST, "/v1/videos")
            .header("content-type", "application/json")
            .body(large.clone())
            .send()
    };
    let refused = post().await.unwrap();
    assert_eq!(refused.headers()["retry-after"], "5");
    check_problem(refused, 429, "UPLOADS_BUSY").await;
    edge.submit().await;
    slow.write_all(large.as_bytes()).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("HTTP/1.1 201"), "{answer}");
    assert_eq!(post().await.unwrap().status(), StatusCode::CREATED);
}

#[tokio::test]
async fn only_json_is_taken() {
    let edge = TestEdge::start().await;
    let request = || {
        edge.request(Method::POST, "/v1/videos")
            .body(r#"{"prompt":"p"}"#)
    };
    check_problem(
        request().send().await.unwrap(),
        415,
        "CONTENT_TYPE_UNSUPPORTED",
    )
    .await;
    let text = request().header("content-type", "text/plain");
    check_problem(text.send().await.unwrap(), 415, "CONTENT_TYPE_UNSUPPORTED").await;
}

#[tokio::test]
async fn odd_idempotency_keys_are_named() {
    let edge = TestEdge::start().await;
    for key in [String::new(), "a b".to_owned(), "k".repeat(129)] {
        let request = edge
            .request(Method::POST, "/v1/videos")
            .header("Idempotency-Key", key)
            .json(&json!({ "prompt": "p" }));
        let problem = check_problem(request.send().await.unwrap(), 400, "INVALID_ARGUMENT").await;
        assert_eq!(problem.errors[0].field, "Idempotency-Key");
    }
}

#[tokio::test]
async fn odd_pages_are_named() {
    let edge = TestEdge::start().await;
    for (query, field) in [
        ("page_size=-1", "page_size"),
        ("page_size=1.5", "page_size"),
        ("page_size=99999999999", "page_size"),
        ("pagesize=1", "pagesize"),
        ("page_size=1&page_size=2", "page_size"),
    ] {
        let response = edge.get(&format!("/v1/videos?{query}")).await;
        let problem = check_problem(response, 400, "INVALID_ARGUMENT").await;
        assert_eq!(problem.errors[0].field, field);
    }
}

#[tokio::test]
async fn what_is_no_id_is_not_found() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await.id;
    let upper = id.to_uppercase();
    for odd in [
        "x",
        "..%2F..%2Fetc",
        "%00",
        "%ff",
        "-1",
        "a%0d%0ab",
        &"9".repeat(5000),
        &upper,
    ] {
        let response = edge.get(&format!("/v1/videos/{odd}")).await;
        check_problem(response, 404, "JOB_NOT_FOUND").await;
    }
    check_problem(
        edge.get(&format!("/v1/videos/{id}/x/y")).await,
        404,
        "ROUTE_NOT_FOUND",
    )
    .await;
    check_problem(edge.get("/").await, 404, "ROUTE_NOT_FOUND").await;
    check_problem(edge.get("/v1/videos/").await, 404, "ROUTE_NOT_FOUND").await;
}

#[tokio::test]
async fn wrong_methods_and_verbs_say_so() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await.id;
    let send = async |method, path: String| edge.request(method, &path).send().await.unwrap();
    let response = send(Method::PUT, "/v1/videos".to_owned()).await;
    assert_eq!(response.headers()["allow"], "GET,HEAD,POST");
    check_problem(response, 405, "METHOD_NOT_ALLOWED").await;
    let response = send(Method::POST, format!("/v1/videos/{id}")).await;
    assert_eq!(response.headers()["allow"], "GET,HEAD,DELETE");
    check_problem(response, 405, "METHOD_NOT_ALLOWED").await;
    let response = send(Method::POST, format!("/v1/videos/{id}:explode")).await;
    check_problem(response, 404, "ROUTE_NOT_FOUND").await;
    let response = send(Method::POST, "/v1/videos/x:cancel".to_owned()).await;
    check_problem(response, 404, "JOB_NOT_FOUND").await;
}

#[tokio::test]
async fn trouble_behind_the_edge_tells_nothing() {
    let edge = TestEdge::start().await;
    edge.scheduler.be(Trouble::Leaks);
    let problem = check_problem(edge.get("/v1/videos").await, 500, "INTERNAL").await;
    assert!(!problem.detail.contains("SELECT"), "{}", problem.detail);
    edge.scheduler.be(Trouble::Hangs);
    check_problem(edge.get("/v1/videos").await, 504, "DEADLINE_EXCEEDED").await;
    let response = edge.post("/v1/videos", json!({ "prompt": "p" })).await;
    check_problem(response, 504, "DEADLINE_EXCEEDED").await;
}

#[tokio::test]
async fn a_full_queue_says_when_there_may_be_room() {
    let edge = TestEdge::start().await;
    edge.scheduler
        .be(Trouble::IsFull(std::time::Duration::from_millis(7500)));
    let response = edge.post("/v1/videos", json!({ "prompt": "p" })).await;
    assert_eq!(response.headers()["retry-after"], "8");
    check_problem(response, 429, "QUEUE_FULL").await;
}

#[tokio::test]
async fn without_a_scheduler_clients_are_told_to_come_back() {
    let edge = TestEdge::start().await;
    edge.submit().await;
    edge.stop_scheduler();
    wait_for_503(&edge).await;
    let response = edge.get("/v1/videos").await;
    assert!(response.headers().contains_key("retry-after"));
    let problem = check_problem(response, 503, "UNAVAILABLE").await;
    assert!(!problem.detail.contains("tcp"), "{}", problem.detail);
}

async fn wait_for_503(edge: &TestEdge) {
    while edge.get("/v1/videos").await.status() != StatusCode::SERVICE_UNAVAILABLE {}
}

/// Sends raw bytes and reads the answer to its end.
async fn raw(edge: &TestEdge, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(edge.address).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn broken_http_is_refused_and_harms_nobody() {
    let edge = TestEdge::start().await;
    let huge = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "a".repeat(1 << 20)
    );
    let answer = raw(&edge, huge.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let answer = raw(&edge, b"NONSENSE\r\n\r\n").await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
    let broken = format!(
        "POST /v1/videos HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADA}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
         5\r\n{{\"pro\r\nzz\r\n"
    );
    let answer = raw(&edge, broken.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
    assert_eq!(edge.get("/healthz").await.status(), StatusCode::OK);
}
