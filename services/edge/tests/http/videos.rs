use std::time::Duration;

use kinora_edge::UploadOptions;
use kinora_edge::view::{ModelList, State, Video, VideoList};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{ADA, TestEdge, check_problem};

#[tokio::test]
async fn a_submission_is_created_with_its_location() {
    let edge = TestEdge::start().await;
    let body = json!({ "prompt": "a red ball", "seed": 0, "guidance": 5, "negative_prompt": "" });
    let response = edge.post("/v1/videos", body).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let video: Video = response.json().await.unwrap();
    assert_eq!(location, format!("/v1/videos/{}", video.id));
    assert_eq!((video.state, video.seed), (State::Queued, 0));
    let request = edge.scheduler.request(&video.id);
    assert_eq!(request.guidance, Some(5.0));
    assert_eq!(
        (request.negative_prompt.as_deref(), request.width),
        (Some(""), None)
    );
    assert_eq!(
        edge.get(&location).await.json::<Video>().await.unwrap(),
        video
    );
}

#[tokio::test]
async fn an_idempotency_key_replays_and_refuses_another_body() {
    let edge = TestEdge::start().await;
    let submit = async |prompt: &str| {
        edge.request(Method::POST, "/v1/videos")
            .header("Idempotency-Key", "key-1")
            .json(&json!({ "prompt": prompt }))
            .send()
            .await
            .unwrap()
    };
    let first: Video = submit("a").await.json().await.unwrap();
    let again: Video = submit("a").await.json().await.unwrap();
    assert_eq!(first.id, again.id);
    check_problem(submit("b").await, 409, "REQUEST_ID_REUSED").await;
}

#[tokio::test]
async fn what_the_scheduler_refuses_arrives_with_its_fields() {
    let edge = TestEdge::start().await;
    let response = edge
        .post("/v1/videos", json!({ "prompt": "a", "frames": 16 }))
        .await;
    let problem = check_problem(response, 400, "FRAMES_INVALID").await;
    assert_eq!(problem.kind, "https://kinora.dev/errors/frames-invalid");
    assert_eq!(problem.instance, "/v1/videos");
    assert_eq!(problem.errors[0].field, "frames");
    assert_eq!(problem.metadata["nearest"], "17");
}

#[tokio::test]
async fn pages_follow_each_other_newest_first() {
    let edge = TestEdge::start().await;
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.insert(0, edge.submit().await.id);
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/v1/videos?page_size=2&page_token={token}");
        let page: VideoList = edge.get(&path).await.json().await.unwrap();
        seen.extend(page.videos.into_iter().map(|video| video.id));
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn cancel_and_delete_act_on_the_job() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await.id;
    let cancel = edge.request(Method::POST, &format!("/v1/videos/{id}:cancel"));
    let video: Video = cancel.send().await.unwrap().json().await.unwrap();
    assert_eq!(video.state, State::Cancelled);
    let encoded = edge.request(Method::POST, &format!("/v1/videos/{id}%3Acancel"));
    assert_eq!(encoded.send().await.unwrap().status(), StatusCode::OK);
    let delete = edge
        .request(Method::DELETE, &format!("/v1/videos/{id}"))
        .send()
        .await
        .unwrap();
    assert_eq!(delete.status(), StatusCode::NO_CONTENT);
    assert!(delete.bytes().await.unwrap().is_empty());
    check_problem(
        edge.get(&format!("/v1/videos/{id}")).await,
        404,
        "JOB_NOT_FOUND",
    )
    .await;
}

#[tokio::test]
async fn outputs_redirect_to_links_once_completed() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await.id;
    let path = format!("/v1/videos/{id}/content");
    let problem = check_problem(edge.get(&path).await, 409, "NOT_READY").await;
    assert_eq!(problem.metadata["state"], "queued");
    edge.scheduler.complete(&id);
    for (name, file) in [
        ("content", "video.mp4"),
        ("thumbnail", "thumbnail.webp"),
        ("manifest", "manifest.json"),
    ] {
        let response = edge.get(&format!("/v1/videos/{id}/{name}")).await;
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(response.headers()["cache-control"], "no-store");
        let link = response.headers()["location"].to_str().unwrap();
        assert!(link.starts_with("https://clips.example.org/"), "{link}");
        assert!(
            link.contains(file) && link.contains("X-Amz-Expires=60"),
            "{link}"
        );
        assert!(!link.contains("hunter2"));
    }
    let video: Value = edge
        .get(&format!("/v1/videos/{id}"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(video["outputs"]["content_url"], path);
    assert!(video["outputs"].get("still_url").is_none());
    let still = format!("/v1/videos/{id}/still");
    check_problem(edge.get(&still).await, 404, "OUTPUT_NOT_FOUND").await;
    edge.scheduler.complete_with_still(&id);
    let link = edge.get(&still).await.headers()["location"].clone();
    assert!(link.to_str().unwrap().contains("still.png"), "{link:?}");
    let video: Value = edge
        .get(&format!("/v1/videos/{id}"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(video["outputs"]["still_url"], still);
}

#[tokio::test]
async fn models_are_listed() {
    let edge = TestEdge::start().await;
    let models: ModelList = edge.get("/v1/models").await.json().await.unwrap();
    assert_eq!(models.models[0].id, "kinora-tiny-t2v");
}

#[tokio::test]
async fn a_request_id_of_the_caller_is_kept() {
    let edge = TestEdge::start().await;
    let request = edge
        .request(Method::GET, "/v1/models")
        .header("x-request-id", "mine-1");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "mine-1");
}

#[tokio::test]
async fn edge_that_drains_is_not_ready_and_answers_until_balancers_have_noticed() {
    let edge = TestEdge::start_as(UploadOptions::default(), |options| {
        options.drain.drain_delay = Duration::from_secs(3600);
    })
    .await;
    assert_eq!(edge.get("/readyz").await.status(), StatusCode::OK);
    edge.shutdown.cancel();
    check_problem(edge.get("/readyz").await, 503, "UNAVAILABLE").await;
    for path in ["/v1/models", "/healthz"] {
        // Over a connection of its own, as it comes from who has not noticed yet.
        let answer = reqwest::Client::new()
            .get(format!("http://{}{path}", edge.address))
            .bearer_auth(ADA);
        assert_eq!(
            answer.send().await.unwrap().status(),
            StatusCode::OK,
            "{path}"
        );
    }
}

#[tokio::test]
async fn health_is_about_the_process_and_readiness_about_the_scheduler() {
    let edge = TestEdge::start().await;
    assert_eq!(
        edge.anonymous(Method::GET, "/readyz")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    edge.stop_scheduler();
    let poll = async || {
        edge.anonymous(Method::GET, "/readyz")
            .send()
            .await
            .unwrap()
            .status()
    };
    while poll().await != StatusCode::SERVICE_UNAVAILABLE {}
    assert_eq!(
        edge.anonymous(Method::GET, "/healthz")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}
