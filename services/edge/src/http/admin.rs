//! What operators may do. The scheduler says who is one; others get 403, reason `NOT_AN_OPERATOR`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use kinora_ids::JobId;
use kinora_proto::scheduler::v1::{ListDeadLettersRequest, SetTenantRequest};

use super::body::{self, Content};
use super::query::Parameters;
use super::{Caller, Edge, Segment};
use crate::problem::Problem;
use crate::settings;
use crate::view::{
    DeadLetter, DeadLetterList, Queue, QueueList, Tenant, Video, Worker, WorkerList,
};

pub(super) async fn workers(
    State(edge): State<Edge>,
    Caller(caller): Caller,
) -> Result<Json<WorkerList>, Problem> {
    let workers = edge.scheduler.workers(&caller).await?;
    let workers = workers.into_iter().map(Worker::from).collect();
    Ok(Json(WorkerList { workers }))
}

/// `POST /v1/admin/workers/{id}:cordon`, `:uncordon` and `:drain`. A worker's name may have colons of its own.
pub(super) async fn act_on_worker(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Segment(segment): Segment,
) -> Result<Json<Worker>, Problem> {
    let Some((id, verb)) = segment.rsplit_once(':') else {
        return Err(Problem::route_not_found());
    };
    let id = id.to_owned();
    let worker = match verb {
        "cordon" => edge.scheduler.cordon_worker(&caller, id, true).await?,
        "uncordon" => edge.scheduler.cordon_worker(&caller, id, false).await?,
        "drain" => edge.scheduler.drain_worker(&caller, id).await?,
        _ => return Err(Problem::route_not_found()),
    };
    Ok(Json(worker.into()))
}

pub(super) async fn queues(
    State(edge): State<Edge>,
    Caller(caller): Caller,
) -> Result<Json<QueueList>, Problem> {
    let queues = edge.scheduler.queues(&caller).await?;
    let queues = queues.into_iter().map(Queue::from).collect();
    Ok(Json(QueueList { queues }))
}

pub(super) async fn dead_letters(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    uri: Uri,
) -> Result<Json<DeadLetterList>, Problem> {
    let mut parameters = Parameters::of(&uri, &["page_size", "page_token"])?;
    let message = ListDeadLettersRequest {
        page_size: parameters.page_size()?,
        page_token: parameters.text("page_token"),
    };
    let page = edge.scheduler.dead_letters(&caller, message).await?;
    Ok(Json(DeadLetterList {
        dead_letters: page
            .dead_letters
            .into_iter()
            .map(DeadLetter::from)
            .collect(),
        next_page_token: page.next_page_token,
    }))
}

/// `POST /v1/admin/dead-letters/{id}:retry`.
pub(super) async fn retry(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Segment(segment): Segment,
) -> Result<Json<Video>, Problem> {
    let Some((id, "retry")) = segment.rsplit_once(':') else {
        return Err(Problem::route_not_found());
    };
    let id: JobId = id.parse().map_err(|_| Problem::video_not_found())?;
    let job = edge
        .scheduler
        .retry_dead_letter(&caller, id.to_string())
        .await?;
    Ok(Json(job.into()))
}

pub(super) async fn tenant(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Segment(tenant): Segment,
) -> Result<Json<Tenant>, Problem> {
    // Setting nothing tells everything.
    let message = SetTenantRequest {
        tenant,
        ..SetTenantRequest::default()
    };
    Ok(Json(
        edge.scheduler.set_tenant(&caller, message).await?.into(),
    ))
}

pub(super) async fn change_tenant(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Segment(tenant): Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Tenant>, Problem> {
    let parser = settings::parse_tenant;
    let parsed =
        body::read_json(edge.intake(&caller), &headers, body, Content::Text, parser).await?;
    let mut message = parsed.message;
    message.tenant = tenant;
    Ok(Json(
        edge.scheduler.set_tenant(&caller, message).await?.into(),
    ))
}
