//! Redirects to what a job left in the object store.
//!
//! A link is signed for one method, so `HEAD` gets one of its own, which tells size and type without the object.

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use kinora_ids::JobId;
use kinora_mesh::error::PublicError;
use kinora_proto::scheduler::v1::{Job, JobState, Outputs};

use super::{Caller, Edge, VideoId};
use crate::auth::Bearer;
use crate::problem::Problem;
use crate::view::State as VideoState;

/// One of the objects that a job leaves.
#[derive(Clone, Copy)]
enum Object {
    Video,
    Thumbnail,
    Still,
    Manifest,
}

impl Object {
    fn of_name(name: &str) -> Option<Self> {
        match name {
            "thumbnail" => Some(Self::Thumbnail),
            "still" => Some(Self::Still),
            "manifest" => Some(Self::Manifest),
            _ => None,
        }
    }

    fn key(self, outputs: Outputs) -> String {
        match self {
            Self::Video => outputs.video_key,
            Self::Thumbnail => outputs.thumbnail_key,
            Self::Still => outputs.still_key,
            Self::Manifest => outputs.manifest_key,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Video => "video/mp4",
            Self::Thumbnail => "image/webp",
            Self::Still => "image/png",
            Self::Manifest => "application/json",
        }
    }
}

pub(super) async fn video(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
    method: Method,
) -> Result<Response, Problem> {
    edge.redirect_to(&caller, id, Object::Video, &method).await
}

pub(super) async fn thumbnail(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
    method: Method,
) -> Result<Response, Problem> {
    edge.redirect_to(&caller, id, Object::Thumbnail, &method)
        .await
}

pub(super) async fn still(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
    method: Method,
) -> Result<Response, Problem> {
    edge.redirect_to(&caller, id, Object::Still, &method).await
}

pub(super) async fn manifest(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
    method: Method,
) -> Result<Response, Problem> {
    edge.redirect_to(&caller, id, Object::Manifest, &method)
        .await
}

/// `GET /v1/videos/{id}/preview`: the clip to approve.
pub(super) async fn preview(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
    method: Method,
) -> Result<Response, Problem> {
    let outputs = edge.preview_outputs(&caller, id).await?;
    edge.redirect(Object::Video, outputs, &method).await
}

/// `GET /v1/videos/{id}/preview/thumbnail` and so on.
pub(super) async fn of_preview(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Path((id, name)): Path<(String, String)>,
    method: Method,
) -> Result<Response, Problem> {
    let object = Object::of_name(&name).ok_or_else(Problem::route_not_found)?;
    let id = id.parse().map_err(|_| Problem::video_not_found())?;
    let outputs = edge.preview_outputs(&caller, id).await?;
    edge.redirect(object, outputs, &method).await
}

impl Edge {
    async fn redirect_to(
        &self,
        caller: &Bearer,
        id: JobId,
        object: Object,
        method: &Method,
    ) -> Result<Response, Problem> {
        let job = self.scheduler.get(caller, id.to_string()).await?;
        let state = job.state();
        match job.outputs {
            Some(outputs) if state == JobState::Completed => {
                self.redirect(object, outputs, method).await
            }
            _ => Err(not_ready(state.into(), "clip")),
        }
    }

    /// A preview stays there after its approval.
    async fn preview_outputs(&self, caller: &Bearer, id: JobId) -> Result<Outputs, Problem> {
        let job = self.scheduler.get(caller, id.to_string()).await?;
        let state = job.state();
        match job {
            Job {
                preview_outputs: Some(outputs),
                ..
            } => Ok(outputs),
            Job {
                preview_spec: None, ..
            } => Err(output_not_found()),
            _ => Err(not_ready(state.into(), "preview")),
        }
    }

    async fn redirect(
        &self,
        object: Object,
        outputs: Outputs,
        method: &Method,
    ) -> Result<Response, Problem> {
        let (key, content_type) = (object.key(outputs), object.content_type());
        if key.is_empty() {
            return Err(output_not_found());
        }
        let lifetime = self.link_lifetime;
        let link = if method == Method::HEAD {
            self.blobs.presign_head(&key, lifetime).await
        } else {
            let content_type = Some(content_type);
            self.blobs
                .presign_get(&key, lifetime, None, content_type)
                .await
        };
        let link = link.map_err(|error| PublicError::internal(&error))?;
        let headers = [(LOCATION, link), (CACHE_CONTROL, "no-store".to_owned())];
        Ok((StatusCode::TEMPORARY_REDIRECT, headers).into_response())
    }
}

fn output_not_found() -> Problem {
    let detail = "this video was stored without it";
    Problem::new(StatusCode::NOT_FOUND, "OUTPUT_NOT_FOUND", detail)
}

fn not_ready(state: VideoState, what: &str) -> Problem {
    let name = state.name();
    let detail = if state.is_terminal() {
        format!("the video is {name} and has no {what}")
    } else {
        format!("the video is {name}; follow its events and come back")
    };
    Problem::new(StatusCode::CONFLICT, "NOT_READY", detail).with_metadata("state", name)
}
