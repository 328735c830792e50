use std::time::Duration;

use kinora_edge::UploadOptions;
use kinora_edge::view::{Group, Kind, State};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::events::Reader;
use crate::harness::{ADA, BOB, TestEdge, check_problem};

async fn begin(edge: &TestEdge, path: &str, body: serde_json::Value) -> Group {
    let response = edge.post(path, body).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let group: Group = response.json().await.unwrap();
    assert_eq!(location, format!("{path}/{}", group.id));
    group
}

#[tokio::test]
async fn a_batch_is_read_and_cancelled_as_one() {
    let edge = TestEdge::start().await;
    let body = json!({ "prompts": ["a", "b"], "seeds": [1, 2], "steps": 4 });
    let batch = begin(&edge, "/v1/batches", body).await;
    assert_eq!(
        (batch.object.as_str(), batch.state),
        ("batch", State::Queued)
    );
    assert_eq!((batch.videos.len(), batch.counts["queued"]), (4, 4));
    assert_eq!(batch.videos[2].prompt, "b");
    assert_eq!(batch.videos[3].group_id.as_deref(), Some(batch.id.as_str()));
    edge.scheduler.complete(&batch.videos[0].id);
    let path = format!("/v1/batches/{}", batch.id);
    let cancelled: Group = edge
        .post(&format!("{path}:cancel"), json!({}))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (cancelled.counts["completed"], cancelled.counts["cancelled"]),
        (1, 3)
    );
    let read: Group = edge.get(&path).await.json().await.unwrap();
    assert_eq!(read, cancelled);
}

#[tokio::test]
async fn a_sequence_ends_with_the_video_that_joins_it() {
    let edge = TestEdge::start().await;
    let body = json!({ "prompts": ["it falls", "it rises"] });
    let sequence = begin(&edge, "/v1/sequences", body).await;
    assert_eq!(sequence.object, "sequence");
    let last = sequence.videos.last().unwrap();
    assert_eq!(
        (last.kind, sequence.result_id.as_ref()),
        (Kind::Stitch, Some(&last.id))
    );
}

#[tokio::test]
async fn a_group_is_there_for_its_owner_under_its_own_path() {
    let edge = TestEdge::start().await;
    let batch = begin(&edge, "/v1/batches", json!({ "prompts": ["a"] })).await;
    let id = batch.id;
    let check = async |method: Method, path: String, key: &str| {
        let request = edge.anonymous(method, &path).bearer_auth(key);
        check_problem(request.send().await.unwrap(), 404, "GROUP_NOT_FOUND").await;
    };
    for (method, suffix) in [
        (Method::GET, ""),
        (Method::GET, "/events"),
        (Method::POST, ":cancel"),
    ] {
        check(method.clone(), format!("/v1/batches/{id}{suffix}"), BOB).await;
        check(method.clone(), format!("/v1/sequences/{id}{suffix}"), ADA).await;
        check(method, format!("/v1/batches/x{suffix}"), ADA).await;
    }
    check_problem(edge.get("/v1/batches/%ff").await, 404, "GROUP_NOT_FOUND").await;
    let response = edge
        .post(&format!("/v1/batches/{id}:explode"), json!({}))
        .await;
    check_problem(response, 404, "ROUTE_NOT_FOUND").await;
    let response = edge.post(&format!("/v1/batches/{id}"), json!({})).await;
    assert_eq!(response.headers()["allow"], "GET,HEAD");
    check_problem(response, 405, "METHOD_NOT_ALLOWED").await;
    let state = edge
        .get(&format!("/v1/batches/{id}"))
        .await
        .json::<Group>()
        .await
        .unwrap()
        .state;
    assert_eq!(state, State::Queued);
}

#[tokio::test]
async fn events_of_a_batch_end_with_its_last_video() {
    let edge = TestEdge::start().await;
    let batch = begin(&edge, "/v1/batches", json!({ "prompts": ["a", "b"] })).await;
    let path = format!("/v1/batches/{}/events", batch.id);
    let mut reader = Reader::open(&edge, &path, None).await;
    let (one, two) = (&batch.videos[0].id, &batch.videos[1].id);
    for id in [one, two] {
        let data = reader.expect_named("queued").await;
        assert_eq!(
            (&data["id"], &data["group_id"]),
            (&json!(id), &json!(batch.id))
        );
    }
    edge.scheduler.complete(two);
    assert_eq!(reader.expect_named("completed").await["id"], json!(two));
    edge.scheduler.run(one, 1);
    reader.expect_named("running").await;
    edge.scheduler.run(one, 2);
    reader.expect_named("progress").await;
    edge.scheduler.complete(one);
    reader.expect_named("completed").await;
    let end = reader.expect_named("end").await;
    assert_eq!(end, json!({ "id": batch.id, "object": "batch.end" }));
    assert_eq!(reader.next().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_draining_edge_does_not_say_that_a_batch_is_over() {
    let edge = TestEdge::start().await;
    let batch = begin(&edge, "/v1/batches", json!({ "prompts": ["a"] })).await;
    let path = format!("/v1/batches/{}/events", batch.id);
    let mut reader = Reader::open(&edge, &path, None).await;
    reader.expect_named("queued").await;
    edge.shutdown.cancel();
    assert_eq!(reader.next().await, ["retry: 1000"]);
    assert_eq!(reader.next().await, Vec::<String>::new());
}

#[tokio::test]
async fn nothing_of_a_batch_is_taken_when_one_request_is_wrong() {
    let edge = TestEdge::start().await;
    let body = json!({ "requests": [{ "prompt": "a" }, { "prompt": "b", "frames": 16 }] });
    check_problem(edge.post("/v1/batches", body).await, 400, "FRAMES_INVALID").await;
    let body = json!({ "requests": [{ "prompt": "a" }, { "prompt": 1 }] });
    let problem = check_problem(
        edge.post("/v1/batches", body).await,
        400,
        "INVALID_ARGUMENT",
    )
    .await;
    assert_eq!(problem.errors[0].field, "requests[1].prompt");
    let list: serde_json::Value = edge.get("/v1/videos").await.json().await.unwrap();
    assert_eq!(list["videos"], json!([]));
}

#[tokio::test]
async fn pictures_of_a_batch_are_bounded_together() {
    // Large calls take their time in a build without optimisation.
    let edge = TestEdge::start_with(UploadOptions::default(), Duration::from_secs(60)).await;
    let picture = "A".repeat(16 << 20);
    let body = |seeds: &[u64]| json!({ "prompt": "a", "image": picture, "seeds": seeds });
    let response = edge.post("/v1/batches", body(&[1, 2, 3])).await;
    check_problem(response, 400, "INVALID_ARGUMENT").await;
    begin(&edge, "/v1/batches", body(&[1, 2])).await;
    let bomb = format!(r#"{{"requests":[{}0]}}"#, "0,".repeat(1_000_000));
    let request = edge
        .request(Method::POST, "/v1/batches")
        .header("content-type", "application/json")
        .body(bomb);
    check_problem(request.send().await.unwrap(), 400, "BODY_INVALID").await;
}
