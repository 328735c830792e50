//! W3C trace context across processes, and one span and one log line per request.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Request, Response};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tower::{Layer, Service};
use tracing::{Instrument, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";

/// The header that names a request in answers and logs.
pub const REQUEST_ID: &str = "x-request-id";

/// The request id of the request being served, as an extension of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

/// The `traceparent` of the current span, to carry it to another process.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    let mut carrier = std::collections::HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Makes `span` a child of the trace that `traceparent` names. Text that is no trace context is ignored.
pub fn set_parent(span: &Span, traceparent: &str) {
    let parent = TraceContextPropagator::new().extract(&Single(traceparent));
    if let Err(error) = span.set_parent(parent) {
        tracing::debug!(%error, "the span keeps no parent");
    }
}

/// Carries the current trace in an outgoing call.
pub fn inject(metadata: &mut MetadataMap) {
    if let Some(value) =
        current_traceparent().and_then(|text| AsciiMetadataValue::try_from(text).ok())
    {
        metadata.insert(TRACEPARENT, value);
    }
}

struct Single<'a>(&'a str);

impl Extractor for Single<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

/// What services and probes ask again and again by themselves: as long as it is answered well, nobody wants to read of it.
const POLLED: [&str; 5] = [
    "/grpc.health.v1.Health/Check",
    "/kinora.accounts.v1.TrustService/GetTrust",
    "/kinora.billing.v1.LedgerService/ListOpenHolds",
    "/livez",
    "/readyz",
];

/// Gives every request a span (child of the caller's trace), a request id and one log line.
///
/// What is only polled is logged as debugging, unless it fails. Works on axum and on tonic. A request id sent by the caller is kept when it is 1 to 64 visible
/// ASCII characters; the answer carries the id in `x-request-id`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerTraceLayer;

impl<S> Layer<S> for ServerTraceLayer {
    type Service = ServerTrace<S>;

    fn layer(&self, inner: S) -> ServerTrace<S> {
        ServerTrace { inner }
    }
}

/// The service that [`ServerTraceLayer`] makes.
#[derive(Clone, Debug)]
pub struct ServerTrace<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for ServerTrace<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, ctx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(ctx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = request_id(request.headers());
        let span = request_span(&request, &id);
        let is_polled = POLLED.contains(&request.uri().path());
        request.extensions_mut().insert(RequestId(id.clone()));
        let begun = Instant::now();
        let answer = span.in_scope(|| self.inner.call(request));
        let log_span = span.clone();
        Box::pin(
            async move {
                let mut response = answer.await?;
                log_answer(&log_span, &response, is_polled, begun);
                if let Ok(value) = HeaderValue::from_str(&id) {
                    response.headers_mut().insert(REQUEST_ID, value);
                }
                Ok(response)
            }
            .instrument(span),
        )
    }
}

fn request_span<B>(request: &Request<B>, id: &str) -> Span {
    let span = tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        request_id = id,
        status = field::Empty,
    );
    if let Some(parent) = request
        .headers()
        .get(TRACEPARENT)
        .and_then(|v| v.to_str().ok())
    {
        set_parent(&span, parent);
    }
    span
}

fn request_id(headers: &HeaderMap) -> String {
    let is_legal = |text: &&str| {
        !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic())
    };
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(is_legal)
        .map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

fn log_answer<R>(span: &Span, response: &Response<R>, is_polled: bool, begun: Instant) {
    let status = response.status().as_u16();
    span.record("status", status);
    let grpc = response
        .headers()
        .get("grpc-status")
        .and_then(|value| value.to_str().ok());
    let elapsed_ms = begun.elapsed().as_millis();
    let is_good = response.status().is_success() && grpc.is_none_or(|code| code == "0");
    match grpc {
        _ if is_polled && is_good => tracing::debug!(status, elapsed_ms, "answered"),
        Some(code) => tracing::info!(grpc_status = code, elapsed_ms, "answered"),
        None => tracing::info!(status, elapsed_ms, "answered"),
    }
}

#[cfg(test)]
mod tests;
