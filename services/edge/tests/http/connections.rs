//! What goes wrong below a request: bytes that are no HTTP, paths and headers that try to be something else, clients that
//! leave or go silent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinora_edge::UploadOptions;
use kinora_proto::scheduler::v1::ListModelsRequest;
use kinora_proto::scheduler::v1::video_service_client::VideoServiceClient;
use kinora_testkit::wait::until;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::fake::Trouble;
use crate::grpc::{by, channel};
use crate::harness::{ADA, TestEdge};

/// For what comes at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// No call ends by itself.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Sends raw bytes and reads the answer to its end.
async fn raw(edge: &TestEdge, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(edge.address).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request by Ada with these lines in its head, after which the connection is closed.
fn head(request: &str, lines: &str) -> String {
    format!(
        "{request} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADA}\r\nconnection: close\r\n{lines}\r\n"
    )
}

async fn hanging(edge: &TestEdge, expected: usize) {
    until("so many calls", PATIENCE, async || {
        match edge.scheduler.hanging() {
            count if count == expected => Ok(()),
            count => Err(count),
        }
    })
    .await;
}

#[tokio::test]
async fn broken_http_is_refused_and_harms_nobody() {
    let edge = TestEdge::start().await;
    let refused = async |bytes: &[u8], status: &str| {
        let answer = raw(&edge, bytes).await;
        let is_refused = answer.is_empty() || answer.starts_with(status);
        assert!(is_refused, "{}: {answer}", String::from_utf8_lossy(bytes));
    };
    let huge = head("GET /healthz", &format!("x: {}\r\n", "a".repeat(1 << 20)));
    refused(huge.as_bytes(), "HTTP/1.1 431").await;
    refused(b"NONSENSE\r\n\r\n", "HTTP/1.1 400").await;
    let json = "content-type: application/json\r\n";
    let chunked = format!("{json}transfer-encoding: chunked\r\n");
    let broken = head("POST /v1/videos", &chunked) + "5\r\n{\"pro\r\nzz\r\n";
    refused(broken.as_bytes(), "HTTP/1.1 400").await;
    // What two servers may read in two ways.
    for lines in [
        "content-length: 2\r\ncontent-length: 15\r\n",
        "content-length: +2\r\n",
        "content-length: -2\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "x: a\rset-cookie: b=c\r\n",
        "x: a\0b\r\n",
        "x y: z\r\n",
        " x: y\r\n",
    ] {
        let odd = head("POST /v1/videos", &format!("{json}{lines}")) + "{}";
        refused(odd.as_bytes(), "HTTP/1.1 400").await;
    }
    assert_eq!(edge.scheduler.count(), 0);
    assert_eq!(edge.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn paths_that_lead_elsewhere_lead_nowhere() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    for path in [
        "//v1/videos",
        "/v1//videos",
        "/v1/videos//",
        "/v1/./videos",
        "/v1/x/../videos",
        "/v1/videos/../admin/workers",
        "/v1/videos/..%2fadmin%2fworkers",
        "/v1/videos/%2e%2e/admin/workers",
        "/v1%2fvideos",
        "/v1\\videos",
        "/V1/videos",
        "/v1/videos;a=b",
        "/v1/videos%00",
        "/v1/videos%20",
        "/v1/videos/%ff",
        &format!("/v1/videos/{id}%2fevents"),
        &format!("/v1/videos/{id}%00"),
        &format!("/v1/videos/{id}/"),
        &format!("/v2/kinora-tiny-t2v/status/..%2f{id}"),
        "/docs/../openapi.json",
        "/docs/..%2fopenapi.json",
        "/docs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/docs/start.js%00.css",
    ] {
        let answer = raw(&edge, head(&format!("GET {path}"), "").as_bytes()).await;
        let is_refused = ["404", "400"]
            .iter()
            .any(|status| answer.starts_with(&format!("HTTP/1.1 {status}")));
        assert!(is_refused, "{path}: {answer}");
        assert!(
            answer.contains("application/problem+json"),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn no_text_of_a_request_becomes_a_header_of_the_answer() {
    let edge = TestEdge::start().await;
    edge.submit().await;
    let injected = "%0d%0aset-cookie:%20a=b";
    for path in [
        format!("/v1/videos/x{injected}"),
        format!("/v1/videos/x{injected}/content"),
        format!("/v1/videos?page_token=x{injected}"),
        format!("/v1/videos/x/content?variant={injected}"),
        format!("/v2/x{injected}/status/x"),
        format!("/docs/x{injected}"),
    ] {
        let lines = format!("x-request-id: a{injected}\r\norigin: https://x{injected}\r\n");
        let answer = raw(&edge, head(&format!("GET {path}"), &lines).as_bytes()).await;
        let (answer, _) = answer.split_once("\r\n\r\n").expect("a head");
        let names = answer.lines().skip(1).map(|line| line.split(':').next());
        for name in names {
            assert_ne!(
                name.map(str::to_ascii_lowercase).as_deref(),
                Some("set-cookie")
            );
        }
    }
}

#[tokio::test]
async fn a_body_that_would_have_to_be_unpacked_is_not_even_read() {
    let uploads = UploadOptions { large_uploads: 1 };
    let edge = TestEdge::start_with(uploads, FOR_EVER).await;
    let lines = format!(
        "content-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n",
        40 << 20
    );
    let answer = raw(&edge, head("POST /v1/videos", &lines).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
    assert!(answer.contains("CONTENT_ENCODING_UNSUPPORTED"), "{answer}");
}

#[tokio::test]
async fn a_body_that_ends_early_makes_nothing_and_gives_its_place_back() {
    let uploads = UploadOptions { large_uploads: 1 };
    let edge = TestEdge::start_with(uploads, FOR_EVER).await;
    let whole = json!({ "prompt": "p", "image": STANDARD.encode([7; 100_000]) }).to_string();
    let lines = format!(
        "content-type: application/json\r\ncontent-length: {}\r\n",
        whole.len()
    );
    let mut half = head("POST /v1/videos", &lines).into_bytes();
    half.extend_from_slice(&whole.as_bytes()[..whole.len() / 2]);
    let mut stream = TcpStream::connect(edge.address).await.unwrap();
    stream.write_all(&half).await.unwrap();
    // The other half of the connection stays open.
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400");
    assert!(is_refused, "{answer}");
    until("the place to be free", PATIENCE, async || {
        let request = edge
            .request(Method::POST, "/v1/videos")
            .header("content-type", "application/json")
            .body(whole.clone());
        match request.send().await.unwrap().status() {
            StatusCode::OK => Ok(()),
            status => Err(status),
        }
    })
    .await;
    assert_eq!(edge.scheduler.count(), 1);
}

#[tokio::test]
async fn a_client_that_says_no_more_takes_its_call_with_it() {
    let edge = TestEdge::start_with(UploadOptions::default(), FOR_EVER).await;
    edge.scheduler.be(Trouble::Hangs);
    let mut stream = TcpStream::connect(edge.address).await.unwrap();
    let request = head("GET /v1/videos", "");
    stream.write_all(request.as_bytes()).await.unwrap();
    hanging(&edge, 1).await;
    stream.shutdown().await.unwrap();
    hanging(&edge, 0).await;
}

/// A call that waits for its answer.
fn begun<T: Send + 'static>(call: impl Future<Output = T> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        let _ = call.await;
    })
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_call_behind_the_edge() {
    let edge = TestEdge::start_with(UploadOptions::default(), FOR_EVER).await;
    edge.scheduler.be(Trouble::Hangs);
    let video = json!({ "prompt": "a red ball" });
    let picture = json!({ "prompt": "p", "image": STANDARD.encode([7; 100_000]) });
    let job = json!({ "input": video });
    let post = |path: &str, body: &serde_json::Value| {
        let request = edge.request(Method::POST, path).json(body);
        begun(request.send())
    };
    let get = |method: Method, path: &str| begun(edge.request(method, path).send());
    let grpc = || {
        let mut client = VideoServiceClient::new(channel(&edge));
        begun(async move { client.list_models(by(ADA, ListModelsRequest {})).await })
    };
    let web = || {
        let path = "/kinora.scheduler.v1.VideoService/ListModels";
        let request = edge
            .request(Method::POST, path)
            .header("content-type", "application/grpc-web+proto")
            .body(vec![0; 5]);
        begun(request.send())
    };
    let calls: [(&str, &dyn Fn() -> JoinHandle<()>); 10] = [
        ("a list", &|| get(Method::GET, "/v1/videos")),
        ("its head", &|| get(Method::HEAD, "/v1/videos")),
        ("a redirect", &|| get(Method::GET, "/v1/videos/x/content")),
        ("events", &|| get(Method::GET, "/v1/videos/x/events")),
        ("a video", &|| post("/v1/videos", &video)),
        ("a picture", &|| post("/v1/videos", &picture)),
        ("a job", &|| post("/v2/kinora-tiny-t2v/run", &job)),
        ("a job to wait for", &|| {
            post("/v2/kinora-tiny-t2v/runsync", &job)
        }),
        ("gRPC", &grpc),
        ("gRPC-Web", &web),
    ];
    for (name, begin) in calls {
        let call = begin();
        hanging(&edge, 1).await;
        assert!(!call.is_finished(), "{name}");
        call.abort();
        hanging(&edge, 0).await;
    }
    assert_eq!(edge.scheduler.count(), 0);
}
