use kinora_access::testing::principal_of;
use kinora_edge::view::{DeadLetterList, Priority, QueueList, Tenant, Video, Worker, WorkerList};
use kinora_proto::scheduler::v1::JobState;
use reqwest::Method;
use serde_json::json;

use crate::harness::{ADA, BOB, TestEdge, check_problem};

#[tokio::test]
async fn operators_cordon_and_drain_workers_of_any_name() {
    let edge = TestEdge::start().await;
    let name = "gpu:0/rack é";
    edge.scheduler.attach_worker(name);
    let act = async |verb: &str| {
        let path = format!("/v1/admin/workers/gpu:0%2Frack%20%C3%A9:{verb}");
        edge.post(&path, json!({}))
            .await
            .json::<Worker>()
            .await
            .unwrap()
    };
    assert!(act("cordon").await.cordoned);
    assert!(!act("uncordon").await.cordoned);
    assert!(act("drain").await.draining);
    let list: WorkerList = edge.get("/v1/admin/workers").await.json().await.unwrap();
    assert_eq!(list.workers[0].id, name);
    let response = edge.post("/v1/admin/workers/x:drain", json!({})).await;
    check_problem(response, 404, "WORKER_NOT_FOUND").await;
    for path in ["/v1/admin/workers/x", "/v1/admin/workers/x:reboot"] {
        check_problem(edge.post(path, json!({})).await, 404, "ROUTE_NOT_FOUND").await;
    }
}

#[tokio::test]
async fn queues_tell_what_waits() {
    let edge = TestEdge::start().await;
    let list: QueueList = edge.get("/v1/admin/queues").await.json().await.unwrap();
    let queue = &list.queues[0];
    assert_eq!((queue.videos, queue.priority), (3, Priority::Batch));
    assert_eq!(queue.oldest_age_seconds, 90.0);
}

#[tokio::test]
async fn a_dead_letter_is_retried_as_a_new_video() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await.id;
    edge.scheduler
        .advance(&id, |job| job.set_state(JobState::Failed));
    let list: DeadLetterList = edge
        .get("/v1/admin/dead-letters")
        .await
        .json()
        .await
        .unwrap();
    let letter = &list.dead_letters[0];
    assert_eq!(
        (&letter.video.id, letter.owner.clone()),
        (&id, principal_of("ada"))
    );
    assert_eq!(letter.attempts[0].outcome, "WORKER_LOST");
    let path = format!("/v1/admin/dead-letters/{id}:retry");
    let video: Video = edge.post(&path, json!({})).await.json().await.unwrap();
    assert_eq!(video.source_id, Some(id));
    let response = edge.post("/v1/admin/dead-letters/x:retry", json!({})).await;
    check_problem(response, 404, "JOB_NOT_FOUND").await;
}

#[tokio::test]
async fn limits_of_a_tenant_change_one_by_one() {
    let edge = TestEdge::start().await;
    let path = "/v1/admin/tenants/studio";
    let body = json!({ "max_running": 4 });
    let changed = edge
        .request(Method::PATCH, path)
        .json(&body)
        .send()
        .await
        .unwrap();
    let changed: Tenant = changed.json().await.unwrap();
    assert_eq!((changed.weight, changed.max_running), (100, 4));
    assert_eq!(
        edge.get(path).await.json::<Tenant>().await.unwrap(),
        changed
    );
    for body in [
        json!({ "weight": -1 }),
        json!({ "limit": 1 }),
        json!({ "weight": 4_294_967_296_u64 }),
    ] {
        let request = edge.request(Method::PATCH, path).json(&body);
        check_problem(request.send().await.unwrap(), 400, "INVALID_ARGUMENT").await;
    }
}

#[tokio::test]
async fn others_are_no_operators() {
    let edge = TestEdge::start().await;
    for (method, path) in [
        (Method::GET, "/v1/admin/workers"),
        (Method::POST, "/v1/admin/workers/x:drain"),
        (Method::GET, "/v1/admin/queues"),
        (Method::GET, "/v1/admin/dead-letters"),
        (Method::GET, "/v1/admin/tenants/studio"),
    ] {
        let request = edge.anonymous(method.clone(), path).bearer_auth(BOB);
        check_problem(request.send().await.unwrap(), 403, "SCOPE_MISSING").await;
        let stranger = edge.anonymous(method, path).send().await.unwrap();
        check_problem(stranger, 401, "TOKEN_MISSING").await;
    }
    let listed = edge
        .anonymous(Method::GET, "/v1/admin/workers")
        .bearer_auth(ADA);
    assert!(listed.send().await.unwrap().status().is_success());
}
