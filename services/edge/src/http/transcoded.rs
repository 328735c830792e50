//! Every call whose route the contracts give.
//!
//! What needs no caller is called without one. Everything else goes on with the token of a caller who may call it. A client that leaves takes its call with it: nothing here outlives the future that answers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use kinora_mesh::places::Place;
use kinora_transcoder::{DynamicMessage, Found, Route, answer_json};

use super::body::{self, Intake, SMALL_BODY_BYTES};
use super::services::{find, is_of_scheduler, traced, within};
use super::{Edge, etag, headers, openai, stream};
use crate::auth::Bearer;
use crate::problem::Problem;

/// A text of terms, and room around it. The scheduler takes no such texts.
const MAX_BODY_BYTES: usize = 2 << 20;

/// Answers whatever no other route has.
pub(super) async fn answer(
    State(edge): State<Edge>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let services = &edge.services;
    let found = find(&services.routes, &parts.method, parts.uri.path())?;
    let caller = edge.admit(found.route, &parts).await?;
    let timeout = headers::timeout(&parts.headers, services.timeout())?;
    // The place is kept until the call is answered.
    let (mut message, _place) = edge
        .take_in(&found, &parts, body, caller.as_deref())
        .await?;
    headers::apply(&parts.headers, &mut message)?;
    services.set_origin(&mut message, &parts);
    let mut request = traced(message);
    if let Some(caller) = &caller {
        caller.attach(request.metadata_mut());
    }
    if found.route.is_streaming() {
        let form = stream::Form::of(&parts.headers, found.route);
        return edge.stream(found.route, request, timeout, form).await;
    }
    edge.single(found.route, &parts.headers, request, timeout)
        .await
}

impl Edge {
    /// Reads a request's body, and makes the method's message of all that the request says.
    async fn take_in(
        &self,
        found: &Found<'_>,
        parts: &Parts,
        body: Body,
        caller: Option<&Bearer>,
    ) -> Result<(DynamicMessage, Option<Place>), Problem> {
        let headers = &parts.headers;
        let Some(caller) = caller.filter(|_| found.route.takes_files()) else {
            let max_bytes = max_bytes(found, caller);
            let bytes = body::read_any_json(headers, body, max_bytes).await?;
            return Ok((message(found, parts.uri.query(), &bytes)?, None));
        };
        let intake = Intake {
            places: &self.uploads,
            caller,
        };
        if openai::is_form(headers) && openai::body_of(found.route).is_none() {
            return Err(body::not_json());
        }
        let taken = body::read_with_files(intake, headers, body).await?;
        let message = match &taken.place {
            None => message_with_files(found, parts.uri.query(), headers, taken.bytes)?,
            Some(_) => self.large_message(parts, taken.bytes).await?,
        };
        Ok((message, taken.place))
    }

    /// As [`message_with_files`], on a thread that may take its time.
    async fn large_message(&self, parts: &Parts, bytes: Bytes) -> Result<DynamicMessage, Problem> {
        let routes = Arc::clone(&self.services.routes);
        let (verb, uri) = (parts.method.clone(), parts.uri.clone());
        let headers = parts.headers.clone();
        let made = tokio::task::spawn_blocking(move || {
            let found = find(&routes, &verb, uri.path())?;
            message_with_files(&found, uri.query(), &headers, bytes)
        });
        made.await.map_err(|_| Problem::internal())?
    }

    /// What was only asked for is not sent again to who has it. What was made or changed is not kept anywhere.
    async fn single(
        &self,
        route: &Route,
        headers: &HeaderMap,
        mut request: tonic::Request<DynamicMessage>,
        timeout: Duration,
    ) -> Result<Response, Problem> {
        request.set_timeout(timeout);
        let channel = self.services.channel_of(route);
        let call = kinora_transcoder::call(channel, route, request);
        let answer = within(timeout, call).await?;
        let json = answer_json(route, &answer)?;
        let mut response = if route.verb() == Method::GET {
            etag::unless_known(headers, json)
        } else {
            private(json, "application/json")
        };
        let header = openai::header_of(route, &answer);
        response.headers_mut().extend(header);
        Ok(response)
    }

    /// Only the beginning of a stream is under the deadline.
    async fn stream(
        &self,
        route: &Route,
        request: tonic::Request<DynamicMessage>,
        timeout: Duration,
        form: stream::Form,
    ) -> Result<Response, Problem> {
        let channel = self.services.channel_of(route);
        let call = kinora_transcoder::stream(channel, route, request);
        let messages = within(timeout, call).await?;
        let stopping = self.stopping.clone();
        Ok(stream::respond(form, route, messages, stopping))
    }
}

/// The largest body of a call that holds no files. A stranger's is small.
fn max_bytes(found: &Found<'_>, caller: Option<&Bearer>) -> usize {
    if caller.is_none() || is_of_scheduler(&found.route.service()) {
        SMALL_BODY_BYTES
    } else {
        MAX_BODY_BYTES
    }
}

/// Makes the message of a request. Where a call takes no body, `{}` is none: some clients cannot send a `POST` without.
fn message(found: &Found<'_>, query: Option<&str>, body: &[u8]) -> Result<DynamicMessage, Problem> {
    let is_nothing = !found.route.takes_body() && body.trim_ascii() == b"{}";
    let body = if is_nothing { b"" } else { body };
    Ok(found.message(query, body)?)
}

/// As [`message`], of a body that may hold files, and may be a form where it asks for a video.
fn message_with_files(
    found: &Found<'_>,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<DynamicMessage, Problem> {
    match openai::body_of(found.route) {
        Some(inner) => openai::message(found, &inner, headers, query, body),
        None => message(found, query, &body),
    }
}

/// An answer that no cache keeps.
pub(super) fn private(body: impl Into<Body>, content_type: &'static str) -> Response {
    let mut response = (StatusCode::OK, body.into()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
