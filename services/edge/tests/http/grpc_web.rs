//! gRPC-Web, as browsers write it over HTTP/1.1.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinora_mesh::error::PublicError;
use kinora_proto::scheduler::v1::{
    FindContentRequest, ListModelsRequest, ListModelsResponse, WatchVideoRequest,
    WatchVideoResponse,
};
use prost::Message;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use tonic::{Code, Status};

use crate::harness::{ADA, ORIGIN, TestEdge};

const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";

/// What is set in the first byte of a frame that holds trailers.
const TRAILERS: u8 = 0x80;

/// A frame's first byte, and what it holds.
type Frame = (u8, Vec<u8>);

fn framed(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), &message].concat()
}

fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((prefix, rest)) = bytes.split_first_chunk::<5>() {
        let [first, length @ ..] = *prefix;
        let (message, rest) = rest.split_at(u32::from_be_bytes(length) as usize);
        frames.push((first, message.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame: {bytes:?}");
    frames
}

/// Chunks are base64 each, padded or not.
fn decoded(text: &[u8]) -> Vec<u8> {
    let quads = text.chunks(4);
    quads
        .flat_map(|quad| STANDARD.decode(quad).unwrap())
        .collect()
}

fn trailers(frame: &Frame) -> Status {
    assert_eq!(frame.0, TRAILERS);
    let mut headers = reqwest::header::HeaderMap::new();
    for line in std::str::from_utf8(&frame.1).unwrap().lines() {
        let (name, value) = line.split_once(':').unwrap();
        let name: reqwest::header::HeaderName = name.parse().unwrap();
        headers.insert(name, value.trim().parse().unwrap());
    }
    Status::from_header_map(&headers).expect("a status")
}

fn call(edge: &TestEdge, method: &str, message: &impl Message) -> RequestBuilder {
    let path = format!("/kinora.scheduler.v1.VideoService/{method}");
    edge.anonymous(Method::POST, &path)
        .header("content-type", BINARY)
        .header("x-grpc-web", "1")
        .header("x-user-agent", "grpc-web-javascript/0.1")
        .header("origin", ORIGIN)
        .body(framed(message))
}

async fn send(request: RequestBuilder) -> Response {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response
}

#[tokio::test]
async fn a_call_is_answered_with_its_message_and_its_trailers() {
    let edge = TestEdge::start().await;
    let call = call(&edge, "ListModels", &ListModelsRequest {});
    let answer = send(call.bearer_auth(ADA)).await;
    assert_eq!(answer.headers()["content-type"], BINARY);
    assert_eq!(answer.headers()["access-control-allow-origin"], ORIGIN);
    let exposed = &answer.headers()["access-control-expose-headers"];
    for header in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(exposed.to_str().unwrap().contains(header), "{exposed:?}");
    }
    let frames = frames(&answer.bytes().await.unwrap());
    let models = ListModelsResponse::decode(frames[0].1.as_slice()).unwrap();
    assert_eq!(
        (frames[0].0, models.data[0].id.as_str()),
        (0, "kinora-tiny-t2v")
    );
    assert_eq!(trailers(&frames[1]).code(), Code::Ok);
}

#[tokio::test]
async fn text_is_answered_with_text() {
    let edge = TestEdge::start().await;
    let body = STANDARD.encode(framed(&ListModelsRequest {}));
    let call = call(&edge, "ListModels", &ListModelsRequest {})
        .bearer_auth(ADA)
        .body(body);
    let mut request = call.build().unwrap();
    request
        .headers_mut()
        .insert("content-type", TEXT.parse().unwrap());
    let answer = edge.client.execute(request).await.unwrap();
    let content_type = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(content_type.starts_with(TEXT), "{content_type}");
    let frames = frames(&decoded(&answer.bytes().await.unwrap()));
    let models = ListModelsResponse::decode(frames[0].1.as_slice()).unwrap();
    assert_eq!(models.data[0].id, "kinora-tiny-t2v");
    assert_eq!(trailers(&frames[1]).code(), Code::Ok);
}

#[tokio::test]
async fn a_stream_comes_event_by_event_and_ends_with_its_trailers() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let request = WatchVideoRequest {
        id: id.clone(),
        after_seq: 0,
    };
    let call = call(&edge, "WatchVideo", &request).bearer_auth(ADA);
    let mut answer = send(call).await;
    let mut bytes = answer
        .chunk()
        .await
        .unwrap()
        .expect("the first event")
        .to_vec();
    edge.scheduler.complete(&id);
    while let Some(chunk) = answer.chunk().await.unwrap() {
        bytes.extend(chunk);
    }
    let frames = frames(&bytes);
    let events: Vec<String> = frames[..frames.len() - 1]
        .iter()
        .map(|frame| WatchVideoResponse::decode(frame.1.as_slice()).unwrap())
        .map(|response| response.event.unwrap_or_default().r#type)
        .collect();
    assert_eq!(events, ["queued", "completed"]);
    assert_eq!(trailers(&frames[2]).code(), Code::Ok);
}

#[tokio::test]
async fn errors_stand_where_pages_find_them() {
    let edge = TestEdge::start().await;
    let stranger = send(call(&edge, "ListModels", &ListModelsRequest {})).await;
    let status = Status::from_header_map(stranger.headers()).expect("a status");
    let error = PublicError::from_status(&status);
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(error.reason, "TOKEN_MISSING");
    assert_eq!(stranger.headers()["access-control-allow-origin"], ORIGIN);
    let internal = call(&edge, "FindContent", &FindContentRequest::default());
    let internal = send(internal.bearer_auth(ADA)).await;
    assert_eq!(internal.headers()["grpc-status"], "12");
    let cut = call(&edge, "ListModels", &ListModelsRequest {}).body(vec![0, 0, 0, 0, 9]);
    let cut = send(cut.bearer_auth(ADA)).await;
    assert_eq!(cut.headers()["grpc-status"], "3");
}

#[tokio::test]
async fn pages_of_known_origins_may_call() {
    let edge = TestEdge::start().await;
    let path = "/kinora.scheduler.v1.VideoService/ListModels";
    let ask = async |origin: &str| {
        edge.anonymous(Method::OPTIONS, path)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type,grpc-timeout,x-grpc-web,x-user-agent",
            )
            .send()
            .await
            .unwrap()
    };
    let known = ask(ORIGIN).await;
    assert_eq!(known.headers()["access-control-allow-origin"], ORIGIN);
    let methods = known.headers()["access-control-allow-methods"]
        .to_str()
        .unwrap();
    assert!(methods.contains("POST"), "{methods}");
    let headers = known.headers()["access-control-allow-headers"]
        .to_str()
        .unwrap();
    for header in [
        "x-grpc-web",
        "grpc-timeout",
        "x-user-agent",
        "authorization",
    ] {
        assert!(headers.contains(header), "{header}: {headers}");
    }
    let unknown = ask("https://evil.example.org").await;
    assert!(
        !unknown
            .headers()
            .contains_key("access-control-allow-origin")
    );
}
