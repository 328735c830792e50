//! The interface as it is served, against what is answered.

use reqwest::Method;
use serde_json::Value;

use crate::harness::TestEdge;

#[tokio::test]
async fn everything_that_the_document_has_is_there() {
    let edge = TestEdge::start().await;
    let document = edge.read("/openapi.json").await;
    let mut count = 0;
    for (template, item) in document["paths"].as_object().unwrap() {
        for verb in item.as_object().unwrap().keys() {
            let method: Method = verb.to_uppercase().parse().unwrap();
            let path = template
                .replace("{name}", "thumbnail")
                .replace(['{', '}'], "");
            let answer = edge.anonymous(method, &path).send().await.unwrap();
            let status = answer.status().as_u16();
            let body = answer.text().await.unwrap();
            let problem: Value = serde_json::from_str(&body).unwrap_or_default();
            let is_there = status != 405 && problem["reason"] != "ROUTE_NOT_FOUND";
            assert!(is_there, "{verb} {template}: {status} {body}");
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
    for path in ["/docs", "/v2/{endpoint}/status/{id}", "/v1/videos/{id}"] {
        assert!(document["paths"].get(path).is_some(), "{path}");
    }
}
