//! Routes, and the layers that every request passes.

mod body;
mod content;
mod events;
mod health;
mod query;
mod videos;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::from_fn;
use axum::routing::get;
use kinora_blobs::BlobStore;
use kinora_ids::JobId;
use kinora_mesh::principal::Principal;
use kinora_mesh::trace::{REQUEST_ID, ServerTraceLayer};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::auth::KeyRing;
use crate::client::Scheduler;
use crate::problem::{self, Problem};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) scheduler: Scheduler,
    pub(crate) keys: KeyRing,
    pub(crate) blobs: BlobStore,
    pub(crate) link_lifetime: Duration,
    pub(crate) shutdown: CancellationToken,
    /// Large bodies that may be taken in at a time.
    pub(crate) uploads: Arc<Semaphore>,
}

/// The whole HTTP surface.
pub(crate) fn router(edge: Edge, cors_origins: Vec<HeaderValue>) -> Router {
    let router = Router::new()
        .route("/v1/videos", get(videos::list).post(videos::submit))
        .route(
            "/v1/videos/{id}",
            get(videos::read).post(videos::act).delete(videos::delete),
        )
        .route("/v1/videos/{id}/events", get(events::follow))
        .route("/v1/videos/{id}/content", get(content::video))
        .route("/v1/videos/{id}/thumbnail", get(content::thumbnail))
        .route("/v1/videos/{id}/still", get(content::still))
        .route("/v1/videos/{id}/manifest", get(content::manifest))
        .route("/v1/models", get(videos::models))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(async || Problem::route_not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(edge);
    layered(router, cors_origins)
}

/// Outermost last: trace and request id, problems, origins, panics.
fn layered(router: Router, cors_origins: Vec<HeaderValue>) -> Router {
    router
        .layer(CatchPanicLayer::custom(problem::of_panic))
        .layer(cors(cors_origins))
        .layer(from_fn(problem::render))
        .layer(ServerTraceLayer)
}

fn cors(origins: Vec<HeaderValue>) -> CorsLayer {
    let header = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            header("idempotency-key"),
            header("last-event-id"),
            header("x-api-key"),
            header(REQUEST_ID),
        ])
        .expose_headers([
            ALLOW,
            LOCATION,
            RETRY_AFTER,
            WWW_AUTHENTICATE,
            header(REQUEST_ID),
        ])
        .max_age(Duration::from_secs(3600))
}

/// The authenticated caller. Stands first among a handler's arguments, so that nothing is read for a stranger.
pub(crate) struct Caller(pub(crate) Principal);

impl FromRequestParts<Edge> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        edge.keys.authenticate(&parts.headers).map(Self)
    }
}

/// The id in the path. What cannot be an id is answered as an unknown one.
pub(crate) struct VideoId(pub(crate) JobId);

impl FromRequestParts<Edge> for VideoId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        let Segment(text) = Segment::from_request_parts(parts, edge).await?;
        text.parse()
            .map(Self)
            .map_err(|_| Problem::video_not_found())
    }
}

/// The path's variable segment, percent-decoded.
pub(crate) struct Segment(pub(crate) String);

impl FromRequestParts<Edge> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, edge).await;
        path.map(|Path(text)| Self(text))
            .map_err(|_| Problem::video_not_found())
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
        let router = layered(Router::new().route("/boom", get(boom)), Vec::new());
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
