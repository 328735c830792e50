//! Videos and models: one call of the scheduler each.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use kinora_ids::JobId;
use kinora_proto::scheduler::v1::ListRequest;

use super::query::Parameters;
use super::{Caller, Edge, Segment, VideoId, body};
use crate::problem::Problem;
use crate::submission::{self, Rejected};
use crate::view::{Model, ModelList, Video, VideoList};

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

pub(super) async fn submit(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request_id = idempotency_key(&headers)?;
    let body = body::read_json(&edge.uploads, &headers, body).await?;
    // Its place is kept until the scheduler has answered: the pictures are in memory until then.
    let (request, _place) = body.parse(submission::parse).await?;
    let mut request = request.map_err(rejected)?;
    request.request_id = request_id;
    let video = Video::from(edge.scheduler.submit(&caller, request).await?);
    let location = [(LOCATION, format!("/v1/videos/{}", video.id))];
    Ok((StatusCode::CREATED, location, Json(video)).into_response())
}

pub(super) async fn list(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    uri: Uri,
) -> Result<Json<VideoList>, Problem> {
    let mut parameters = Parameters::of(&uri, &["page_size", "page_token"])?;
    let page_size = parameters.number::<i32>("page_size")?.unwrap_or(0);
    if page_size < 0 {
        return Err(Problem::invalid("page_size", "must be 0 or more"));
    }
    let request = ListRequest {
        page_size,
        page_token: parameters.text("page_token"),
        states: Vec::new(),
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

/// `POST /v1/videos/{id}:cancel`. The verb is part of the segment, which the router cannot split.
pub(super) async fn act(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Segment(segment): Segment,
) -> Result<Json<Video>, Problem> {
    let id = match segment.rsplit_once(':') {
        Some((id, "cancel")) => id,
        Some(_) => return Err(Problem::route_not_found()),
        None => return Err(method_not_allowed_on_a_video()),
    };
    let id: JobId = id.parse().map_err(|_| Problem::video_not_found())?;
    let job = edge.scheduler.cancel(&caller, id.to_string()).await?;
    Ok(Json(job.into()))
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

fn idempotency_key(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(String::new());
    };
    let is_legal = |text: &&str| {
        (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let text = value.to_str().ok().filter(is_legal);
    match (text, values.next()) {
        (Some(text), None) => Ok(text.to_owned()),
        _ => Err(Problem::invalid(
            IDEMPOTENCY_KEY,
            "must stand once, as 1 to 128 visible ASCII characters",
        )),
    }
}

fn rejected(rejected: Rejected) -> Problem {
    let violations = match rejected {
        Rejected::NotAnObject(detail) => {
            let detail = format!("the body is not the JSON that was expected: {detail}");
            return Problem::new(StatusCode::BAD_REQUEST, "BODY_INVALID", detail);
        }
        Rejected::Fields(violations) => violations,
    };
    let names: Vec<&str> = violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    let detail = format!("these fields are not valid: {}", names.join(", "));
    let problem = Problem::new(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", detail);
    violations.into_iter().fold(problem, |problem, violation| {
        problem.with_field(&violation.field, violation.detail)
    })
}

fn method_not_allowed_on_a_video() -> Problem {
    Problem::method_not_allowed().with_header(axum::http::header::ALLOW, "GET,HEAD,DELETE")
}
