use std::time::Duration;

use kinora_edge::UploadOptions;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{ADA, TestEdge, check_problem, id_of, read};

#[tokio::test]
async fn a_submission_is_answered_with_its_video() {
    let edge = TestEdge::start().await;
    let body = json!({ "prompt": "a red ball", "seed": 0, "guidance": 5, "negative_prompt": "" });
    let video = read(edge.post("/v1/videos", body).await).await;
    assert_eq!(
        (&video["object"], &video["status"]),
        (&json!("video"), &json!("queued"))
    );
    let request = edge.scheduler.request(&id_of(&video));
    assert_eq!(request.guidance, Some(5.0));
    assert_eq!(
        (request.negative_prompt.as_deref(), request.width),
        (Some(""), None)
    );
    let path = format!("/v1/videos/{}", id_of(&video));
    assert_eq!(edge.read(&path).await, video);
}

#[tokio::test]
async fn numbers_of_64_bits_are_texts_and_zeros_are_there() {
    let edge = TestEdge::start().await;
    let largest = (1_u64 << 53) - 1;
    for seed in [json!(largest), json!(largest.to_string())] {
        let body = json!({ "prompt": "p", "seed": seed });
        let video = read(edge.post("/v1/videos", body).await).await;
        assert_eq!(video["seed"], largest.to_string());
        assert_eq!((&video["progress"], &video["seq"]), (&json!(0), &json!(1)));
        assert_eq!(video["notes"], json!([]));
        for unset in ["error", "outputs", "completed_at", "group_id"] {
            assert!(video.get(unset).is_none(), "{unset}");
        }
    }
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
        expected.insert(0, edge.submit().await);
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/v1/videos?page_size=2&page_token={token}");
        let page = edge.read(&path).await;
        seen.extend(page["data"].as_array().unwrap().iter().map(id_of));
        token = page["next_page_token"].as_str().unwrap().to_owned();
        assert_eq!(page["has_more"], json!(!token.is_empty()));
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_page_may_be_larger_than_calls_usually_are() {
    let edge = TestEdge::start_with(UploadOptions::default(), Duration::from_secs(60)).await;
    let body = json!({ "prompt": "p".repeat(60_000) });
    for _ in 0..80 {
        read(edge.post("/v1/videos", body.clone()).await).await;
    }
    let page = edge.read("/v1/videos?page_size=100").await;
    assert_eq!(page["data"].as_array().unwrap().len(), 80);
}

#[tokio::test]
async fn cancel_and_delete_act_on_the_video() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    for path in [
        format!("/v1/videos/{id}:cancel"),
        format!("/v1/videos/{id}%3Acancel"),
    ] {
        let cancel = edge.request(Method::POST, &path).send().await.unwrap();
        assert_eq!(read(cancel).await["status"], "cancelled");
    }
    let delete = edge
        .request(Method::DELETE, &format!("/v1/videos/{id}"))
        .send()
        .await
        .unwrap();
    let expected = json!({ "id": id, "object": "video.deleted", "deleted": true });
    assert_eq!(read(delete).await, expected);
    let response = edge.get(&format!("/v1/videos/{id}")).await;
    check_problem(response, 404, "JOB_NOT_FOUND").await;
}

#[tokio::test]
async fn outputs_redirect_to_links_once_completed() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let path = format!("/v1/videos/{id}/content");
    let problem = check_problem(edge.get(&path).await, 409, "NOT_READY").await;
    assert_eq!(problem.metadata["status"], "queued");
    edge.scheduler.complete(&id);
    for (name, file) in [
        ("content", "video.mp4"),
        ("content?variant=video", "video.mp4"),
        ("content?variant=thumbnail", "thumbnail.webp"),
        ("thumbnail", "thumbnail.webp"),
        ("manifest", "manifest.json"),
    ] {
        let response = edge.get(&format!("/v1/videos/{id}/{name}")).await;
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(response.headers()["cache-control"], "no-store");
        let link = response.headers()["location"].to_str().unwrap();
        assert!(link.starts_with("https://clips.example.org/"), "{link}");
        assert!(
            link.contains(&format!("/{file}?")) && link.contains("X-Amz-Expires=60"),
            "{link}"
        );
        assert!(link.contains(&format!("kinora-{file}")), "{link}");
        assert!(!link.contains("hunter2"));
    }
    let video = edge.read(&format!("/v1/videos/{id}")).await;
    assert_eq!(video["outputs"]["content_url"], path);
    assert!(video["outputs"].get("still_url").is_none());
    let still = format!("/v1/videos/{id}/still");
    check_problem(edge.get(&still).await, 404, "OUTPUT_NOT_FOUND").await;
    edge.scheduler.complete_with_still(&id);
    let link = edge.get(&still).await.headers()["location"].clone();
    assert!(link.to_str().unwrap().contains("still.png"), "{link:?}");
    let video = edge.read(&format!("/v1/videos/{id}")).await;
    assert_eq!(video["outputs"]["still_url"], still);
}

#[tokio::test]
async fn variants_that_there_are_not_are_named() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    edge.scheduler.complete(&id);
    let get = async |query: &str| edge.get(&format!("/v1/videos/{id}/content?{query}")).await;
    check_problem(get("variant=spritesheet").await, 404, "OUTPUT_NOT_FOUND").await;
    for (query, field) in [
        ("variant=gif", "variant"),
        ("variant=", "variant"),
        ("variant=video&variant=video", "variant"),
        ("size=large", "size"),
    ] {
        let problem = check_problem(get(query).await, 400, "FIELD_INVALID").await;
        assert_eq!(problem.errors[0].field, field);
    }
}

#[tokio::test]
async fn models_are_listed() {
    let edge = TestEdge::start().await;
    let models = edge.read("/v1/models").await;
    assert_eq!(models["object"], "list");
    assert_eq!(models["data"][0]["id"], "kinora-tiny-t2v");
}

#[tokio::test]
async fn head_is_answered_like_get_without_a_body() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let path = format!("/v1/videos/{id}");
    let head = edge.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-type"], "application/json");
    assert!(head.bytes().await.unwrap().is_empty());
    let head = edge.request(Method::HEAD, "/v1/videos/x");
    let status = head.send().await.unwrap().status();
    assert_eq!(status, StatusCode::NOT_FOUND);
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
