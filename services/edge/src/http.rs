//! Routes, and the layers that every request passes.

mod admission;
mod age;
mod body;
mod compression;
mod content;
mod etag;
mod grpc;
mod headers;
mod health;
mod in_url;
mod openai;
pub(crate) mod openapi;
mod reception;
mod runpod;
mod services;
mod stream;
pub(crate) mod stripe;
mod transcoded;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use kinora_blobs::BlobStore;
use kinora_mesh::MeshError;
use kinora_mesh::places::Places;
use kinora_mesh::trace::{REQUEST_ID, ServerTraceLayer};
use kinora_proto::scheduler::v1::ContentKind;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

pub(crate) use self::reception::Reception;
pub(crate) use self::services::{Channels, Services};
use crate::auth::{Bearer, Gate};
use crate::limits;
use crate::problem::{self, Problem};
use crate::visit::Visit;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) gate: Gate,
    pub(crate) services: Services,
    pub(crate) scheduler_health: HealthClient<Channel>,
    pub(crate) blobs: BlobStore,
    pub(crate) link_lifetime: Duration,
    /// Cancelled once the edge is not ready any more.
    pub(crate) draining: CancellationToken,
    /// Cancelled once streams are to end.
    pub(crate) stopping: CancellationToken,
    /// Large bodies that may be taken in at a time.
    pub(crate) uploads: Places,
    /// Stripe's webhooks that may be taken in at a time.
    pub(crate) stripe_webhooks: Places,
}

/// The whole HTTP surface: what the contracts have no route for, and behind it what they have.
/// With `reflection` it tells over gRPC what there is to call.
///
/// # Errors
/// [`MeshError::Reflection`] when the contracts make no sense.
pub(crate) fn router(
    edge: Edge,
    reception: Reception,
    cors_origins: Vec<HeaderValue>,
    reflection: bool,
) -> Result<Router, MeshError> {
    let verbs = edge.services.verbs();
    let reflection = reflection.then(|| grpc::Reflection::of(&edge.services.routes));
    let calls = grpc::Front::new(edge.clone(), reflection.transpose()?);
    let services = edge.services.clone();
    let router = Router::new()
        .merge(content_router())
        .merge(openapi::router())
        .merge(runpod::router())
        .route("/v1/ageVerifications:complete", post(age::complete))
        .route("/v1/stripe:webhook", post(stripe::receive))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(transcoded::answer)
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(edge);
    let router = router.layer(from_fn_with_state(calls, grpc::by_content_type));
    let router = router.layer(from_fn_with_state(services, in_url::admit));
    let router = layered(router, cors(cors_origins, verbs))
        .layer(from_fn_with_state(reception, reception::receive))
        .layer(ServerTraceLayer);
    Ok(router)
}

/// Redirects have no place in the contracts.
fn content_router() -> Router<Edge> {
    let of = content::of_kind;
    let mut router = Router::new()
        .route("/v1/videos/{id}/content", get(content::video))
        .route("/v1/videos/{id}/preview", of(ContentKind::Video, true));
    for (name, kind) in [
        ("thumbnail", ContentKind::Thumbnail),
        ("spritesheet", ContentKind::Spritesheet),
        ("still", ContentKind::Still),
        ("manifest", ContentKind::Manifest),
    ] {
        router = router
            .route(&format!("/v1/videos/{{id}}/{name}"), of(kind, false))
            .route(&format!("/v1/videos/{{id}}/preview/{name}"), of(kind, true));
    }
    router.route_layer(from_fn(content::note))
}

/// Outermost last. Around these are only the reception, which sees answers as they leave, and trace and request id.
fn layered(router: Router, cors: CorsLayer) -> Router {
    let router = router
        .layer(CatchPanicLayer::custom(problem::of_panic))
        .layer(from_fn(reception::settle))
        .layer(cors)
        .layer(from_fn(problem::render));
    compression::with_compression(router)
}

fn cors(origins: Vec<HeaderValue>, verbs: Vec<Method>) -> CorsLayer {
    let header = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods(verbs)
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_NONE_MATCH,
            header("allow-duplicate"),
            header("grpc-timeout"),
            header("idempotency-key"),
            header("last-event-id"),
            header("x-api-key"),
            header("x-grpc-web"),
            header("x-user-agent"),
            header(REQUEST_ID),
            header("x-request-timeout"),
        ])
        .expose_headers([
            ALLOW,
            ETAG,
            LOCATION,
            RETRY_AFTER,
            WWW_AUTHENTICATE,
            limits::LEVEL_HEADER,
            limits::POLICY_HEADER,
            header("openai-poll-after-ms"),
            header("grpc-message"),
            header("grpc-status"),
            header("grpc-status-details-bin"),
            header(REQUEST_ID),
        ])
        .max_age(Duration::from_secs(3600))
}

/// The authenticated caller. Stands first among a handler's arguments, so that nothing is read for a stranger.
pub(crate) struct Caller(pub(crate) Arc<Bearer>);

impl FromRequestParts<Edge> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        let visit = Visit::of(&parts.extensions);
        let caller = edge.gate.authenticate(&parts.headers, &visit).await;
        caller.map(Self)
    }
}

/// The id in the path, percent-decoded; empty when it is no text, which names nothing.
pub(crate) struct VideoId(pub(crate) String);

impl FromRequestParts<Edge> for VideoId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, edge).await;
        Ok(path.map_or_else(|_| Self(String::new()), |Path(text)| Self(text)))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt;

    use super::*;
    use crate::problem::ProblemDocument;

    #[tokio::test]
    async fn a_panic_becomes_a_problem_that_tells_nothing() {
        async fn boom() {
            panic!("secret");
        }
        let router = Router::new().route("/boom", get(boom));
        let router = layered(router, CorsLayer::new()).layer(ServerTraceLayer);
        let request = Request::get("/boom").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let problem: ProblemDocument = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (problem.reason.as_str(), problem.instance.as_str()),
            ("INTERNAL", "/boom")
        );
        assert!(!problem.detail.contains("secret") && !problem.request_id.is_empty());
    }
}
