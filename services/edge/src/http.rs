//! Routes, and the layers that every request passes.

mod admin;
mod age;
mod body;
mod content;
mod events;
mod groups;
mod headers;
mod health;
mod query;
pub(crate) mod stripe;
mod transcoded;
mod videos;
mod webhooks;

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
use axum::routing::{get, post};
use kinora_blobs::BlobStore;
use kinora_ids::JobId;
use kinora_mesh::places::Places;
use kinora_mesh::trace::{REQUEST_ID, ServerTraceLayer};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use self::body::Intake;
pub(crate) use self::transcoded::Services;
use crate::auth::{Bearer, Gate};
use crate::client::Scheduler;
use crate::problem::{self, Problem};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) scheduler: Scheduler,
    pub(crate) gate: Gate,
    pub(crate) services: Services,
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

impl Edge {
    /// What a caller's body is taken in with.
    fn intake<'a>(&'a self, caller: &'a Bearer) -> Intake<'a> {
        Intake {
            places: &self.uploads,
            caller,
        }
    }
}

/// The whole HTTP surface.
pub(crate) fn router(edge: Edge, cors_origins: Vec<HeaderValue>) -> Router {
    let router = videos_router()
        .merge(groups_router())
        .merge(webhooks_router())
        .merge(admin_router())
        .route("/v1/ageVerifications:complete", post(age::complete))
        .route("/v1/stripe:webhook", post(stripe::receive))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(transcoded::answer)
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(edge);
    layered(router, cors_origins)
}

fn videos_router() -> Router<Edge> {
    Router::new()
        .route("/v1/videos", get(videos::list).post(videos::submit))
        .route("/v1/videos:estimate", post(videos::estimate))
        .route(
            "/v1/videos/{id}",
            get(videos::read).post(videos::act).delete(videos::delete),
        )
        .route("/v1/videos/{id}/events", get(events::follow))
        .route("/v1/videos/{id}/content", get(content::video))
        .route("/v1/videos/{id}/thumbnail", get(content::thumbnail))
        .route("/v1/videos/{id}/still", get(content::still))
        .route("/v1/videos/{id}/manifest", get(content::manifest))
        .route("/v1/videos/{id}/preview", get(content::preview))
        .route("/v1/videos/{id}/preview/{name}", get(content::of_preview))
        .route("/v1/models", get(videos::models))
}

fn groups_router() -> Router<Edge> {
    Router::new()
        .route("/v1/batches", post(groups::submit_batch))
        .route("/v1/batches/{id}", get(groups::read).post(groups::act))
        .route("/v1/batches/{id}/events", get(events::follow_group))
        .route("/v1/sequences", post(groups::submit_sequence))
        .route("/v1/sequences/{id}", get(groups::read).post(groups::act))
        .route("/v1/sequences/{id}/events", get(events::follow_group))
}

fn webhooks_router() -> Router<Edge> {
    Router::new()
        .route("/v1/webhooks", get(webhooks::list).post(webhooks::create))
        .route(
            "/v1/webhooks/{id}",
            get(webhooks::read)
                .post(webhooks::act)
                .patch(webhooks::change)
                .delete(webhooks::delete),
        )
        .route("/v1/webhooks/{id}/deliveries", get(webhooks::deliveries))
        .route("/v1/deliveries/{id}", post(webhooks::replay))
}

fn admin_router() -> Router<Edge> {
    Router::new()
        .route("/v1/admin/workers", get(admin::workers))
        .route("/v1/admin/workers/{id}", post(admin::act_on_worker))
        .route("/v1/admin/queues", get(admin::queues))
        .route("/v1/admin/dead-letters", get(admin::dead_letters))
        .route("/v1/admin/dead-letters/{id}", post(admin::retry))
        .route(
            "/v1/admin/tenants/{id}",
            get(admin::tenant).patch(admin::change_tenant),
        )
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
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            header("allow-duplicate"),
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
pub(crate) struct Caller(pub(crate) Arc<Bearer>);

impl FromRequestParts<Edge> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        edge.gate.authenticate(&parts.headers).await.map(Self)
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

/// The path's variable segment, percent-decoded; empty when it is no text, which names nothing.
pub(crate) struct Segment(pub(crate) String);

impl FromRequestParts<Edge> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, edge).await;
        Ok(path.map_or_else(|_| Self(String::new()), |Path(text)| Self(text)))
    }
}

/// The id and the verb of a segment such as `{id}:cancel`. A segment without one is there for `methods` only.
fn split_verb<'a>(segment: &'a str, methods: &'static str) -> Result<(&'a str, &'a str), Problem> {
    let allowed = || Problem::method_not_allowed().with_header(ALLOW, methods);
    segment.rsplit_once(':').ok_or_else(allowed)
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
