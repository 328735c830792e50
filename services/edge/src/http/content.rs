//! Redirects to what a video left in the object store.
//!
//! A link is signed for one method, so `HEAD` gets one of its own, which tells size and type without the object.

mod query;

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use kinora_mesh::error::PublicError;
use kinora_proto::scheduler::v1::{ContentKind, FindContentRequest, FindContentResponse};

use self::query::Asked;
use super::{Caller, Edge, VideoId, headers};
use crate::auth::Bearer;
use crate::problem::Problem;
use crate::visit::Visit;

/// `GET /v1/videos/{id}/content`: the clip, or the variant that the query asks for.
pub(super) async fn video(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked = Asked::with_variant(&uri)?;
    let wanted = wanted(id, asked.kind(), false);
    edge.redirect(&caller, wanted, &asked, &method, &headers)
        .await
}

/// Notes which of the paths it is.
pub(super) async fn note(request: Request, next: Next) -> Response {
    let rest: Vec<&str> = request.uri().path().split('/').skip(4).collect();
    let path = format!("/v1/videos/{{id}}/{}", rest.join("/"));
    Visit::of(request.extensions()).set_method(&path);
    next.run(request).await
}

/// One object of a video, or of the preview to approve.
pub(super) fn of_kind(kind: ContentKind, of_preview: bool) -> MethodRouter<Edge> {
    get(
        move |State(edge): State<Edge>,
              Caller(caller): Caller,
              VideoId(id): VideoId,
              method: Method,
              headers: HeaderMap,
              uri: Uri| async move {
            let asked = Asked::of(kind, &uri)?;
            let wanted = wanted(id, kind, of_preview);
            edge.redirect(&caller, wanted, &asked, &method, &headers)
                .await
        },
    )
}

impl Edge {
    async fn redirect(
        &self,
        caller: &Bearer,
        wanted: FindContentRequest,
        asked: &Asked,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let timeout = headers::timeout(headers, self.services.timeout())?;
        let mut found = self.services.find_content(caller, wanted, timeout).await?;
        found.file_name = asked.file_name(found.file_name);
        let link = self.link(found, method).await?;
        let headers = [(LOCATION, link), (CACHE_CONTROL, "no-store".to_owned())];
        Ok((StatusCode::TEMPORARY_REDIRECT, headers).into_response())
    }

    /// Signs a link to an object, for a while and one method. Without a file name browsers show it in place.
    pub(super) async fn link(
        &self,
        found: FindContentResponse,
        method: &Method,
    ) -> Result<String, Problem> {
        let (blobs, key) = (&self.blobs, found.key.as_str());
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let (name, content_type) = (some(found.file_name), some(found.content_type));
        let (name, content_type) = (name.as_deref(), content_type.as_deref());
        let lifetime = self.link_lifetime;
        let link = if method == Method::HEAD {
            blobs.presign_head(key, lifetime, name, content_type).await
        } else {
            blobs.presign_get(key, lifetime, name, content_type).await
        };
        Ok(link.map_err(|error| PublicError::internal(&error))?)
    }
}

fn wanted(id: String, kind: ContentKind, of_preview: bool) -> FindContentRequest {
    FindContentRequest {
        id,
        kind: kind.into(),
        of_preview,
    }
}
