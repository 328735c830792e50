use std::time::Duration;

use kinora_edge::UploadOptions;
use reqwest::Method;
use serde_json::{Value, json};

use crate::events::Reader;
use crate::harness::{BOB, TestEdge, check_problem, id_of, read};

async fn begin(edge: &TestEdge, path: &str, body: Value) -> Value {
    read(edge.post(path, body).await).await
}

fn of_prompts(prompts: &[&str]) -> Value {
    json!({ "template": { "steps": 4 }, "prompts": prompts })
}

#[tokio::test]
async fn a_batch_is_read_and_cancelled_as_one() {
    let edge = TestEdge::start().await;
    let batch = begin(&edge, "/v1/batches", of_prompts(&["a", "b", "c"])).await;
    assert_eq!(
        (&batch["object"], &batch["status"]),
        (&json!("batch"), &json!("queued"))
    );
    assert_eq!(batch["counts"], json!({ "queued": 3 }));
    let videos = batch["videos"].as_array().unwrap();
    assert_eq!((&videos[1]["prompt"], videos.len()), (&json!("b"), 3));
    assert_eq!(videos[2]["group_id"], batch["id"]);
    let request = edge.scheduler.request(&id_of(&videos[0]));
    assert_eq!(request.steps, Some(4));
    edge.scheduler.complete(&id_of(&videos[0]));
    let path = format!("/v1/batches/{}", id_of(&batch));
    let cancelled = begin(&edge, &format!("{path}:cancel"), json!({})).await;
    assert_eq!(
        cancelled["counts"],
        json!({ "completed": 1, "cancelled": 2 })
    );
    assert_eq!(edge.read(&path).await, cancelled);
}

#[tokio::test]
async fn a_sequence_ends_with_the_video_that_joins_it() {
    let edge = TestEdge::start().await;
    let body = json!({ "segment": { "steps": 4 }, "prompts": ["it falls", "it rises"] });
    let sequence = begin(&edge, "/v1/sequences", body).await;
    assert_eq!(sequence["object"], "sequence");
    let last = sequence["videos"].as_array().unwrap().last().unwrap();
    assert_eq!(last["kind"], "stitch");
    assert_eq!(sequence["result_id"], last["id"]);
}

#[tokio::test]
async fn a_group_is_there_for_its_owner() {
    let edge = TestEdge::start().await;
    let id = id_of(&begin(&edge, "/v1/batches", of_prompts(&["a"])).await);
    for (method, suffix) in [
        (Method::GET, ""),
        (Method::GET, "/events"),
        (Method::POST, ":cancel"),
    ] {
        let path = format!("/v1/batches/{id}{suffix}");
        let foreign = edge.anonymous(method.clone(), &path).bearer_auth(BOB);
        check_problem(foreign.send().await.unwrap(), 404, "GROUP_NOT_FOUND").await;
        let unknown = edge.request(method, &format!("/v1/batches/x{suffix}"));
        check_problem(unknown.send().await.unwrap(), 404, "GROUP_NOT_FOUND").await;
    }
    let other = begin(&edge, "/v1/sequences", json!({ "prompts": ["a"] })).await;
    for (path, id) in [("sequences", id.clone()), ("batches", id_of(&other))] {
        let path = format!("/v1/{path}/{id}");
        let read = edge.request(Method::GET, &path).send().await.unwrap();
        check_problem(read, 404, "GROUP_NOT_FOUND").await;
        let cancelled = edge.post(&format!("{path}:cancel"), json!({})).await;
        check_problem(cancelled, 404, "GROUP_NOT_FOUND").await;
        let events = edge.request(Method::GET, &format!("{path}/events"));
        check_problem(events.send().await.unwrap(), 404, "GROUP_NOT_FOUND").await;
        let chosen = edge.request(Method::GET, &format!("{path}?collection=batches"));
        check_problem(chosen.send().await.unwrap(), 400, "FIELD_INVALID").await;
    }
    let path = format!("/v1/batches/{id}");
    let response = edge.post(&format!("{path}:explode"), json!({})).await;
    check_problem(response, 404, "ROUTE_NOT_FOUND").await;
    let response = edge.post(&path, json!({})).await;
    assert_eq!(response.headers()["allow"], "GET, HEAD");
    check_problem(response, 405, "METHOD_NOT_ALLOWED").await;
    assert_eq!(edge.read(&path).await["status"], "queued");
}

#[tokio::test]
async fn events_of_a_batch_end_with_its_last_video() {
    let edge = TestEdge::start().await;
    let batch = begin(&edge, "/v1/batches", of_prompts(&["a", "b"])).await;
    let path = format!("/v1/batches/{}/events", id_of(&batch));
    // A browser sends the header by itself; events of a group have no numbers.
    let mut reader = Reader::open(&edge, &path, Some("7")).await;
    let (one, two) = (id_of(&batch["videos"][0]), id_of(&batch["videos"][1]));
    for id in [&one, &two] {
        let data = reader.expect_named("queued").await;
        assert_eq!((&data["id"], &data["group_id"]), (&json!(id), &batch["id"]));
    }
    edge.scheduler.complete(&two);
    assert_eq!(reader.expect_named("completed").await["id"], json!(two));
    edge.scheduler.run(&one, 1);
    reader.expect_named("in_progress").await;
    edge.scheduler.run(&one, 2);
    reader.expect_named("progress").await;
    edge.scheduler.complete(&one);
    reader.expect_named("completed").await;
    assert_eq!(reader.expect_named("end").await["id"], batch["id"]);
    assert_eq!(reader.next().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_draining_edge_does_not_say_that_a_batch_is_over() {
    let edge = TestEdge::start().await;
    let batch = begin(&edge, "/v1/batches", of_prompts(&["a"])).await;
    let path = format!("/v1/batches/{}/events", id_of(&batch));
    let mut reader = Reader::open(&edge, &path, None).await;
    reader.expect_named("queued").await;
    edge.shutdown.cancel();
    assert_eq!(reader.next().await, ["retry: 1000"]);
    assert_eq!(reader.next().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_wrong_in_a_batch_is_named_by_its_place() {
    let edge = TestEdge::start().await;
    let body = json!({ "requests": [{ "prompt": "a" }, { "prompt": "b", "frames": 16 }] });
    check_problem(edge.post("/v1/batches", body).await, 400, "FRAMES_INVALID").await;
    let body = json!({ "requests": [{ "prompt": "a" }, { "prompt": 1 }] });
    let response = edge.post("/v1/batches", body).await;
    let problem = check_problem(response, 400, "FIELD_INVALID").await;
    assert_eq!(problem.errors[0].field, "requests[1].prompt");
    assert_eq!(edge.read("/v1/videos").await["data"], json!([]));
}

#[tokio::test]
async fn a_picture_of_many_videos_is_sent_once() {
    // Large calls take their time in a build without optimisation.
    let edge = TestEdge::start_with(UploadOptions::default(), Duration::from_secs(60)).await;
    let picture = "A".repeat(16 << 20);
    let body = json!({ "template": { "image": picture }, "prompts": ["a", "b"] });
    let batch = begin(&edge, "/v1/batches", body).await;
    let request = edge.scheduler.request(&id_of(&batch["videos"][1]));
    assert_eq!(request.image.len(), 12 << 20);
}

#[tokio::test]
async fn small_texts_do_not_become_large_values() {
    let edge = TestEdge::start().await;
    let post = async |body: String| {
        let request = edge
            .request(Method::POST, "/v1/batches")
            .header("content-type", "application/json");
        request.body(body).send().await.unwrap()
    };
    let long = format!(r#"{{"requests":[{}{{}}]}}"#, "{},".repeat(1_000_000));
    check_problem(post(long).await, 400, "BODY_INVALID").await;
    let deep = format!(r#"{{"requests":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    check_problem(post(deep).await, 400, "BODY_INVALID").await;
}
