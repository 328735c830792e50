//! A call on its way to its service.

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, TE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body_util::Full;
use kinora_mesh::deadline;
use kinora_mesh::error::{Kind, PublicError};
use kinora_mesh::trace::{REQUEST_ID, RequestId};
use kinora_transcoder::{DynamicMessage, Route};
use prost::Message as _;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataMap};
use tonic::{Code, Status};
use tower::ServiceExt;

use super::answer::{self, Answer, End};
use super::message::{self, Limits, Message};
use crate::auth::Bearer;
use crate::http::Edge;
use crate::http::services::is_timeout;

/// A text of terms, and room around it.
const MAX_BYTES: usize = 2 << 20;

/// What a stranger may send.
const MAX_STRANGERS_BYTES: usize = 64 << 10;

/// Two pictures of 16 MiB, and room for everything else.
const MAX_BYTES_WITH_PICTURES: usize = 33 << 20;

const ACCEPTED: HeaderName = HeaderName::from_static("grpc-accept-encoding");

const COMPRESSION: HeaderName = HeaderName::from_static("grpc-encoding");

/// Sends a call to its service, on behalf of its caller, and gives the answer as it comes.
pub(super) async fn forward(
    edge: &Edge,
    route: &Route,
    request: Request<Body>,
) -> Result<Response<Body>, PublicError> {
    let (parts, body) = request.into_parts();
    let asked = deadline::of(&parts.headers);
    let bearer = edge.admit(route, &parts).await?;
    let limits = limits(edge, route, bearer.as_deref());
    let mut message = Message::read(body, &limits).await?;
    set_origin(edge, route, &parts, &mut message)?;
    let times = Times::of(asked, edge, route);
    let headers = headers(&parts, bearer.as_deref(), times.deadline);
    let call = call(route, headers, message.framed)?;
    let channel = edge.services.channel_of(route);
    let answered = timeout_at(times.begin_by, channel.oneshot(call)).await;
    let answered = answered.map_err(|_| answer::deadline_exceeded())?;
    let response = answered.map_err(|error| failed(&Status::from_error(error.into())))?;
    passed_on(response, times.end(edge, route))
}

/// How long a call may take.
struct Times {
    /// Until when the answer must have begun.
    begin_by: Instant,
    /// Until when it is of use.
    deadline: Option<Instant>,
}

impl Times {
    /// What the caller asked for. A single answer has to come within the edge's time at any rate, which begins once the
    /// message is there.
    fn of(asked: Option<Instant>, edge: &Edge, route: &Route) -> Self {
        let limit = Instant::now() + edge.services.timeout();
        let begin_by = asked.map_or(limit, |asked| asked.min(limit));
        let deadline = if route.is_streaming() {
            asked
        } else {
            Some(begin_by)
        };
        Self { begin_by, deadline }
    }

    /// A stream ends with the edge too. Single answers may come while it stops.
    fn end(&self, edge: &Edge, route: &Route) -> End {
        let late = answer::late(self.deadline);
        if !route.is_streaming() {
            return late;
        }
        answer::earlier(late, answer::stopped(edge.stopping.clone()))
    }
}

fn limits<'a>(edge: &'a Edge, route: &Route, bearer: Option<&'a Bearer>) -> Limits<'a> {
    match bearer {
        None => Limits {
            max_bytes: MAX_STRANGERS_BYTES,
            places: None,
        },
        Some(bearer) if route.takes_files() => Limits {
            max_bytes: MAX_BYTES_WITH_PICTURES,
            places: Some((&edge.uploads, bearer.principal().as_str())),
        },
        Some(_) => Limits {
            max_bytes: MAX_BYTES,
            places: None,
        },
    }
}

/// Says where the request comes from, where a service wants to know. Whatever the caller said of it is gone.
fn set_origin(
    edge: &Edge,
    route: &Route,
    parts: &Parts,
    message: &mut Message,
) -> Result<(), PublicError> {
    if !route.has_input("origin") {
        return Ok(());
    }
    let input = route.descriptor().input();
    let mut decoded = DynamicMessage::decode(input, message.payload()).map_err(|_| {
        let detail = "the message is not of the method's type";
        PublicError::new(Kind::InvalidArgument, "MESSAGE_INVALID", detail)
    })?;
    edge.services.set_origin(&mut decoded, parts);
    message.framed = message::framed(&decoded.encode_to_vec())?;
    Ok(())
}

/// Nothing of what the caller sent but the compressions that an answer may have, and the deadline.
fn headers(parts: &Parts, bearer: Option<&Bearer>, deadline: Option<Instant>) -> HeaderMap {
    let mut metadata = MetadataMap::new();
    if let Some(bearer) = bearer {
        bearer.attach(&mut metadata);
    }
    kinora_mesh::trace::inject(&mut metadata);
    let mut headers = metadata.into_headers();
    let id = parts.extensions.get::<RequestId>();
    let id = id.and_then(|id| HeaderValue::from_str(&id.0).ok());
    headers.extend(id.map(|id| (HeaderName::from_static(REQUEST_ID), id)));
    let accepted = parts.headers.get(ACCEPTED).cloned();
    headers.extend(accepted.map(|accepted| (ACCEPTED, accepted)));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    deadline::write(&mut headers, deadline);
    headers
}

fn call(route: &Route, headers: HeaderMap, framed: Bytes) -> Result<Request<Body>, PublicError> {
    let mut call = Request::new(Body::new(Full::new(framed)));
    *call.method_mut() = Method::POST;
    *call.version_mut() = Version::HTTP_2;
    *call.headers_mut() = headers;
    let uri = route.method().parse();
    *call.uri_mut() = uri.map_err(|error| PublicError::internal(&error))?;
    Ok(call)
}

fn failed(status: &Status) -> PublicError {
    if is_timeout(status) {
        return answer::deadline_exceeded();
    }
    PublicError::from_status(status)
}

/// Of a service's headers only the compression goes on.
fn passed_on(response: Response<Body>, end: End) -> Result<Response<Body>, PublicError> {
    let (head, body) = response.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers) {
        // All there is to say is said in the head.
        return match status.code() {
            Code::Ok => Ok(Status::ok("").into_http()),
            _ => Err(failed(&status)),
        };
    }
    let mut response = Response::new(Answer::body(body, end));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    let compression = head.headers.get(COMPRESSION).cloned();
    headers.extend(compression.map(|compression| (COMPRESSION, compression)));
    Ok(response)
}
