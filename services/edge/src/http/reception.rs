//! What every request passes: it is counted, its answer says what is left, and refusals are noted.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kinora_mesh::error::PublicError;
use kinora_mesh::trace::RequestId;
use tonic::{Code, Status};

use super::{Services, grpc};
use crate::audit::{Audit, Refusal};
use crate::limits::Limits;
use crate::problem::Rendered;
use crate::visit::Visit;

/// What probes ask for.
const PROBED: [&str; 2] = ["/healthz", "/readyz"];

/// What the layers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reception {
    pub(crate) services: Services,
    pub(crate) limits: Limits,
    pub(crate) audit: Audit,
}

/// Stands outside of what renders problems: sees answers as they leave.
pub(super) async fn receive(
    State(reception): State<Reception>,
    mut request: Request,
    next: Next,
) -> Response {
    let extensions = request.extensions();
    let address = reception.services.address(request.headers(), extensions);
    let request_id = extensions.get::<RequestId>().map(|id| id.0.clone());
    let visit = Visit::new(reception.limits, address);
    if is_probe(request.uri().path()) {
        visit.set_free();
    }
    request.extensions_mut().insert(visit.clone());
    let mut response = next.run(request).await;
    visit.write(response.headers_mut());
    if let Some((status, reason)) = refusal(&response) {
        let method = visit.method();
        reception.audit.note(&Refusal {
            status,
            reason: &reason,
            method: method.as_deref().unwrap_or_default(),
            visit: &visit,
            request_id: request_id.as_deref().unwrap_or_default(),
        });
    }
    response
}

/// Stands within: what nobody has counted by the time of its answer is counted on its address. That is what there is for
/// everybody, and what there is not; neither has done anything yet that would have to be undone.
pub(super) async fn settle(request: Request, next: Next) -> Response {
    let visit = Visit::of(request.extensions());
    let response = next.run(request).await;
    match visit.count_stranger().await {
        Ok(()) => response,
        Err(problem) => problem.into_response(),
    }
}

fn is_probe(path: &str) -> bool {
    PROBED.contains(&path) || grpc::is_probe(path)
}

/// The status and the reason of an answer that refuses: 401, 403 or 429, or what these are over gRPC.
fn refusal(response: &Response) -> Option<(u16, String)> {
    let status = response.status().as_u16();
    if matches!(status, 401 | 403 | 429) {
        let rendered = response.extensions().get::<Rendered>()?;
        return Some((status, rendered.reason.clone()));
    }
    refusal_by_grpc(response.headers())
}

fn refusal_by_grpc(headers: &HeaderMap) -> Option<(u16, String)> {
    headers.get(Status::GRPC_STATUS)?;
    let status = Status::from_header_map(headers)?;
    let is_refusal = matches!(
        status.code(),
        Code::Unauthenticated | Code::PermissionDenied | Code::ResourceExhausted
    );
    let error = is_refusal.then(|| PublicError::from_status(&status))?;
    Some((error.kind.http(), error.reason))
}
