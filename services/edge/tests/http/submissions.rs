use kinora_edge::view::{Estimate, Group, Priority, State, Video, VideoList};
use kinora_proto::scheduler::v1 as proto;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{BOB, TestEdge, check_problem};

#[tokio::test]
async fn when_and_how_urgently_reaches_the_scheduler() {
    let edge = TestEdge::start().await;
    let body = json!({
        "prompt": "p", "priority": "interactive", "not_before": "2027-01-31T18:00:00Z",
        "expire_after": "2h",
    });
    let response = edge.post("/v1/videos", body).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let video: Video = response.json().await.unwrap();
    assert_eq!(video.priority, Priority::Interactive);
    assert_eq!(video.not_before.as_deref(), Some("2027-01-31T18:00:00Z"));
    let request = edge.scheduler.request(&video.id);
    assert_eq!(request.priority(), proto::Priority::Interactive);
    assert_eq!(request.expire_after.map(|d| d.seconds), Some(7200));
}

#[tokio::test]
async fn duplicates_are_allowed_by_header_or_field() {
    let edge = TestEdge::start().await;
    let submit = async |header: Option<&str>, body| {
        let mut request = edge.request(Method::POST, "/v1/videos").json(&body);
        if let Some(value) = header {
            request = request.header("Allow-Duplicate", value);
        }
        request.send().await.unwrap()
    };
    for (header, field, expected) in [
        (None, false, false),
        (Some("false"), false, false),
        (Some("true"), false, true),
        (None, true, true),
    ] {
        let body = json!({ "prompt": "p", "allow_duplicate": field });
        let video: Video = submit(header, body).await.json().await.unwrap();
        assert_eq!(edge.scheduler.request(&video.id).allow_duplicate, expected);
    }
    let odd = submit(Some("yes"), json!({ "prompt": "p" })).await;
    let problem = check_problem(odd, 400, "INVALID_ARGUMENT").await;
    assert_eq!(problem.errors[0].field, "Allow-Duplicate");
}

#[tokio::test]
async fn an_estimate_stores_nothing() {
    let edge = TestEdge::start().await;
    let response = edge
        .post("/v1/videos:estimate", json!({ "prompt": "p", "seed": 3 }))
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    let estimate: Estimate = response.json().await.unwrap();
    assert_eq!(
        (estimate.gpu_seconds, estimate.queue_seconds),
        (Some(1.5), None)
    );
    assert_eq!((estimate.settings.seed, estimate.credits), (3, 2125));
    assert_eq!(estimate.available_credits, Some(2000));
    assert_eq!(estimate.refusal.as_deref(), Some("INSUFFICIENT_CREDITS"));
    let list: VideoList = edge.get("/v1/videos").await.json().await.unwrap();
    assert!(list.videos.is_empty());
    let response = edge
        .post(
            "/v1/videos:estimate",
            json!({ "prompt": "p", "frames": 16 }),
        )
        .await;
    check_problem(response, 400, "FRAMES_INVALID").await;
    let response = edge.post("/v1/videos:estimate", json!({})).await;
    check_problem(response, 400, "INVALID_ARGUMENT").await;
    check_problem(
        edge.get("/v1/videos:estimate").await,
        405,
        "METHOD_NOT_ALLOWED",
    )
    .await;
}

#[tokio::test]
async fn a_preview_is_fetched_and_approved() {
    let edge = TestEdge::start().await;
    let body = json!({ "prompt": "p", "preview_first": true });
    let video: Video = edge.post("/v1/videos", body).await.json().await.unwrap();
    let path = format!("/v1/videos/{}", video.id);
    assert!(video.preview_settings.is_some());
    let problem = check_problem(edge.get(&format!("{path}/preview")).await, 409, "NOT_READY").await;
    assert_eq!(problem.metadata["state"], "queued");
    let approve_path = format!("{path}:approve");
    let approve = || edge.post(&approve_path, json!({}));
    check_problem(approve().await, 400, "NOT_AWAITING_APPROVAL").await;

    edge.scheduler.show_preview(&video.id);
    let waiting: Video = edge.get(&path).await.json().await.unwrap();
    assert_eq!(waiting.state, State::AwaitingApproval);
    let preview = waiting.preview_outputs.unwrap();
    for (url, file) in [
        (&preview.content_url, "video.mp4"),
        (&preview.thumbnail_url, "thumbnail.webp"),
    ] {
        let response = edge.get(url).await;
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT, "{url}");
        let link = response.headers()["location"].to_str().unwrap();
        assert!(link.contains(file), "{link}");
    }
    for (name, reason) in [("still", "OUTPUT_NOT_FOUND"), ("x", "ROUTE_NOT_FOUND")] {
        let response = edge.get(&format!("{path}/preview/{name}")).await;
        check_problem(response, 404, reason).await;
    }
    check_problem(edge.get(&format!("{path}/content")).await, 409, "NOT_READY").await;

    let approved: Video = approve().await.json().await.unwrap();
    assert_eq!(approved.state, State::Queued);
}

#[tokio::test]
async fn without_a_preview_there_is_none_to_fetch() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await.id;
    let path = format!("/v1/videos/{id}/preview");
    check_problem(edge.get(&path).await, 404, "OUTPUT_NOT_FOUND").await;
    let foreign = edge.anonymous(Method::GET, &path).bearer_auth(BOB);
    check_problem(foreign.send().await.unwrap(), 404, "JOB_NOT_FOUND").await;
    check_problem(
        edge.get("/v1/videos/x/preview/still").await,
        404,
        "JOB_NOT_FOUND",
    )
    .await;
}

#[tokio::test]
async fn a_remix_needs_no_body() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await.id;
    let path = format!("/v1/videos/{id}:remix");
    let response = edge.request(Method::POST, &path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let video: Video = response.json().await.unwrap();
    assert_eq!(video.source_id.as_deref(), Some(id.as_str()));
    let varied: Video = edge
        .post(&path, json!({ "prompt": "b" }))
        .await
        .json()
        .await
        .unwrap();
    let request = edge.scheduler.request(&varied.id);
    assert_eq!(
        (request.prompt.as_str(), request.remix_of),
        ("b", id.clone())
    );
    let odd = edge.post(&path, json!({ "remix_of": id })).await;
    let problem = check_problem(odd, 400, "INVALID_ARGUMENT").await;
    assert_eq!(problem.errors[0].field, "remix_of");
    check_problem(
        edge.post("/v1/videos/x:remix", json!({})).await,
        404,
        "JOB_NOT_FOUND",
    )
    .await;
}

#[tokio::test]
async fn an_extension_is_a_sequence_that_goes_on_from_a_video() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await.id;
    let path = format!("/v1/videos/{id}:extend");
    let extend = || edge.post(&path, json!({ "prompts": ["it jumps"] }));
    check_problem(extend().await, 400, "SOURCE_NOT_COMPLETED").await;
    edge.scheduler.complete(&id);
    let response = extend().await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let group: Group = response.json().await.unwrap();
    assert_eq!(location, format!("/v1/sequences/{}", group.id));
    assert_eq!(group.videos[0].source_id.as_deref(), Some(id.as_str()));
}

#[tokio::test]
async fn videos_are_listed_by_state() {
    let edge = TestEdge::start().await;
    let (one, two) = (edge.submit().await.id, edge.submit().await.id);
    edge.submit().await;
    edge.scheduler.run(&one, 1);
    edge.scheduler.complete(&two);
    let path = "/v1/videos?state=running,completed&page_size=5";
    let list: VideoList = edge.get(path).await.json().await.unwrap();
    let ids: Vec<&str> = list.videos.iter().map(|video| video.id.as_str()).collect();
    assert_eq!(ids, [two, one]);
    let problem = check_problem(
        edge.get("/v1/videos?state=done").await,
        400,
        "INVALID_ARGUMENT",
    );
    assert!(problem.await.errors[0].detail.contains("completed"));
}

#[tokio::test]
async fn head_gets_a_link_of_its_own() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await.id;
    edge.scheduler.complete(&id);
    let path = format!("/v1/videos/{id}/content");
    let head = edge.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::TEMPORARY_REDIRECT);
    let signature = |response: &reqwest::Response| {
        let link = response.headers()["location"].to_str().unwrap();
        assert!(link.contains("video.mp4"), "{link}");
        link.split("X-Amz-Signature=").nth(1).unwrap().to_owned()
    };
    assert_ne!(signature(&head), signature(&edge.get(&path).await));
}
