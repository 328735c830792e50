use std::time::Duration;

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
    for (body, field) in [
        (r#"{"prompt":"p","seed":1.5}"#, "seed"),
        (r#"{"prompt":"p","seed":-1}"#, "seed"),
        (r#"{"prompt":"p","seed":"18446744073709551616"}"#, "seed"),
        (r#"{"prompt":"p","seed":1e300}"#, "seed"),
        (r#"{"prompt":"p","frames":-17}"#, "frames"),
        (r#"{"prompt":"p","frames":"4294967296"}"#, "frames"),
        (r#"{"prompt":"p","frames":"0x11"}"#, "frames"),
        (r#"{"prompt":"p","frames":" 17"}"#, "frames"),
        (r#"{"prompt":"p","width":4294967296}"#, "width"),
        (r#"{"prompt":"p","width":"x"}"#, "width"),
        (r#"{"prompt":"p","guidance":"much"}"#, "guidance"),
        (r#"{"prompt":["p"]}"#, "prompt"),
        (r#"{"prompt":"p","promt":"p"}"#, "promt"),
        (r#"{"prompt":"p","image":"%%%"}"#, "image"),
        (r#"{"prompt":"p","image":"A"}"#, "image"),
        (
            r#"{"prompt":"p","image":"data:image/svg+xml,<svg/>"}"#,
            "image",
        ),
        (r#"{"prompt":"p","priority":"urgent"}"#, "priority"),
        (r#"{"prompt":"p","not_before":"tomorrow"}"#, "not_before"),
        (r#"{"prompt":"p","expire_after":"1 hour"}"#, "expire_after"),
    ] {
        check_body(&edge, body, "FIELD_INVALID", Some(field)).await;
    }
    let deep = format!(r#"{{"a":{}"#, "[".repeat(1000));
    for body in [
        r#"{"prompt":"p","guidance":NaN}"#,
        r#"{"prompt":"p","prompt":"p"}"#,
        "prompt=p",
        "[]",
        "\"p\"",
        &"[".repeat(50_000),
        &deep,
    ] {
        check_body(&edge, body, "BODY_INVALID", None).await;
    }
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let edge = TestEdge::start().await;
    let body = json!({ "prompt": 1, "width": "x", "nothing": true });
    let problem = check_problem(edge.post("/v1/videos", body).await, 400, "FIELD_INVALID").await;
    let mut fields: Vec<&str> = problem.errors.iter().map(|e| e.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["nothing", "prompt", "width"]);
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
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
    assert_eq!(post().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn only_json_is_taken() {
    let edge = TestEdge::start().await;
    let reason = "CONTENT_TYPE_UNSUPPORTED";
    for path in ["/v1/videos", "/v1/batches", "/v1/webhooks"] {
        let request = || edge.request(Method::POST, path).body(r#"{"prompt":"p"}"#);
        check_problem(request().send().await.unwrap(), 415, reason).await;
        let text = request().header("content-type", "text/plain");
        check_problem(text.send().await.unwrap(), 415, reason).await;
    }
    for other in [
        "application/json5",
        "application/x-json",
        "application/problem+json",
        "application/jsonapplication/json",
        "multipart/form-data",
    ] {
        let request = edge
            .request(Method::PATCH, "/v1/webhooks/x")
            .header("content-type", other)
            .body("{}");
        check_problem(request.send().await.unwrap(), 415, reason).await;
    }
    let form = "--x\r\ncontent-disposition: form-data; name=\"prompt\"\r\n\r\np\r\n--x--\r\n";
    for path in ["/v1/sequences", "/v1/batches", "/v1/webhooks"] {
        let request = edge
            .request(Method::POST, path)
            .header("content-type", "multipart/form-data; boundary=x")
            .body(form);
        check_problem(request.send().await.unwrap(), 415, reason).await;
    }
}

#[tokio::test]
async fn nothing_is_unpacked() {
    let edge = TestEdge::start().await;
    let reason = "CONTENT_ENCODING_UNSUPPORTED";
    edge.scheduler.offer("ovi-1.1-720x720_5s");
    for (path, encoding) in [
        ("/v1/videos", "gzip"),
        ("/v1/videos", "identity, GZip"),
        ("/v1/batches", "br"),
        ("/v1/webhooks", "zstd"),
        ("/v1/auth:signIn", "deflate"),
        ("/v1/ageVerifications:complete", "gzip"),
        ("/v2/ovi-1.1-720x720_5s/run", "gzip"),
    ] {
        let request = edge
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .header("content-encoding", encoding)
            .body(r#"{"prompt":"p"}"#);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["accept-encoding"], "identity", "{path}");
        let problem = check_problem(response, 415, reason).await;
        assert_eq!(problem.errors[0].field, "Content-Encoding");
    }
    let plain = edge
        .request(Method::POST, "/v1/videos")
        .header("content-encoding", "Identity")
        .json(&json!({ "prompt": "p" }));
    assert_eq!(plain.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn lists_have_an_end() {
    let edge = TestEdge::start().await;
    let long = format!(r#"{{"requests":[{}{{}}]}}"#, "{},".repeat(20_000));
    let request = edge
        .request(Method::POST, "/v1/batches")
        .header("content-type", "application/json")
        .body(long);
    check_problem(request.send().await.unwrap(), 400, "BODY_INVALID").await;
}

#[tokio::test]
async fn a_call_without_a_body_takes_none() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let path = format!("/v1/videos/{id}:cancel");
    let response = edge.post(&path, json!({ "why": "not" })).await;
    check_problem(response, 400, "BODY_INVALID").await;
    let empty = edge.post(&path, json!({})).await;
    assert_eq!(empty.status(), StatusCode::OK);
}

#[tokio::test]
async fn odd_idempotency_keys_are_named() {
    let edge = TestEdge::start().await;
    for key in [String::new(), "a b".to_owned(), "k".repeat(129)] {
        let request = edge
            .request(Method::POST, "/v1/videos")
            .header("Idempotency-Key", key)
            .json(&json!({ "prompt": "p" }));
        let problem = check_problem(request.send().await.unwrap(), 400, "FIELD_INVALID").await;
        assert_eq!(problem.errors[0].field, "Idempotency-Key");
    }
}

#[tokio::test]
async fn odd_pages_are_named() {
    let edge = TestEdge::start().await;
    for (query, reason, field) in [
        ("page_size=1.5", "FIELD_INVALID", "page_size"),
        ("page_size=99999999999", "FIELD_INVALID", "page_size"),
        ("page_size=1&page_size=2", "FIELD_INVALID", "page_size"),
        ("pagesize=1", "QUERY_INVALID", "pagesize"),
    ] {
        let response = edge.get(&format!("/v1/videos?{query}")).await;
        let problem = check_problem(response, 400, reason).await;
        assert_eq!(problem.errors[0].field, field);
    }
}

#[tokio::test]
async fn what_is_no_id_is_not_found() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let upper = id.to_uppercase();
    for odd in [
        "x",
        "..%2F..%2Fetc",
        "-1",
        "a%0d%0ab",
        &"9".repeat(5000),
        &upper,
    ] {
        let response = edge.get(&format!("/v1/videos/{odd}")).await;
        check_problem(response, 404, "JOB_NOT_FOUND").await;
        let response = edge.get(&format!("/v1/videos/{odd}/content")).await;
        check_problem(response, 404, "JOB_NOT_FOUND").await;
    }
    let response = edge.get("/v1/videos/%ff").await;
    check_problem(response, 404, "ROUTE_NOT_FOUND").await;
    let response = edge.get("/v1/videos/%00").await;
    check_problem(response, 400, "FIELD_INVALID").await;
    check_problem(
        edge.get("/v1/videos/%ff/content").await,
        404,
        "JOB_NOT_FOUND",
    )
    .await;
    let response = edge.get(&format!("/v1/videos/{id}/preview/x")).await;
    check_problem(response, 404, "ROUTE_NOT_FOUND").await;
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
    let id = edge.submit().await;
    let send = async |method, path: String| edge.request(method, &path).send().await.unwrap();
    let response = send(Method::PUT, "/v1/videos".to_owned()).await;
    assert_eq!(response.headers()["allow"], "GET, HEAD, POST");
    check_problem(response, 405, "METHOD_NOT_ALLOWED").await;
    let response = send(Method::POST, format!("/v1/videos/{id}")).await;
    assert_eq!(response.headers()["allow"], "DELETE, GET, HEAD");
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
async fn a_client_may_wait_less_long_and_the_service_hears_so() {
    let edge = TestEdge::start_with(UploadOptions::default(), Duration::from_secs(60)).await;
    edge.scheduler.be(Trouble::Hangs);
    let get = async |path: &str, seconds: &str| {
        let request = edge.request(Method::GET, path);
        let request = request.header("X-Request-Timeout", seconds);
        request.send().await.unwrap()
    };
    for path in ["/v1/videos", "/v1/videos/x/content", "/v1/videos/x/events"] {
        check_problem(get(path, "0.2").await, 504, "DEADLINE_EXCEEDED").await;
    }
    check_problem(get("/v1/videos", "0.2").await, 504, "DEADLINE_EXCEEDED").await;
    let deadline = edge.scheduler.deadline().unwrap();
    // 200 ms at most, in whichever unit.
    let (number, unit) = deadline.split_at(deadline.len() - 1);
    let in_a_second = [("m", 1e3), ("u", 1e6), ("n", 1e9)];
    let (_, scale) = in_a_second.iter().find(|(name, _)| *name == unit).unwrap();
    assert!(number.parse::<f64>().unwrap() / scale <= 0.2, "{deadline}");
    let problem = check_problem(get("/v1/videos", "soon").await, 400, "FIELD_INVALID").await;
    assert_eq!(problem.errors[0].field, "X-Request-Timeout");
}

#[tokio::test]
async fn a_full_queue_says_when_there_may_be_room() {
    let edge = TestEdge::start().await;
    edge.scheduler
        .be(Trouble::IsFull(Duration::from_millis(7500)));
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
