//! What the log says of refusals.

use std::io::{self, Write};
use std::sync::Arc;

use kinora_access::Claims;
use kinora_access::testing::{id_of, principal_of};
use kinora_edge::UploadOptions;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use crate::harness::{ADA, TestEdge, check_problem, limit};

/// What was logged, on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn begin() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone());
        (log, tracing::subscriber::set_default(subscriber.finish()))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }

    /// The fields of the audit's events.
    fn refusals(&self) -> Vec<Value> {
        let lines = self.text();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let events = lines.filter(|line: &Value| line["target"] == "audit");
        events.map(|mut event| event["fields"].take()).collect()
    }
}

#[tokio::test]
async fn a_refusal_is_told_without_what_the_request_brought_along() {
    let (log, _guard) = Log::begin();
    let edge = TestEdge::start().await;
    let path = "/v1/videos/video_secretpath?token=secretquery";
    let request = edge.anonymous(Method::POST, &path.replace("?", ":cancel?"));
    let request = request
        .bearer_auth("kk_secretkey")
        .json(&json!({ "x": "secretbody" }));
    let request = request.header("x-request-id", "request-1");
    check_problem(request.send().await.unwrap(), 401, "API_KEY_INVALID").await;
    let refusals = log.refusals();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    let expected = json!({
        "message": "refused",
        "status": 401,
        "reason": "API_KEY_INVALID",
        "method": "/kinora.scheduler.v1.VideoService/CancelVideo",
        "address": "127.0.0.1",
        "request_id": "request-1",
    });
    assert_eq!(refusals[0], expected);
    let text = log.text();
    for secret in ["secretkey", "secretquery", "secretbody"] {
        assert!(!text.contains(secret), "{secret} is nowhere in the log");
    }
}

#[tokio::test]
async fn who_is_known_is_named_with_the_key_and_the_method() {
    let (log, _guard) = Log::begin();
    let edge = TestEdge::start().await;
    let claims = Claims {
        amr: vec!["key".to_owned()],
        sid: id_of("a key"),
        ..edge.accounts.issuer.claims("carl")
    };
    edge.accounts.add_key("kk_carl", claims);
    let request = edge.anonymous(Method::GET, "/v1/admin/workers");
    let answer = request.bearer_auth("kk_carl").send().await.unwrap();
    check_problem(answer, 403, "SCOPE_MISSING").await;
    let refusals = log.refusals();
    let refusal = &refusals[0];
    assert_eq!(refusal["principal"], principal_of("carl"));
    assert_eq!(refusal["key_id"], id_of("a key").to_string());
    assert_eq!(
        refusal["method"],
        "/kinora.scheduler.v1.AdminService/ListWorkers"
    );
    assert!(!log.text().contains("kk_carl"));
}

#[tokio::test]
async fn refusals_by_limits_of_other_paths_and_over_grpc_are_told() {
    let (log, _guard) = Log::begin();
    let limited = TestEdge::start_as(UploadOptions::default(), |options| {
        options.limits.caller_limit = limit("1/24h");
    })
    .await;
    limited.get("/v1/models").await;
    let content = limited.get("/v1/videos/video_1/content").await;
    check_problem(content, 429, "RATE_LIMITED").await;
    let by_ada = &log.refusals()[0];
    assert_eq!(by_ada["method"], "/v1/videos/{id}/content");
    assert_eq!(
        (&by_ada["status"], &by_ada["reason"]),
        (&json!(429), &json!("RATE_LIMITED"))
    );
    let request = limited.anonymous(Method::POST, "/kinora.scheduler.v1.VideoService/ListModels");
    let request = request.header("content-type", "application/grpc-web+proto");
    request.body(vec![0; 5]).send().await.unwrap();
    let by_stranger = &log.refusals()[1];
    assert_eq!(
        by_stranger["method"],
        "/kinora.scheduler.v1.VideoService/ListModels"
    );
    assert_eq!(
        (&by_stranger["status"], &by_stranger["reason"]),
        (&json!(401), &json!("TOKEN_MISSING"))
    );
}

#[tokio::test]
async fn what_is_answered_well_or_is_merely_wrong_is_not_told() {
    let (log, _guard) = Log::begin();
    let edge = TestEdge::start().await;
    edge.get("/v1/models").await;
    edge.get("/v1/videos/video_none").await;
    edge.post("/v1/videos", json!({ "promt": "" })).await;
    assert!(log.text().contains("answered"), "something is logged");
    assert_eq!(log.refusals(), Vec::<Value>::new());
    assert!(!log.text().contains(ADA));
}
