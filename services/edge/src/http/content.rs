//! Redirects to what a completed job left in the object store.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::response::{IntoResponse, Response};
use kinora_ids::JobId;
use kinora_mesh::error::PublicError;
use kinora_mesh::principal::Principal;
use kinora_proto::scheduler::v1::{JobState, Outputs};

use super::{Caller, Edge, VideoId};
use crate::problem::Problem;
use crate::view::State as VideoState;

pub(super) async fn video(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
) -> Result<Response, Problem> {
    let key = edge.outputs(&caller, id).await?.video_key;
    edge.redirect(&key, "video/mp4").await
}

pub(super) async fn thumbnail(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
) -> Result<Response, Problem> {
    let key = edge.outputs(&caller, id).await?.thumbnail_key;
    edge.redirect(&key, "image/webp").await
}

pub(super) async fn still(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
) -> Result<Response, Problem> {
    let key = edge.outputs(&caller, id).await?.still_key;
    edge.redirect(&key, "image/png").await
}

pub(super) async fn manifest(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
) -> Result<Response, Problem> {
    let key = edge.outputs(&caller, id).await?.manifest_key;
    edge.redirect(&key, "application/json").await
}

impl Edge {
    async fn outputs(&self, caller: &Principal, id: JobId) -> Result<Outputs, Problem> {
        let job = self.scheduler.get(caller, id.to_string()).await?;
        let state = job.state();
        match job.outputs {
            Some(outputs) if state == JobState::Completed => Ok(outputs),
            _ => Err(not_ready(state.into())),
        }
    }

    async fn redirect(&self, key: &str, content_type: &str) -> Result<Response, Problem> {
        if key.is_empty() {
            let detail = "this video was stored without it";
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                "OUTPUT_NOT_FOUND",
                detail,
            ));
        }
        let link = self
            .blobs
            .presign_get(key, self.link_lifetime, None, Some(content_type))
            .await
            .map_err(|error| PublicError::internal(&error))?;
        let headers = [(LOCATION, link), (CACHE_CONTROL, "no-store".to_owned())];
        Ok((StatusCode::TEMPORARY_REDIRECT, headers).into_response())
    }
}

fn not_ready(state: VideoState) -> Problem {
    let detail = if state.is_terminal() {
        format!("the video is {} and has no clip", state.name())
    } else {
        format!(
            "the video is {}; follow its events and come back",
            state.name()
        )
    };
    Problem::new(StatusCode::CONFLICT, "NOT_READY", detail).with_metadata("state", state.name())
}
