use kinora_access::Scope;
use serde_json::{Value, json};

use super::{TINY, refused, send};
use crate::harness::{TestEdge, id_of, read};

const HOOK: &str = "https://a.example/hook";

async fn submit(edge: &TestEdge, url: &str) -> Value {
    let body = json!({ "input": { "prompt": "p" }, "webhook": url });
    read(send(edge, &format!("{TINY}/run"), &body).await).await
}

#[tokio::test]
async fn a_webhook_is_told_of_the_jobs_end() {
    let edge = TestEdge::start().await;
    let answer = submit(&edge, HOOK).await;
    assert_eq!(answer["webhook"]["secret"], "whsec_one");
    let list = edge.read("/v1/webhooks").await;
    let webhook = &list["webhooks"][0];
    assert_eq!(
        (&webhook["url"], &webhook["video_id"]),
        (&json!(HOOK), &answer["id"])
    );
    let events = [
        "video.completed",
        "video.failed",
        "video.cancelled",
        "video.expired",
    ];
    assert_eq!(webhook["events"], json!(events));
    assert_eq!(webhook["id"], answer["webhook"]["id"]);
}

#[tokio::test]
async fn a_webhook_that_is_there_for_all_jobs_serves() {
    let edge = TestEdge::start().await;
    let made = read(edge.post("/v1/webhooks", json!({ "url": HOOK })).await).await;
    let answer = submit(&edge, HOOK).await;
    assert_eq!(answer["webhook"], json!({ "id": made["id"] }));
    let list = edge.read("/v1/webhooks").await;
    assert_eq!(list["webhooks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_job_is_not_lost_with_its_webhook() {
    let edge = TestEdge::start().await;
    let answer = submit(&edge, "https://127.0.0.1/hook").await;
    assert_eq!(answer["status"], "IN_QUEUE");
    let error = answer["webhook"]["error"].as_str().unwrap();
    assert!(error.starts_with("URL_NOT_ALLOWED: "), "{error}");
    assert!(edge.scheduler.owner(&id_of(&answer)).len() > 1);
}

#[tokio::test]
async fn who_may_not_have_webhooks_is_refused_before_there_is_a_job() {
    let edge = TestEdge::start().await;
    let mut claims = edge.accounts.issuer.claims("carol");
    claims.scope = format!("{} {}", Scope::VideosRead, Scope::VideosWrite);
    edge.accounts.add_key("kk_carol", claims);
    let body = json!({ "input": { "prompt": "p" }, "webhook": HOOK });
    let request = edge.anonymous(reqwest::Method::POST, &format!("/v2/{TINY}/run"));
    let request = request.bearer_auth("kk_carol").json(&body);
    let (status, document) = refused(request.send().await.unwrap()).await;
    assert_eq!(
        (status, &document["reason"]),
        (403, &json!("SCOPE_MISSING"))
    );
    assert_eq!(document["metadata"]["scope"], "webhooks");
    assert_eq!(edge.scheduler.count(), 0);
}
