//! Programs that were written for RunPod's serverless endpoints.

mod dialects;
mod jobs;
mod queue;
mod webhooks;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::harness::{TestEdge, id_of, read};

const TINY: &str = "kinora-tiny-t2v";

/// A request as RunPod's client for Python sends it: it says JSON where there is none.
fn call(edge: &TestEdge, method: Method, path: &str) -> RequestBuilder {
    let request = edge.request(method, &format!("/v2/{path}"));
    request.header(CONTENT_TYPE, "application/json")
}

async fn post(edge: &TestEdge, path: &str) -> Value {
    read(call(edge, Method::POST, path).send().await.unwrap()).await
}

async fn get(edge: &TestEdge, path: &str) -> Value {
    read(call(edge, Method::GET, path).send().await.unwrap()).await
}

async fn send(edge: &TestEdge, path: &str, body: &Value) -> Response {
    let request = call(edge, Method::POST, path).json(body);
    request.send().await.unwrap()
}

/// Runs an input at an endpoint, and gives the job's id.
async fn run(edge: &TestEdge, endpoint: &str, input: Value) -> String {
    let answer = send(edge, &format!("{endpoint}/run"), &json!({ "input": input })).await;
    let answer = read(answer).await;
    assert_eq!(answer["status"], "IN_QUEUE", "{answer}");
    id_of(&answer)
}

/// The status and the document of a refusal.
async fn refused(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].clone();
    let text = response.text().await.unwrap();
    assert_eq!(kind, "application/problem+json", "{text}");
    (status, serde_json::from_str(&text).unwrap())
}
