//! The calls of RunPod's serverless endpoints, for programs that were written for them.
//!
//! An endpoint is a model. A job is a video, with another set of states ([`job`]); `input` is what the model's service
//! takes there ([`input`]), and `output` what it answers ([`output`]). `docs/runpod.md` tells the differences. Nothing is
//! kept here between calls.

mod asked;
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
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use self::asked::Asked;
use super::{Edge, transcoded};
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

async fn run(asked: Asked, request: Request) -> Result<Response, Problem> {
    let accepted = submit::accept(asked.line(), &asked.endpoint, request, submit::RUN_BYTES);
    let accepted = accepted.await?;
    let mut answer = job::answer(&accepted.video);
    answer.extend(accepted.webhook);
    Ok(written(answer))
}

async fn run_sync(asked: Asked, request: Request) -> Result<Response, Problem> {
    let wait = wait::wanted(request.uri())?;
    let line = asked.line();
    let accepted = submit::accept(line, &asked.endpoint, request, submit::RUN_SYNC_BYTES).await?;
    let video = wait::until_over(line, accepted.video, wait).await;
    let mut answer = asked.whole(&video).await?;
    answer.extend(accepted.webhook);
    Ok(written(answer))
}

async fn status(asked: Asked) -> Result<Response, Problem> {
    let video = asked.job().await?;
    Ok(written(asked.whole(&video).await?))
}

/// What happens at the moment; of a job that is over, what came of it. Clients come again until there is nothing more.
async fn stream(asked: Asked) -> Result<Response, Problem> {
    let video = asked.job().await?;
    let mut answer = asked.whole(&video).await?;
    answer.insert("stream".to_owned(), job::stream(&video));
    Ok(written(answer))
}

async fn cancel(asked: Asked) -> Result<Response, Problem> {
    let video = asked.job().await?;
    let video = asked.line().cancel(video.id).await?;
    Ok(written(job::answer(&video)))
}

async fn retry(asked: Asked, headers: HeaderMap) -> Result<Response, Problem> {
    let former = asked.job().await?;
    let video = submit::again(asked.line(), &headers, &former).await?;
    let mut answer = job::answer(&video);
    answer.insert("retryOf".to_owned(), json!(former.id));
    Ok(written(answer))
}

async fn health(asked: Asked) -> Result<Response, Problem> {
    Ok(written(queue::health(asked.line(), &asked.endpoint).await?))
}

async fn purge_queue(asked: Asked) -> Result<Response, Problem> {
    Ok(written(queue::purge(asked.line(), &asked.endpoint).await?))
}

fn written(answer: impl Into<Value>) -> Response {
    transcoded::private(answer.into().to_string(), "application/json")
}
