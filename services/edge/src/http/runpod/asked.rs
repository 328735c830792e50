//! What every call says: who calls, at which endpoint, of which job, and how long it may take.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use kinora_proto::scheduler::v1::{ContentKind, Video};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::calls::Line;
use super::endpoint::Endpoint;
use super::{job, output};
use crate::auth::Bearer;
use crate::http::{Caller, Edge, headers};
use crate::problem::Problem;

/// A call of a caller who is known.
pub(super) struct Asked {
    edge: Edge,
    caller: Arc<Bearer>,
    timeout: Duration,
    pub(super) endpoint: Endpoint,
    /// Empty where the call is of no job.
    id: String,
}

/// The variables of all paths.
#[derive(Deserialize)]
struct Named {
    endpoint: String,
    #[serde(default)]
    id: String,
}

impl FromRequestParts<Edge> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        let Caller(caller) = Caller::from_request_parts(parts, edge).await?;
        let path = Path::<Named>::from_request_parts(parts, edge).await;
        // Its bytes are no text, which names nothing.
        let Path(named) = path.map_err(|_| Problem::route_not_found())?;
        Ok(Self {
            timeout: headers::timeout(&parts.headers, edge.services.timeout())?,
            edge: edge.clone(),
            caller,
            endpoint: Endpoint::of(&named.endpoint),
            id: named.id,
        })
    }
}

impl Asked {
    /// The way to the scheduler.
    pub(super) fn line(&self) -> Line<'_> {
        Line {
            edge: &self.edge,
            caller: &self.caller,
            timeout: self.timeout,
        }
    }

    /// The job that is meant.
    pub(super) async fn job(&self) -> Result<Video, Problem> {
        self.line().video_of(&self.endpoint, &self.id).await
    }

    /// Everything there is to say of a job, with links to what it left.
    pub(super) async fn whole(&self, video: &Video) -> Result<Map<String, Value>, Problem> {
        let (line, endpoint) = (self.line(), &self.endpoint);
        let mut answer = job::answer(video);
        if let Some(error) = job::error(video) {
            answer.insert("error".to_owned(), endpoint.error(error));
        }
        if let Some(outputs) = &video.outputs {
            let links = output::Links {
                video: line.link(&video.id, ContentKind::Video).await?,
                thumbnail: match endpoint {
                    Endpoint::Model(_) => line.link(&video.id, ContentKind::Thumbnail).await.ok(),
                    Endpoint::Ovi(_) | Endpoint::Mochi(_) => None,
                },
            };
            let output = output::of(endpoint, video, outputs, links);
            answer.insert("output".to_owned(), output);
        }
        Ok(answer)
    }
}
