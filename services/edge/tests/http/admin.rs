use kinora_access::testing::principal_of;
use kinora_proto::scheduler::v1::video::Status;
use reqwest::Method;
use serde_json::json;

use crate::harness::{ADA, BOB, TestEdge, check_problem, id_of, read};

#[tokio::test]
async fn operators_cordon_and_drain_workers_of_any_name() {
    let edge = TestEdge::start().await;
    let name = "gpu:0/rack é";
    edge.scheduler.attach_worker(name);
    let act = async |verb: &str| {
        let path = format!("/v1/admin/workers/gpu:0%2Frack%20%C3%A9:{verb}");
        read(edge.post(&path, json!({})).await).await
    };
    assert_eq!(act("cordon").await["cordoned"], true);
    assert_eq!(act("uncordon").await["cordoned"], false);
    assert_eq!(act("drain").await["draining"], true);
    let list = edge.read("/v1/admin/workers").await;
    assert_eq!(list["workers"][0]["id"], name);
    let response = edge.post("/v1/admin/workers/x:drain", json!({})).await;
    check_problem(response, 404, "WORKER_NOT_FOUND").await;
    for path in ["/v1/admin/workers/x", "/v1/admin/workers/x:reboot"] {
        check_problem(edge.post(path, json!({})).await, 404, "ROUTE_NOT_FOUND").await;
    }
}

#[tokio::test]
async fn queues_tell_what_waits() {
    let edge = TestEdge::start().await;
    let list = edge.read("/v1/admin/queues").await;
    let queue = &list["queues"][0];
    assert_eq!(
        (&queue["videos"], &queue["priority"]),
        (&json!(3), &json!("batch"))
    );
    assert_eq!(queue["oldest_age_seconds"], 90.0);
}

#[tokio::test]
async fn a_dead_letter_is_retried_as_a_new_video() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    edge.scheduler
        .advance(&id, |video| video.set_status(Status::Failed));
    let list = edge.read("/v1/admin/dead-letters").await;
    let letter = &list["dead_letters"][0];
    assert_eq!(letter["video"]["id"], id);
    assert_eq!(letter["owner"], principal_of("ada"));
    assert_eq!(letter["attempts"][0]["outcome"], "WORKER_LOST");
    let path = format!("/v1/admin/dead-letters/{id}:retry");
    let video = read(edge.post(&path, json!({})).await).await;
    assert_eq!(video["source_id"], id);
    assert_ne!(id_of(&video), id);
    let response = edge.post("/v1/admin/dead-letters/x:retry", json!({})).await;
    check_problem(response, 404, "JOB_NOT_FOUND").await;
}

#[tokio::test]
async fn limits_of_a_tenant_change_one_by_one() {
    let edge = TestEdge::start().await;
    let path = "/v1/admin/tenants/studio";
    let change = async |body: &serde_json::Value| {
        let request = edge.request(Method::PATCH, path).json(body);
        request.send().await.unwrap()
    };
    let changed = read(change(&json!({ "max_running": 4 })).await).await;
    assert_eq!(
        (&changed["weight"], &changed["max_running"]),
        (&json!(100), &json!(4))
    );
    assert_eq!(edge.read(path).await, changed);
    for (body, field) in [
        (json!({ "weight": -1 }), "weight"),
        (json!({ "limit": 1 }), "limit"),
        (json!({ "weight": 4_294_967_296_u64 }), "weight"),
        (json!({ "id": "other" }), "id"),
    ] {
        let problem = check_problem(change(&body).await, 400, "FIELD_INVALID").await;
        assert_eq!(problem.errors[0].field, field);
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
