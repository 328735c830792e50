//! Whether this edge takes calls (`grpc.health.v1.Health`), for load balancers: no caller is asked for.

use std::collections::BTreeSet;

use axum::http::{Request, Response};
use kinora_transcoder::Transcoder;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower::ServiceExt;

use super::answer::{self, End};

/// What its paths begin with.
const PREFIX: &str = "/grpc.health.v1.Health/";

/// A question is the name of a service.
const MAX_QUESTION_BYTES: usize = 1024;

/// Answers for the edge, and for the services behind it by their names: whoever reaches them here does so by this edge.
#[derive(Clone)]
pub(super) struct Health(HealthServer<HealthService>);

impl Health {
    /// Says yes until `draining`.
    pub(super) fn until(draining: CancellationToken, routes: &Transcoder) -> Self {
        let routes = routes.routes().iter();
        let mut services: BTreeSet<String> = routes.map(|route| route.service()).collect();
        services.insert(String::new());
        let reporter = HealthReporter::new();
        let server = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        tokio::spawn(async move {
            for service in &services {
                reporter
                    .set_service_status(service, ServingStatus::Serving)
                    .await;
            }
            draining.cancelled().await;
            for service in &services {
                reporter
                    .set_service_status(service, ServingStatus::NotServing)
                    .await;
            }
        });
        Self(server.max_decoding_message_size(MAX_QUESTION_BYTES))
    }

    pub(super) fn is_asked_by(path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    /// A watch ends with `until`.
    pub(super) async fn answer(self, request: Request<Body>, until: End) -> Response<Body> {
        match self.0.oneshot(request).await {
            Ok(response) => answer::ending(response, until),
            Err(never) => match never {},
        }
    }
}
