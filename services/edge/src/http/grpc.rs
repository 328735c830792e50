//! gRPC and gRPC-Web, on the port of REST: a request's content type says which it is.
//!
//! What is reachable is what REST has: the methods with a route. A call is authenticated as over REST; its message goes
//! on byte for byte, and so does the answer. Nothing else of what the caller sent reaches a service, and nothing that a
//! service says by accident reaches the caller: a status without a reason is said in our words.

mod answer;
mod dialect;
mod forward;
mod health;
mod message;
mod reflection;

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt;
use kinora_mesh::error::{Kind, PublicError};
use tonic::Status;
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Layer, ServiceExt, service_fn};

use self::dialect::Dialect;
use self::health::Health;
pub(super) use self::reflection::Reflection;
use super::Edge;
use crate::problem::Problem;
use crate::visit::Visit;

/// Answers calls. Cheap to clone.
#[derive(Clone)]
pub(super) struct Front {
    edge: Edge,
    health: Health,
    reflection: Option<Reflection>,
}

impl Front {
    /// Calls over what `edge` has.
    pub(super) fn new(edge: Edge, reflection: Option<Reflection>) -> Self {
        let health = Health::until(edge.draining.clone(), &edge.services.routes);
        Self {
            edge,
            health,
            reflection,
        }
    }
}

/// Answers what is gRPC or gRPC-Web. Everything else goes on to REST.
pub(super) async fn by_content_type(
    State(front): State<Front>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match Dialect::of(request.headers()) {
        None => Ok(next.run(request).await),
        Some(_) if request.method() != Method::POST => {
            Err(Problem::method_not_allowed().with_header(ALLOW, "POST"))
        }
        Some(Dialect::Grpc) => front.grpc(request).await,
        Some(Dialect::Web(content_type)) => Ok(front.web(request, content_type).await),
        Some(Dialect::Unknown) => Err(unsupported()),
    }
}

impl Front {
    async fn grpc(self, request: Request) -> Result<Response, Problem> {
        if request.version() != Version::HTTP_2 {
            return Err(http_2_required());
        }
        let response = self.answer(request.map(Body::new)).await;
        Ok(response.map(axum::body::Body::new))
    }

    async fn web(self, mut request: Request, content_type: &'static str) -> Response {
        let headers = request.headers_mut();
        let accepted = dialect::accepted(headers).unwrap_or(content_type);
        headers.insert(ACCEPT, HeaderValue::from_static(accepted));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let calls = service_fn(move |request| {
            let front = self.clone();
            async move { Ok::<_, Infallible>(front.answer(request).await) }
        });
        match GrpcWebLayer::new().layer(calls).oneshot(request).await {
            Ok(response) => response.map(axum::body::Body::new),
            Err(never) => match never {},
        }
    }

    /// A panic is answered too, by a status that tells nothing.
    async fn answer(self, request: axum::http::Request<Body>) -> axum::http::Response<Body> {
        let answering = Box::pin(AssertUnwindSafe(self.dispatch(request)).catch_unwind());
        let error = match answering.await {
            Ok(Ok(response)) => return response,
            Ok(Err(error)) => error,
            Err(_) => {
                tracing::error!("a call panicked");
                Problem::internal().into()
            }
        };
        Status::from(error).into_http()
    }

    async fn dispatch(
        self,
        request: axum::http::Request<Body>,
    ) -> Result<axum::http::Response<Body>, PublicError> {
        let path = request.uri().path();
        let until = answer::stopped(self.edge.stopping.clone());
        if Health::is_asked_by(path) {
            return Ok(self.health.answer(request, until).await);
        }
        let reflection = self.reflection.filter(|_| Reflection::is_asked_by(path));
        if let Some(reflection) = reflection {
            return Ok(reflection.answer(request, until).await);
        }
        let routes = self.edge.services.routes.routes();
        let Some(route) = routes.iter().find(|route| route.method() == path) else {
            let visit = Visit::of(request.extensions());
            visit.count_stranger().await?;
            return Err(unknown_method());
        };
        forward::forward(&self.edge, route, request).await
    }
}

/// Whether a load balancer asks how the edge is.
pub(super) fn is_probe(path: &str) -> bool {
    Health::is_asked_by(path)
}

fn unknown_method() -> PublicError {
    let detail = "there is no such method";
    PublicError::new(Kind::Unimplemented, "METHOD_NOT_FOUND", detail)
}

fn unsupported() -> Problem {
    let detail =
        "calls are sent as application/grpc, application/grpc-web or application/grpc-web-text";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Problem::new(status, "CONTENT_TYPE_UNSUPPORTED", detail)
}

fn http_2_required() -> Problem {
    let detail = "application/grpc needs HTTP/2; over HTTP/1.1 send application/grpc-web";
    Problem::new(StatusCode::BAD_REQUEST, "HTTP2_REQUIRED", detail)
}
