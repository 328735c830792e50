use std::time::Duration;

use kinora_edge::UploadOptions;
use kinora_proto::scheduler::v1::VideoError;
use kinora_proto::scheduler::v1::video::Status;
use reqwest::Method;
use serde_json::{Value, json};

use super::{TINY, call, get, refused, run, send};
use crate::harness::{TestEdge, id_of, read};

const OVI: &str = "ovi-1.1-720x720_5s";

const MOCHI: &str = "mochi-1-preview";

fn fail(edge: &TestEdge, id: &str) {
    edge.scheduler.advance(id, |video| {
        video.set_status(Status::Failed);
        video.error = Some(VideoError {
            code: "OUT_OF_MEMORY".to_owned(),
            message: "it is too large".to_owned(),
            retryable: false,
        });
    });
}

/// The first field that a refusal names.
async fn field_of(edge: &TestEdge, endpoint: &str, input: Value) -> (u16, Value, Value) {
    let body = json!({ "input": input });
    let response = send(edge, &format!("{endpoint}/run"), &body).await;
    let (status, mut document) = refused(response).await;
    let field = document["errors"][0]["field"].take();
    (status, field, document["error"].take())
}

#[tokio::test]
async fn ovis_callers_have_their_parameters_and_their_output() {
    let edge = TestEdge::start().await;
    edge.scheduler.offer(OVI);
    let input =
        json!({ "prompt": "a dog barks", "sample_steps": 30, "video_negative_prompt": "blur" });
    let id = run(&edge, "ovi", input).await;
    let request = edge.scheduler.request(&id);
    assert_eq!((request.model.as_str(), request.steps), (OVI, Some(30)));
    assert_eq!(request.guidance, Some(4.0));
    assert_eq!(request.negative_prompt.as_deref(), Some("blur"));
    edge.scheduler.complete(&id);
    for endpoint in ["ovi", OVI, "720x720_5s"] {
        let done = get(&edge, &format!("{endpoint}/status/{id}")).await;
        let output = &done["output"];
        assert_eq!(
            (&output["id"], &output["object"], &output["model"]),
            (&json!(id), &json!("video.generation"), &json!(OVI))
        );
        let data = &output["data"][0];
        let url = data["url"].as_str().unwrap();
        assert!(url.starts_with("https://clips.example.org/"), "{url}");
        assert_eq!(data["revised_prompt"], "a dog barks");
        assert_eq!(output["usage"]["prompt_tokens"], 3);
    }
}

#[tokio::test]
async fn ovis_errors_are_objects() {
    let edge = TestEdge::start().await;
    edge.scheduler.offer(OVI);
    let input = json!({ "prompt": "p", "sample_steps": 9 });
    let (status, field, error) = field_of(&edge, "ovi", input).await;
    assert_eq!((status, field), (400, json!("sample_steps")));
    assert_eq!(
        (&error["type"], &error["param"], &error["code"]),
        (
            &json!("invalid_request_error"),
            &json!("sample_steps"),
            &json!("FIELD_INVALID")
        )
    );
    let id = run(&edge, "ovi", json!({ "prompt": "p" })).await;
    fail(&edge, &id);
    let failed = get(&edge, &format!("ovi/status/{id}")).await;
    let expected = json!({
        "message": "it is too large", "type": "server_error", "param": null, "code": "OUT_OF_MEMORY",
    });
    assert_eq!(
        (&failed["status"], &failed["error"]),
        (&json!("FAILED"), &expected)
    );
}

#[tokio::test]
async fn mochis_callers_have_their_parameters_and_a_real_failure() {
    let edge = TestEdge::start().await;
    edge.scheduler.offer(MOCHI);
    let input = json!({ "positive_prompt": "a cat", "cfg": 4.5, "num_frames": 37, "seed": 42 });
    let id = run(&edge, "mochi", input).await;
    let request = edge.scheduler.request(&id);
    assert_eq!((request.model.as_str(), request.frames), (MOCHI, Some(37)));
    assert_eq!((request.width, request.height), (Some(848), Some(480)));
    assert_eq!((request.steps, request.guidance), (Some(40), Some(4.5)));
    edge.scheduler.complete(&id);
    let done = get(&edge, &format!("mochi/status/{id}")).await;
    assert_eq!(done["output"]["status"], "DONE");
    let url = done["output"]["result"].as_str().unwrap();
    assert!(url.starts_with("https://clips.example.org/"), "{url}");
    let input = json!({ "positive_prompt": "a dog", "num_frames": 37 });
    let id = run(&edge, "mochi", input).await;
    fail(&edge, &id);
    let failed = get(&edge, &format!("mochi/status/{id}")).await;
    assert_eq!(failed["status"], "FAILED");
    assert_eq!(failed["error"], "OUT_OF_MEMORY: it is too large");
    assert!(failed.get("output").is_none());
}

#[tokio::test]
async fn what_the_model_refuses_has_the_callers_name_for_it() {
    let edge = TestEdge::start().await;
    edge.scheduler.offer(MOCHI);
    let input = json!({ "positive_prompt": "a cat", "num_frames": 32 });
    let (status, field, error) = field_of(&edge, "mochi", input).await;
    assert_eq!((status, field), (400, json!("num_frames")));
    let error = error.as_str().unwrap();
    assert!(error.contains("`num_frames` must be 4n+1"), "{error}");
    let input = json!({ "prompt": "a cat", "frames": 32 });
    let (status, field, _) = field_of(&edge, TINY, input).await;
    assert_eq!((status, field), (400, json!("frames")));
}

#[tokio::test]
async fn unknown_fields_are_named_and_nothing_is_made() {
    let edge = TestEdge::start().await;
    edge.scheduler.offer(OVI);
    edge.scheduler.offer(MOCHI);
    for (endpoint, prompt) in [
        (TINY, "prompt"),
        ("ovi", "prompt"),
        ("mochi", "positive_prompt"),
    ] {
        let input = json!({ prompt: "a cat", "lora": "x" });
        let (status, field, _) = field_of(&edge, endpoint, input).await;
        assert_eq!((status, field), (400, json!("lora")), "{endpoint}");
    }
    assert_eq!(edge.scheduler.count(), 0);
}

#[tokio::test]
async fn models_that_are_not_served_are_told_from_unknown_endpoints() {
    let edge = TestEdge::start().await;
    let input = json!({ "input": { "prompt": "a cat" } });
    let (status, document) = refused(send(&edge, "ovi/run", &input).await).await;
    assert_eq!(
        (status, &document["reason"]),
        (404, &json!("MODEL_NOT_SERVED"))
    );
    assert_eq!(document["metadata"]["model"], OVI);
    assert_eq!(document["error"]["code"], "MODEL_NOT_SERVED");
    let (status, document) = refused(send(&edge, "mochi/runsync", &input).await).await;
    assert_eq!(
        (status, &document["reason"]),
        (404, &json!("MODEL_NOT_SERVED"))
    );
    let error = document["error"].as_str().unwrap();
    assert!(
        error.contains("not served here yet; served: kinora-tiny-t2v"),
        "{error}"
    );
    for (method, path) in [
        (Method::POST, "nothing/run"),
        (Method::GET, "nothing/health"),
        (Method::POST, "nothing/purge-queue"),
    ] {
        let response = call(&edge, method, path).send().await.unwrap();
        let (status, document) = refused(response).await;
        assert_eq!(
            (status, &document["reason"]),
            (404, &json!("ENDPOINT_UNKNOWN")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn bodies_are_taken_up_to_ten_and_twenty_megabytes() {
    let edge = TestEdge::start_with(UploadOptions::default(), Duration::from_secs(60)).await;
    let of = |bytes: usize| json!({ "input": { "prompt": "p".repeat(bytes) } });
    let large = of(10 << 20);
    let (status, document) = refused(send(&edge, &format!("{TINY}/run"), &large).await).await;
    assert_eq!(
        (status, &document["reason"]),
        (413, &json!("BODY_TOO_LARGE"))
    );
    let huge = of(20 << 20);
    let (status, _) = refused(send(&edge, &format!("{TINY}/runsync"), &huge).await).await;
    assert_eq!(status, 413);
    let answer = send(&edge, &format!("{TINY}/runsync?wait=1000"), &large).await;
    assert!(!id_of(&read(answer).await).is_empty());
}

#[tokio::test]
async fn what_is_no_json_object_is_refused() {
    let edge = TestEdge::start().await;
    for body in ["", "[]", "{", "null", "{\"input\":{},\"input\":{}}"] {
        let request = call(&edge, Method::POST, &format!("{TINY}/run")).body(body);
        let (status, document) = refused(request.send().await.unwrap()).await;
        assert_eq!(
            (status, &document["reason"]),
            (400, &json!("BODY_INVALID")),
            "{body}"
        );
    }
    let request = edge.request(Method::POST, &format!("/v2/{TINY}/run"));
    let request = request.header("content-type", "text/plain").body("{}");
    assert_eq!(refused(request.send().await.unwrap()).await.0, 415);
}
