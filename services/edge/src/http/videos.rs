//! Videos and models: one call of the scheduler each.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use kinora_ids::JobId;
use kinora_proto::scheduler::v1::{JobState, ListRequest, SubmitRequest};

use super::body::{self, Content, Parsed};
use super::headers::{allows_duplicate, idempotency_key};
use super::query::Parameters;
use super::{Caller, Edge, Segment, VideoId, groups, split_verb};
use crate::auth::Bearer;
use crate::problem::Problem;
use crate::submission;
use crate::view::{Estimate, Model, ModelList, Video, VideoList};

/// The states by their names.
const STATES: [(&str, JobState); 7] = [
    ("awaiting_approval", JobState::AwaitingApproval),
    ("queued", JobState::Queued),
    ("running", JobState::Running),
    ("completed", JobState::Completed),
    ("failed", JobState::Failed),
    ("cancelled", JobState::Cancelled),
    ("expired", JobState::Expired),
];

pub(super) async fn submit(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let parser = submission::parse;
    let parsed = body::read_json(
        edge.intake(&caller),
        &headers,
        body,
        Content::Pictures,
        parser,
    )
    .await?;
    edge.submit(&caller, &headers, parsed).await
}

/// `POST /v1/videos:estimate`: what a submission would take. Nothing is stored.
pub(super) async fn estimate(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Estimate>, Problem> {
    let parser = submission::parse;
    let mut parsed = body::read_json(
        edge.intake(&caller),
        &headers,
        body,
        Content::Pictures,
        parser,
    )
    .await?;
    let submission = std::mem::take(&mut parsed.message);
    Ok(Json(
        edge.scheduler.estimate(&caller, submission).await?.into(),
    ))
}

/// `POST /v1/videos/{id}:remix`.
async fn remix(
    edge: &Edge,
    caller: &Bearer,
    source: JobId,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let parser = submission::parse_remix;
    let mut parsed = body::read_optional_json(
        edge.intake(caller),
        headers,
        body,
        Content::Pictures,
        parser,
    )
    .await?;
    parsed.message.remix_of = source.to_string();
    edge.submit(caller, headers, parsed).await
}

impl Edge {
    /// Submits a request; its pictures keep their place among the uploads until the scheduler has answered.
    async fn submit(
        &self,
        caller: &Bearer,
        headers: &HeaderMap,
        mut parsed: Parsed<SubmitRequest>,
    ) -> Result<Response, Problem> {
        let mut request = std::mem::take(&mut parsed.message);
        request.request_id = idempotency_key(headers)?;
        request.allow_duplicate |= allows_duplicate(headers)?;
        let video = Video::from(self.scheduler.submit(caller, request).await?);
        let location = [(LOCATION, format!("/v1/videos/{}", video.id))];
        Ok((StatusCode::CREATED, location, Json(video)).into_response())
    }
}

pub(super) async fn list(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    uri: Uri,
) -> Result<Json<VideoList>, Problem> {
    let mut parameters = Parameters::of(&uri, &["page_size", "page_token", "state"])?;
    let states = parameters.choices("state", &STATES)?;
    let request = ListRequest {
        page_size: parameters.page_size()?,
        page_token: parameters.text("page_token"),
        states: states.into_iter().map(i32::from).collect(),
    };
    let page = edge.scheduler.list(&caller, request).await?;
    let videos = page.jobs.into_iter().map(Video::from).collect();
    Ok(Json(VideoList {
        videos,
        next_page_token: page.next_page_token,
    }))
}

pub(super) async fn read(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
) -> Result<Json<Video>, Problem> {
    let job = edge.scheduler.get(&caller, id.to_string()).await?;
    Ok(Json(job.into()))
}

/// `POST /v1/videos/{id}:cancel` and so on. The verb is part of the segment, which the router cannot split.
pub(super) async fn act(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Segment(segment): Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (id, verb) = split_verb(&segment, "GET,HEAD,DELETE")?;
    let id = id.parse::<JobId>().map_err(|_| Problem::video_not_found());
    let job = match verb {
        "cancel" => edge.scheduler.cancel(&caller, id?.to_string()).await?,
        "approve" => edge.scheduler.approve(&caller, id?.to_string()).await?,
        "remix" => return remix(&edge, &caller, id?, &headers, body).await,
        "extend" => return groups::extend(&edge, &caller, id?, &headers, body).await,
        _ => return Err(Problem::route_not_found()),
    };
    Ok(Json(Video::from(job)).into_response())
}

pub(super) async fn delete(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
) -> Result<StatusCode, Problem> {
    edge.scheduler.delete(&caller, id.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn models(
    State(edge): State<Edge>,
    Caller(caller): Caller,
) -> Result<Json<ModelList>, Problem> {
    let models = edge.scheduler.models(&caller).await?;
    let models = models.into_iter().map(Model::from).collect();
    Ok(Json(ModelList { models }))
}
