use std::time::Duration;

use kinora_edge::UploadOptions;
use kinora_proto::scheduler::v1::video::Status;
use kinora_proto::scheduler::v1::{Priority, VideoError};
use kinora_testkit::wait;
use prost_types::Timestamp;
use reqwest::Method;
use serde_json::json;

use super::{TINY, call, get, post, refused, run, send};
use crate::harness::{BOB, TestEdge, check_problem, id_of, read};

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

/// Waits until a job is waited for.
async fn somebody_watches(edge: &TestEdge) {
    let patience = Duration::from_secs(10);
    let probe = async || match edge.scheduler.watchers() {
        0 => Err(0),
        _ => Ok(()),
    };
    wait::until("a watcher to come", patience, probe).await;
}

#[tokio::test]
async fn a_job_is_followed_from_the_queue_to_its_clip() {
    let edge = TestEdge::start().await;
    let id = run(&edge, TINY, json!({ "prompt": "a red ball", "seed": 7 })).await;
    let path = format!("{TINY}/status/{id}");
    let queued = json!({ "id": id, "status": "IN_QUEUE" });
    assert_eq!(get(&edge, &path).await, queued);
    edge.scheduler.advance(&id, |video| {
        video.create_time = at(100);
        video.start_time = at(102);
    });
    edge.scheduler.run(&id, 2);
    let running = get(&edge, &path).await;
    assert_eq!(
        (&running["status"], &running["delayTime"]),
        (&json!("IN_PROGRESS"), &json!(2000))
    );
    edge.scheduler.complete(&id);
    edge.scheduler
        .advance(&id, |video| video.end_time = at(107));
    let done = get(&edge, &path).await;
    assert_eq!(
        (&done["status"], &done["executionTime"]),
        (&json!("COMPLETED"), &json!(5000))
    );
    let output = &done["output"];
    for (name, file) in [
        ("video_url", "video.mp4"),
        ("thumbnail_url", "thumbnail.webp"),
    ] {
        let url = output[name].as_str().unwrap();
        let of_file = format!("/jobs/{id}/1/{file}?");
        assert!(url.starts_with("https://clips.example.org/"), "{url}");
        assert!(
            url.contains(&of_file) && url.contains("X-Amz-Expires=60"),
            "{url}"
        );
    }
    assert_eq!(
        (&output["seed"], &output["bytes"]),
        (&json!(7), &json!(1234))
    );
    let posted = post(&edge, &path).await;
    assert_eq!(
        (&posted["id"], &posted["status"]),
        (&done["id"], &done["status"])
    );
}

#[tokio::test]
async fn runsync_answers_with_the_end() {
    let edge = TestEdge::start().await;
    let body = json!({ "input": { "prompt": "a red ball" } });
    let waiting = send(&edge, "kinora-tiny-t2v/runsync", &body);
    let ending = async {
        somebody_watches(&edge).await;
        let list = edge.read("/v1/videos").await;
        edge.scheduler.complete(&id_of(&list["data"][0]));
    };
    let (answer, ()) = tokio::join!(waiting, ending);
    let answer = read(answer).await;
    assert_eq!(answer["status"], "COMPLETED", "{answer}");
    assert!(answer["output"]["video_url"].is_string(), "{answer}");
}

#[tokio::test]
async fn runsync_answers_with_the_id_when_the_time_is_over() {
    let edge = TestEdge::start().await;
    let body = json!({ "input": { "prompt": "a red ball" } });
    let answer = send(&edge, "kinora-tiny-t2v/runsync?wait=1000", &body).await;
    let answer = read(answer).await;
    assert_eq!(answer["status"], "IN_QUEUE");
    for wait in ["999", "300001", "long"] {
        let path = format!("{TINY}/runsync?wait={wait}");
        let (status, document) = refused(send(&edge, &path, &body).await).await;
        assert_eq!(
            (status, &document["errors"][0]["field"]),
            (400, &json!("wait"))
        );
    }
    assert_eq!(edge.scheduler.count(), 1);
}

#[tokio::test]
async fn an_edge_that_stops_answers_with_the_id() {
    let edge = TestEdge::start_as(UploadOptions::default(), |options| {
        options.drain.drain_delay = Duration::ZERO;
    })
    .await;
    let body = json!({ "input": { "prompt": "a red ball" } });
    let waiting = send(&edge, "kinora-tiny-t2v/runsync", &body);
    let stopping = async {
        somebody_watches(&edge).await;
        edge.shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(waiting, stopping);
    assert_eq!(read(answer).await["status"], "IN_QUEUE");
}

#[tokio::test]
async fn a_stream_shows_the_present_and_ends() {
    let edge = TestEdge::start().await;
    let id = run(&edge, TINY, json!({ "prompt": "a red ball" })).await;
    edge.scheduler.run(&id, 2);
    let path = format!("{TINY}/stream/{id}");
    let running = get(&edge, &path).await;
    let item = json!({ "progress": 25, "stage": "denoising", "step": 2, "steps": 8 });
    assert_eq!(running["status"], "IN_PROGRESS");
    assert_eq!(running["stream"], json!([{ "output": item }]));
    edge.scheduler.complete(&id);
    let done = get(&edge, &path).await;
    assert_eq!(
        (&done["status"], &done["stream"]),
        (&json!("COMPLETED"), &json!([]))
    );
}

#[tokio::test]
async fn a_cancelled_job_says_so_and_is_no_failure() {
    let edge = TestEdge::start().await;
    let id = run(&edge, TINY, json!({ "prompt": "a red ball" })).await;
    let answer = post(&edge, &format!("{TINY}/cancel/{id}")).await;
    assert_eq!(answer, json!({ "id": id, "status": "CANCELLED" }));
    let answer = get(&edge, &format!("{TINY}/status/{id}")).await;
    assert_eq!(answer, json!({ "id": id, "status": "CANCELLED" }));
}

#[tokio::test]
async fn only_what_failed_or_timed_out_is_run_again() {
    let edge = TestEdge::start().await;
    let id = run(
        &edge,
        TINY,
        json!({ "prompt": "p", "seed": 11, "priority": "batch" }),
    )
    .await;
    let path = format!("{TINY}/retry/{id}");
    let response = call(&edge, Method::POST, &path).send().await.unwrap();
    let (status, document) = refused(response).await;
    assert_eq!(
        (status, &document["reason"]),
        (400, &json!("NOT_RETRYABLE"))
    );
    edge.scheduler.advance(&id, |video| {
        video.set_status(Status::Failed);
        video.error = Some(VideoError {
            code: "OUT_OF_MEMORY".to_owned(),
            message: "it is too large".to_owned(),
            retryable: true,
        });
    });
    let failed = get(&edge, &format!("{TINY}/status/{id}")).await;
    assert_eq!(failed["status"], "FAILED");
    assert_eq!(failed["error"], "OUT_OF_MEMORY: it is too large");
    let again = post(&edge, &path).await;
    assert_eq!(
        (&again["status"], &again["retryOf"]),
        (&json!("IN_QUEUE"), &json!(id))
    );
    let request = edge.scheduler.request(&id_of(&again));
    assert_eq!(
        (request.remix_of.as_str(), request.seed),
        (id.as_str(), Some(11))
    );
    assert_eq!(request.priority(), Priority::Batch);
    edge.scheduler
        .advance(&id, |video| video.set_status(Status::Expired));
    let expired = get(&edge, &format!("{TINY}/status/{id}")).await;
    assert_eq!(expired["status"], "TIMED_OUT");
    assert_eq!(post(&edge, &path).await["status"], "IN_QUEUE");
}

#[tokio::test]
async fn jobs_of_others_and_of_other_endpoints_are_not_there() {
    let edge = TestEdge::start().await;
    edge.scheduler.offer("other");
    let id = run(&edge, TINY, json!({ "prompt": "a red ball" })).await;
    for (method, path) in [
        (Method::GET, format!("other/status/{id}")),
        (Method::GET, format!("ovi/stream/{id}")),
        (Method::POST, format!("mochi/cancel/{id}")),
        (Method::POST, format!("other/retry/{id}")),
        (Method::GET, format!("{TINY}/status/x")),
    ] {
        let response = call(&edge, method, &path).send().await.unwrap();
        let (status, document) = refused(response).await;
        assert_eq!(
            (status, &document["reason"]),
            (404, &json!("JOB_NOT_FOUND")),
            "{path}"
        );
    }
    let path = format!("/v2/{TINY}/status/{id}");
    let request = edge.anonymous(Method::GET, &path).bearer_auth(BOB);
    let (status, _) = refused(request.send().await.unwrap()).await;
    assert_eq!(status, 404);
    assert_eq!(
        get(&edge, &format!("{TINY}/status/{id}")).await["status"],
        "IN_QUEUE"
    );
}

#[tokio::test]
async fn every_call_wants_a_caller_and_its_method() {
    let edge = TestEdge::start().await;
    for (method, path) in [
        (Method::POST, "run"),
        (Method::POST, "runsync"),
        (Method::GET, "status/x"),
        (Method::GET, "stream/x"),
        (Method::POST, "cancel/x"),
        (Method::POST, "retry/x"),
        (Method::GET, "health"),
        (Method::POST, "purge-queue"),
    ] {
        let path = format!("/v2/{TINY}/{path}");
        let response = edge.anonymous(method, &path).send().await.unwrap();
        let (status, document) = refused(response).await;
        assert_eq!(
            (status, &document["reason"]),
            (401, &json!("TOKEN_MISSING")),
            "{path}"
        );
        assert_eq!(document["error"], document["detail"]);
        let response = edge.request(Method::DELETE, &path).send().await.unwrap();
        assert_eq!(refused(response).await.0, 405, "{path}");
    }
    check_problem(edge.get("/v2/ovi/other").await, 404, "ROUTE_NOT_FOUND").await;
}
