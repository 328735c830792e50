//! The client against a mesh that misbehaves: streams that break off, transfers that arrive damaged.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: what goes wrong fails the test"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use kinora_cli::client::download::Target;
use kinora_cli::client::view::VideoOutputs;
use kinora_cli::client::{Api, ApiError};
use kinora_cli::exit::{Failure, Status};
use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest, Sha256};

const CLIP: &[u8] = b"not quite an mp4";

/// Counts the requests of a path.
type Requests = Arc<AtomicUsize>;

async fn serve(router: Router) -> Api {
    // Fails when another test of this process was first, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Api::new(&base, "kk_test".to_owned()).unwrap()
}

fn event(seq: u32, status: &str) -> String {
    let work = json!({
        "stage": "denoising", "step": seq, "steps": 4, "fraction": 0.1, "queue_position": 0
    });
    let data = json!({
        "id": "x", "object": "video.event", "type": "progress", "seq": seq, "status": status,
        "progress": 10, "attempt": 1, "work": work
    });
    format!("id: {seq}\nevent: progress\ndata: {data}\n\n")
}

/// Gives one event a connection, and a 503 in between.
async fn broken_stream(State(requests): State<Requests>, headers: HeaderMap) -> Response {
    let number = requests.fetch_add(1, Ordering::SeqCst);
    if number == 1 {
        return problem(503);
    }
    let last = headers
        .get("last-event-id")
        .map_or("0", |value| value.to_str().unwrap());
    let seq = last.parse::<u32>().unwrap() + 1;
    let status = if seq == 3 { "completed" } else { "in_progress" };
    let half = "id: 9\ndata: {\"never";
    let body = format!("{}: ping\n\n{half}", event(seq, status));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn problem(status: u16) -> Response {
    let body = json!({
        "type": "", "title": "", "status": status, "detail": "the reason", "instance": "",
        "reason": "R", "metadata": {}, "errors": [], "request_id": "r"
    });
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

#[tokio::test]
async fn a_broken_stream_is_resumed_after_the_last_event() {
    let requests = Requests::default();
    let path = "/v1/videos/x/events";
    let api = serve(
        Router::new()
            .route(path, get(broken_stream))
            .with_state(requests.clone()),
    );
    let api = api.await;
    let mut seen = Vec::new();
    let last = api.follow("x", |event| seen.push(event.seq)).await.unwrap();
    assert_eq!((seen.as_slice(), last.seq), ([1, 2, 3].as_slice(), 3));
    assert_eq!(requests.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_job_that_is_gone_ends_the_following() {
    let api = serve(Router::new().fallback(async || problem(404))).await;
    let error = api.follow("x", |_| {}).await.unwrap_err();
    assert!(matches!(error, ApiError::Refused(_)), "{error}");
    assert_eq!(Failure::from(error).status, Status::Usage);
}

/// The first transfer breaks off.
async fn content(State(requests): State<Requests>) -> &'static [u8] {
    if requests.fetch_add(1, Ordering::SeqCst) == 0 {
        &CLIP[..5]
    } else {
        CLIP
    }
}

fn outputs(sha256: String) -> VideoOutputs {
    VideoOutputs {
        bytes: CLIP.len() as u64,
        sha256,
        duration_seconds: 2.0,
        width: 64,
        height: 64,
        frames: 17,
        fps: 8,
        content_url: "/v1/videos/x/content".to_owned(),
        thumbnail_url: String::new(),
        still_url: None,
        manifest_url: String::new(),
        spritesheet_url: None,
    }
}

#[tokio::test]
async fn a_damaged_transfer_is_begun_again() {
    let router = Router::new().route("/v1/videos/x/content", get(content));
    let api = serve(router.with_state(Requests::default())).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let target = Target::prepare(&path).unwrap();
    let sum = hex::encode(Sha256::digest(CLIP));
    assert_eq!(api.download(&outputs(sum), target).await.unwrap(), path);
    assert_eq!(std::fs::read(&path).unwrap(), CLIP);
}

#[tokio::test]
async fn a_clip_of_another_sum_never_gets_its_name() {
    let router = Router::new().route("/v1/videos/x/content", get(async || CLIP));
    let api = serve(router).await;
    let folder = tempfile::tempdir().unwrap();
    let target = Target::prepare(&folder.path().join("clip.mp4")).unwrap();
    let error = api
        .download(&outputs("0".repeat(64)), target)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Two pages of no videos, and what was asked for.
async fn pages(
    State(asked): State<Arc<Mutex<Vec<String>>>>,
    RawQuery(query): RawQuery,
) -> Response {
    let mut asked = asked.lock();
    asked.push(query.unwrap());
    let next = if asked.len() == 1 { "more" } else { "" };
    let page = json!({ "object": "list", "data": [], "has_more": true, "next_page_token": next });
    axum::Json(page).into_response()
}

#[tokio::test]
async fn each_state_is_asked_for_by_itself_on_every_page() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let router = Router::new().route("/v1/videos", get(pages));
    let api = serve(router.with_state(Arc::clone(&asked))).await;
    let states = [("status", "queued"), ("status", "in_progress")];
    assert_eq!(api.videos(5, &states).await.unwrap(), []);
    let both = "status=queued&status=in_progress";
    let expected = ["", "more"].map(|token| format!("page_size=5&page_token={token}&{both}"));
    assert_eq!(*asked.lock(), expected);
}
