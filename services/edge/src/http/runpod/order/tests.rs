use kinora_proto::scheduler::v1::{Priority, video_service_server};

use super::*;

fn routes() -> Transcoder {
    let services = [video_service_server::SERVICE_NAME];
    Transcoder::new(kinora_proto::DESCRIPTORS, &services).unwrap()
}

fn of(endpoint: &str, body: &Value) -> Result<Order, Problem> {
    let model = |id: &str| Model {
        id: id.to_owned(),
        ..Model::default()
    };
    let served = ["tiny", "ovi-1.1-720x720_5s", "mochi-1-preview"].map(model);
    let endpoint = Endpoint::of(endpoint);
    let headers = HeaderMap::new();
    read(
        &routes(),
        &endpoint,
        &served,
        &headers,
        body.to_string().as_bytes(),
    )
}

#[track_caller]
fn check_refused(endpoint: &str, body: &Value, field: &str) {
    let problem = of(endpoint, body).unwrap_err();
    let said = format!("{problem:?}");
    assert!(said.contains(&format!("field: \"{field}\"")), "{said}");
}

#[test]
fn a_body_becomes_the_contracts_request() {
    let body = json!({
        "input": { "prompt": "a cat", "seed": "9", "image": "data:image/png;base64,AAAA" },
        "webhook": "https://a.example/hook",
        "policy": { "ttl": 90_500, "lowPriority": true },
    });
    let Order { request, webhook } = of("tiny", &body).unwrap();
    assert_eq!((request.model.as_str(), request.seed), ("tiny", Some(9)));
    assert_eq!(request.image, [0, 0, 0]);
    assert_eq!(request.priority(), Priority::Batch);
    let expire_after = request.expire_after.unwrap();
    assert_eq!(
        (expire_after.seconds, expire_after.nanos),
        (90, 500_000_000)
    );
    assert_eq!(webhook.as_deref(), Some("https://a.example/hook"));
}

#[test]
fn what_stands_around_the_input_is_refused_by_name() {
    let with = |name: &str, value: Value| {
        let mut body = json!({ "input": { "prompt": "a cat" } });
        body[name] = value;
        body
    };
    check_refused("tiny", &json!({}), "input");
    check_refused("tiny", &with("input", json!("a cat")), "input");
    check_refused("tiny", &with("s3Config", json!({})), "s3Config");
    check_refused("tiny", &with("id", json!("mine")), "id");
    for url in ["ftp://a.example", "/hook", "https://", "no url", ""] {
        check_refused("tiny", &with("webhook", json!(url)), "webhook");
    }
    let policy = |policy: Value| with("policy", policy);
    let limit = json!({ "executionTimeout": 600_000 });
    check_refused("tiny", &policy(limit), "policy.executionTimeout");
    check_refused("tiny", &policy(json!({ "ttl": 0 })), "policy.ttl");
    check_refused("tiny", &policy(json!({ "retries": 1 })), "policy.retries");
}

#[test]
fn fields_of_the_contract_have_the_endpoints_names() {
    check_refused(
        "tiny",
        &json!({ "input": { "sample_steps": 9 } }),
        "sample_steps",
    );
    let large = u64::MAX;
    let input = json!({ "input": { "prompt": "p", "image": "no base64!" } });
    check_refused("ovi", &input, "image");
    let input = json!({ "input": { "positive_prompt": "p", "num_frames": large } });
    check_refused("mochi", &input, "num_frames");
}

#[test]
fn nothing_is_said_twice() {
    let body = json!({ "input": { "expire_after": "60s" }, "policy": { "ttl": 60_000 } });
    check_refused("tiny", &body, "policy.ttl");
    let body = json!({ "input": { "priority": "interactive" }, "policy": { "lowPriority": true } });
    check_refused("tiny", &body, "policy.lowPriority");
}
