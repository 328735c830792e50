//! Redirects to what a video left in the object store.
//!
//! A link is signed for one method, so `HEAD` gets one of its own, which tells size and type without the object.

use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use kinora_mesh::error::PublicError;
use kinora_proto::scheduler::v1::{ContentKind, FindContentRequest, FindContentResponse};

use super::{Caller, Edge, VideoId, headers};
use crate::auth::Bearer;
use crate::problem::Problem;

/// `GET /v1/videos/{id}/content`: the clip, or the variant that the query asks for.
pub(super) async fn video(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let wanted = wanted(id, variant(&uri)?, false);
    edge.redirect(&caller, wanted, &method, &headers).await
}

/// One object of a video, or of the preview to approve.
pub(super) fn of_kind(kind: ContentKind, of_preview: bool) -> MethodRouter<Edge> {
    get(
        move |State(edge): State<Edge>,
              Caller(caller): Caller,
              VideoId(id): VideoId,
              method: Method,
              headers: HeaderMap| async move {
            let wanted = wanted(id, kind, of_preview);
            edge.redirect(&caller, wanted, &method, &headers).await
        },
    )
}

impl Edge {
    async fn redirect(
        &self,
        caller: &Bearer,
        wanted: FindContentRequest,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let timeout = headers::timeout(headers, self.services.timeout())?;
        let found = self.services.find_content(caller, wanted, timeout).await?;
        let link = self.link(found, method).await?;
        let headers = [(LOCATION, link), (CACHE_CONTROL, "no-store".to_owned())];
        Ok((StatusCode::TEMPORARY_REDIRECT, headers).into_response())
    }

    /// Signs a link to an object, for a while and one method.
    pub(super) async fn link(
        &self,
        found: FindContentResponse,
        method: &Method,
    ) -> Result<String, Problem> {
        let (blobs, key) = (&self.blobs, found.key.as_str());
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let (name, content_type) = (some(found.file_name), some(found.content_type));
        let link = if method == Method::HEAD {
            blobs.presign_head(key, self.link_lifetime).await
        } else {
            let (name, content_type) = (name.as_deref(), content_type.as_deref());
            blobs
                .presign_get(key, self.link_lifetime, name, content_type)
                .await
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

/// Reads `?variant=`. Nobody makes sprite sheets here.
fn variant(uri: &Uri) -> Result<ContentKind, Problem> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| {
        let detail = "the query cannot be read";
        Problem::new(StatusCode::BAD_REQUEST, "QUERY_INVALID", detail)
    })?;
    let pairs: Vec<(&str, &str)> = query
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    match pairs.as_slice() {
        [] | [("variant", "video")] => Ok(ContentKind::Video),
        [("variant", "thumbnail")] => Ok(ContentKind::Thumbnail),
        [("variant", "spritesheet")] => {
            let detail = "this video was stored without it";
            let missing = Problem::new(StatusCode::NOT_FOUND, "OUTPUT_NOT_FOUND", detail);
            Err(missing)
        }
        [("variant", _), ..] => {
            let detail = "must stand once, as video, thumbnail or spritesheet";
            Err(Problem::invalid("variant", detail))
        }
        [(name, _), ..] => {
            let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            let detail = "is not a parameter; there is `variant`";
            Err(Problem::invalid(&name, detail))
        }
    }
}
