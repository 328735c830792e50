//! One trace from the edge to the worker's steps, received by a real OTLP server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use kinora_integration_tests::OneProcess;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Passes every span on to the test.
struct Collector(mpsc::UnboundedSender<Span>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            for scope in resource.scope_spans {
                scope
                    .spans
                    .into_iter()
                    .for_each(|span| self.0.send(span).unwrap());
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn collector() -> (String, mpsc::UnboundedReceiver<Span>) {
    let (sender, spans) = mpsc::unbounded_channel();
    let listener = kinora_testkit::net::loopback_listener().await;
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let service = TraceServiceServer::new(Collector(sender));
    #[expect(
        clippy::disallowed_methods,
        reason = "a collector is no service of the mesh"
    )]
    let mut server = tonic::transport::Server::builder();
    let serving = server.add_service(service);
    tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
    (endpoint, spans)
}

#[tokio::test]
async fn a_submitted_job_is_one_trace_down_to_the_steps() {
    let (endpoint, mut spans) = collector().await;
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start_with(data.path(), &["--otlp-endpoint", &endpoint]).await;
    let body = json!({ "prompt": "a red star spins on a gray background", "steps": 3 });
    let id = mesh.api.submit(body).await;
    mesh.api.wait_status(&id, "completed").await;

    let mut seen: Vec<Span> = Vec::new();
    let is_complete = |seen: &[Span]| {
        let Some(attempt) = seen.iter().find(|span| span.name == "attempt") else {
            return false;
        };
        let trace = |span: &&Span| span.trace_id == attempt.trace_id;
        let names: Vec<&str> = seen
            .iter()
            .filter(trace)
            .map(|span| span.name.as_str())
            .collect();
        let count = |name: &str| names.iter().filter(|seen| **seen == name).count();
        // The edge's request, the scheduler's, the attempt, and at least its three steps.
        count("request") >= 2 && count("attempt") == 1 && count("step") >= 3
    };
    while !is_complete(&seen) {
        let next = tokio::time::timeout(Duration::from_secs(60), spans.recv()).await;
        let names: BTreeSet<&str> = seen.iter().map(|span| span.name.as_str()).collect();
        let span = next.unwrap_or_else(|_| panic!("no more spans; seen: {names:?}"));
        seen.push(span.unwrap());
    }
    let leaked = seen
        .iter()
        .any(|span| format!("{span:?}").contains("red star"));
    assert!(!leaked, "no span carries the prompt");
}
