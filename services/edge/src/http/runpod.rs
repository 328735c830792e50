//! The calls of RunPod's serverless endpoints, for programs that were written for them.
//!
//! An endpoint is a model. A job is a video, with another set of states ([`job`]); `input` is what the model's service
//! takes there ([`input`]), and `output` what it answers ([`output`]). `docs/runpod.md` tells the differences. Nothing is
//! kept here between calls.

mod calls;
mod endpoint;
mod errors;
mod input;
mod job;
mod order;
mod output;
mod queue;
mod submit;
mod wait;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::{get, post};
use kinora_proto::scheduler::v1::{ContentKind, Video};
use serde_json::{Map, Value, json};

use self::calls::Line;
use self::endpoint::Endpoint;
use super::{Caller, Edge, transcoded};
use crate::problem::Problem;

/// The paths of this module.
pub(super) fn router() -> Router<Edge> {
    Router::new()
        .route("/v2/{endpoint}/run", post(run))
        .route("/v2/{endpoint}/runsync", post(run_sync))
        .route("/v2/{endpoint}/status/{id}", get(status).post(status))
        .route("/v2/{endpoint}/stream/{id}", get(stream).post(stream))
        .route("/v2/{endpoint}/cancel/{id}", post(cancel))
        .route("/v2/{endpoint}/retry/{id}", post(retry))
        .route("/v2/{endpoint}/health", get(health))
        .route("/v2/{endpoint}/purge-queue", post(purge_queue))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(from_fn(errors::shape))
}

/// Names an endpoint in the path.
type Named = Path<String>;

/// Names an endpoint and a job of it in the path.
type NamedJob = Path<(String, String)>;

async fn run(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Path(name): Named,
    request: Request,
) -> Result<Response, Problem> {
    let line = Line::of(&edge, &caller, request.headers())?;
    let endpoint = Endpoint::of(&name);
    let accepted = submit::accept(line, &endpoint, request, submit::RUN_BYTES).await?;
    let mut answer = job::answer(&accepted.video);
    answer.extend(accepted.webhook);
    Ok(written(&answer.into()))
}

async fn run_sync(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Path(name): Named,
    request: Request,
) -> Result<Response, Problem> {
    let wait = wait::wanted(request.uri())?;
    let line = Line::of(&edge, &caller, request.headers())?;
    let endpoint = Endpoint::of(&name);
    let accepted = submit::accept(line, &endpoint, request, submit::RUN_SYNC_BYTES).await?;
    let video = wait::until_over(line, accepted.video, wait).await;
    let mut answer = whole(line, &endpoint, &video).await?;
    answer.extend(accepted.webhook);
    Ok(written(&answer.into()))
}

async fn status(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Path((name, id)): NamedJob,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let line = Line::of(&edge, &caller, &headers)?;
    let endpoint = Endpoint::of(&name);
    let video = line.video_of(&endpoint, &id).await?;
    Ok(written(&whole(line, &endpoint, &video).await?.into()))
}

/// What happens at the moment; of a job that is over, what came of it. Clients come again until there is nothing more.
async fn stream(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Path((name, id)): NamedJob,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let line = Line::of(&edge, &caller, &headers)?;
    let endpoint = Endpoint::of(&name);
    let video = line.video_of(&endpoint, &id).await?;
    let mut answer = whole(line, &endpoint, &video).await?;
    answer.insert("stream".to_owned(), job::stream(&video));
    Ok(written(&answer.into()))
}

async fn cancel(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Path((name, id)): NamedJob,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let line = Line::of(&edge, &caller, &headers)?;
    line.video_of(&Endpoint::of(&name), &id).await?;
    let video = line.cancel(id).await?;
    Ok(written(&job::answer(&video).into()))
}

async fn retry(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Path((name, id)): NamedJob,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let line = Line::of(&edge, &caller, &headers)?;
    let former = line.video_of(&Endpoint::of(&name), &id).await?;
    let video = submit::again(line, &headers, &former).await?;
    let mut answer = job::answer(&video);
    answer.insert("retryOf".to_owned(), json!(former.id));
    Ok(written(&answer.into()))
}

async fn health(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Path(name): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let line = Line::of(&edge, &caller, &headers)?;
    Ok(written(&queue::health(line, &Endpoint::of(&name)).await?))
}

async fn purge_queue(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Path(name): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let line = Line::of(&edge, &caller, &headers)?;
    Ok(written(&queue::purge(line, &Endpoint::of(&name)).await?))
}

/// Everything there is to say of a job, with links to what it left.
async fn whole(
    line: Line<'_>,
    endpoint: &Endpoint,
    video: &Video,
) -> Result<Map<String, Value>, Problem> {
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

fn written(answer: &Value) -> Response {
    transcoded::private(answer.to_string(), "application/json")
}
