use kinora_proto::scheduler::v1 as proto;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{BOB, TestEdge, check_problem, id_of, read};

/// Posts as Ada with a header, and gives the answer.
async fn post_with(
    edge: &TestEdge,
    path: &str,
    header: (&str, &str),
    body: &Value,
) -> reqwest::Response {
    let request = edge.request(Method::POST, path).json(body);
    let request = request.header(header.0, header.1);
    request.send().await.unwrap()
}

#[tokio::test]
async fn when_and_how_urgently_reaches_the_scheduler() {
    let edge = TestEdge::start().await;
    let body = json!({
        "prompt": "p", "priority": "interactive", "not_before": "2027-01-31T18:00:00Z",
        "expire_after": "7200s",
    });
    let video = read(edge.post("/v1/videos", body).await).await;
    assert_eq!(video["priority"], "interactive");
    assert_eq!(video["not_before"], "2027-01-31T18:00:00Z");
    let request = edge.scheduler.request(&id_of(&video));
    assert_eq!(request.priority(), proto::Priority::Interactive);
    assert_eq!(request.expire_after.map(|d| d.seconds), Some(7200));
}

#[tokio::test]
async fn pictures_come_in_base64_or_as_data_urls() {
    let edge = TestEdge::start().await;
    let body = json!({ "prompt": "p", "image": "iVBORw==", "last_image": "data:image/png;base64,iVBORw==" });
    let video = read(edge.post("/v1/videos", body).await).await;
    let request = edge.scheduler.request(&id_of(&video));
    assert_eq!(request.image, b"\x89PNG".as_slice());
    assert_eq!(request.last_image, request.image);
}

#[tokio::test]
async fn an_idempotency_key_replays_and_refuses_another_body() {
    let edge = TestEdge::start().await;
    let submit = async |prompt: &str| {
        let key = ("Idempotency-Key", "key-1");
        post_with(&edge, "/v1/videos", key, &json!({ "prompt": prompt })).await
    };
    let first = read(submit("a").await).await;
    assert_eq!(edge.scheduler.request(&id_of(&first)).request_id, "key-1");
    assert_eq!(read(submit("a").await).await, first);
    check_problem(submit("b").await, 409, "REQUEST_ID_REUSED").await;
}

#[tokio::test]
async fn a_key_may_stand_in_the_body_and_must_not_be_another_one_there() {
    let edge = TestEdge::start().await;
    let body = json!({ "prompt": "p", "request_id": "one" });
    let made = read(edge.post("/v1/videos", body.clone()).await).await;
    let same = post_with(&edge, "/v1/videos", ("Idempotency-Key", "one"), &body).await;
    assert_eq!(read(same).await["id"], made["id"]);
    let other = post_with(&edge, "/v1/videos", ("Idempotency-Key", "two"), &body).await;
    let problem = check_problem(other, 400, "FIELD_INVALID").await;
    assert_eq!(problem.errors[0].field, "Idempotency-Key");
}

#[tokio::test]
async fn every_call_that_makes_videos_takes_a_key() {
    let edge = TestEdge::start().await;
    let source = edge.submit().await;
    edge.scheduler.complete(&source);
    let remix = format!("/v1/videos/{source}:remix");
    let key = ("Idempotency-Key", "key-1");
    let made = read(post_with(&edge, &remix, key, &json!({})).await).await;
    assert_eq!(edge.scheduler.request(&id_of(&made)).request_id, "key-1");
    let body = json!({ "requests": [{ "prompt": "a" }] });
    let batch = read(post_with(&edge, "/v1/batches", key, &body).await).await;
    let video = id_of(&batch["videos"][0]);
    assert_eq!(edge.scheduler.request(&video).request_id, "key-1");
}

#[tokio::test]
async fn headers_of_other_calls_are_passed_over() {
    let edge = TestEdge::start().await;
    let request = edge.request(Method::GET, "/v1/models");
    let request = request
        .header("Idempotency-Key", "no key")
        .header("Allow-Duplicate", "maybe")
        .header("Last-Event-ID", "x");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn duplicates_are_allowed_by_header_or_field() {
    let edge = TestEdge::start().await;
    let submit = async |header: Option<&str>, body: Value| {
        let request = edge.request(Method::POST, "/v1/videos").json(&body);
        let request = match header {
            Some(value) => request.header("Allow-Duplicate", value),
            None => request,
        };
        request.send().await.unwrap()
    };
    for (header, field, expected) in [
        (None, false, false),
        (Some("false"), false, false),
        (Some("true"), false, true),
        (Some("false"), true, true),
        (None, true, true),
    ] {
        let body = json!({ "prompt": "p", "allow_duplicate": field });
        let video = read(submit(header, body).await).await;
        let request = edge.scheduler.request(&id_of(&video));
        assert_eq!(request.allow_duplicate, expected);
    }
    let odd = submit(Some("yes"), json!({ "prompt": "p" })).await;
    let problem = check_problem(odd, 400, "FIELD_INVALID").await;
    assert_eq!(problem.errors[0].field, "Allow-Duplicate");
}

#[tokio::test]
async fn an_estimate_stores_nothing() {
    let edge = TestEdge::start().await;
    let path = "/v1/videos:estimate";
    let estimate = read(edge.post(path, json!({ "prompt": "p", "seed": 3 })).await).await;
    assert_eq!(estimate["gpu_seconds"], 1.5);
    assert!(estimate.get("queue_seconds").is_none());
    assert_eq!(estimate["settings"]["seed"], "3");
    assert_eq!(estimate["memory_bytes"], (1_u64 << 60).to_string());
    assert_eq!(estimate["credits"], "2125");
    assert_eq!(estimate["available_credits"], "2000");
    assert_eq!(estimate["refusal"], "INSUFFICIENT_CREDITS");
    assert_eq!(edge.read("/v1/videos").await["data"], json!([]));
    let response = edge
        .post(path, json!({ "prompt": "p", "frames": 16 }))
        .await;
    check_problem(response, 400, "FRAMES_INVALID").await;
    check_problem(edge.get(path).await, 405, "METHOD_NOT_ALLOWED").await;
}

#[tokio::test]
async fn a_preview_is_fetched_and_approved() {
    let edge = TestEdge::start().await;
    let body = json!({ "prompt": "p", "preview_first": true });
    let id = id_of(&read(edge.post("/v1/videos", body).await).await);
    let path = format!("/v1/videos/{id}");
    let problem = check_problem(edge.get(&format!("{path}/preview")).await, 409, "NOT_READY").await;
    assert_eq!(problem.metadata["status"], "queued");
    let approve_path = format!("{path}:approve");
    let approve = || edge.post(&approve_path, json!({}));
    check_problem(approve().await, 400, "NOT_AWAITING_APPROVAL").await;

    edge.scheduler.show_preview(&id);
    let waiting = edge.read(&path).await;
    assert_eq!(waiting["status"], "awaiting_approval");
    for (name, file) in [
        ("content_url", "video.mp4"),
        ("thumbnail_url", "thumbnail.webp"),
    ] {
        let url = waiting["preview_outputs"][name].as_str().unwrap();
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

    assert_eq!(read(approve().await).await["status"], "queued");
}

#[tokio::test]
async fn without_a_preview_there_is_none_to_fetch() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
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
    let id = edge.submit().await;
    for path in [
        format!("/v1/videos/{id}:remix"),
        format!("/v1/videos/{id}/remix"),
    ] {
        let response = edge.request(Method::POST, &path).send().await.unwrap();
        assert_eq!(read(response).await["source_id"], id);
        let varied = read(edge.post(&path, json!({ "prompt": "b" })).await).await;
        let request = edge.scheduler.request(&id_of(&varied));
        assert_eq!(
            (request.prompt.as_str(), request.remix_of.as_str()),
            ("b", id.as_str())
        );
        let odd = edge.post(&path, json!({ "remix_of": "another" })).await;
        let problem = check_problem(odd, 400, "FIELD_INVALID").await;
        assert_eq!(problem.errors[0].field, "remix_of");
    }
}

#[tokio::test]
async fn an_extension_is_a_sequence_that_goes_on_from_a_video() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let path = format!("/v1/videos/{id}:extend");
    let extend = || edge.post(&path, json!({ "prompts": ["it jumps"] }));
    check_problem(extend().await, 400, "SOURCE_NOT_COMPLETED").await;
    edge.scheduler.complete(&id);
    let group = read(extend().await).await;
    assert_eq!(group["object"], "sequence");
    assert_eq!(group["videos"][0]["source_id"], id);
}

#[tokio::test]
async fn videos_are_listed_by_status() {
    let edge = TestEdge::start().await;
    let (one, two) = (edge.submit().await, edge.submit().await);
    edge.submit().await;
    edge.scheduler.run(&one, 1);
    edge.scheduler.complete(&two);
    let path = "/v1/videos?status=in_progress&status=completed&page_size=5";
    let list = edge.read(path).await;
    let ids: Vec<String> = list["data"].as_array().unwrap().iter().map(id_of).collect();
    assert_eq!(ids, [two, one]);
    let response = edge.get("/v1/videos?status=done").await;
    let problem = check_problem(response, 400, "FIELD_INVALID").await;
    assert!(problem.errors[0].field.starts_with("status"));
}

#[tokio::test]
async fn head_gets_a_link_of_its_own() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
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
