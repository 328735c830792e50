use kinora_proto::scheduler::v1::video::Status;
use reqwest::Method;
use serde_json::json;

use super::{TINY, get, post, run};
use crate::harness::{BOB, TestEdge, read};

#[tokio::test]
async fn health_counts_the_callers_jobs_at_the_endpoint() {
    let edge = TestEdge::start().await;
    edge.scheduler.offer("other");
    for status in [
        Status::Queued,
        Status::InProgress,
        Status::Completed,
        Status::Failed,
    ] {
        let id = run(&edge, TINY, json!({ "prompt": "p" })).await;
        edge.scheduler.advance(&id, |video| {
            video.set_status(status);
            video.attempt = 2 * u32::from(status == Status::Failed);
        });
    }
    run(&edge, "other", json!({ "prompt": "p" })).await;
    let path = format!("{TINY}/health");
    let health = get(&edge, &path).await;
    let jobs = json!({
        "completed": 1, "failed": 1, "inProgress": 1, "inQueue": 1, "retried": 1,
    });
    assert_eq!(health["jobs"], jobs);
    // An operator asks.
    let none = json!({ "idle": 0, "ready": 0, "running": 0, "throttled": 0, "unhealthy": 0 });
    assert_eq!(health["workers"], none);
    let request = edge.anonymous(Method::GET, &format!("/v2/{path}"));
    let health = read(request.bearer_auth(BOB).send().await.unwrap()).await;
    assert_eq!(health["jobs"]["inQueue"], 0);
    assert!(health.get("workers").is_none(), "{health}");
}

#[tokio::test]
async fn purge_takes_what_waits_at_the_endpoint_and_nothing_else() {
    let edge = TestEdge::start().await;
    edge.scheduler.offer("other");
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(run(&edge, TINY, json!({ "prompt": "p" })).await);
    }
    let running = run(&edge, TINY, json!({ "prompt": "p" })).await;
    edge.scheduler.run(&running, 1);
    let elsewhere = run(&edge, "other", json!({ "prompt": "p" })).await;
    let path = format!("/v2/{TINY}/purge-queue");
    let request = edge.anonymous(Method::POST, &path).bearer_auth(BOB);
    let nothing = json!({ "removed": 0, "status": "completed" });
    assert_eq!(read(request.send().await.unwrap()).await, nothing);
    let removed = post(&edge, &format!("{TINY}/purge-queue")).await;
    assert_eq!(removed, json!({ "removed": 3, "status": "completed" }));
    let state = async |endpoint: &str, id: &str| {
        let answer = get(&edge, &format!("{endpoint}/status/{id}")).await;
        answer["status"].as_str().unwrap().to_owned()
    };
    for id in waiting {
        assert_eq!(state(TINY, &id).await, "CANCELLED");
    }
    assert_eq!(state(TINY, &running).await, "IN_PROGRESS");
    assert_eq!(state("other", &elsewhere).await, "IN_QUEUE");
}
