//! Batches and sequences. Both are groups to the scheduler; the path says which kind it shows.

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::header::LOCATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use kinora_ids::JobId;
use kinora_proto::scheduler::v1 as proto;
use kinora_proto::scheduler::v1::GroupKind;

use super::body::{self, Content};
use super::headers::{allows_duplicate, idempotency_key};
use super::{Caller, Edge, Segment, split_verb};
use crate::auth::Bearer;
use crate::problem::Problem;
use crate::submission;
use crate::view::Group;

pub(super) async fn submit_batch(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (request_id, duplicates) = (idempotency_key(&headers)?, allows_duplicate(&headers)?);
    let parser = submission::parse_batch;
    let mut parsed = body::read_json(
        edge.intake(&caller),
        &headers,
        body,
        Content::Pictures,
        parser,
    )
    .await?;
    let mut message = std::mem::take(&mut parsed.message);
    message.request_id = request_id;
    for submission in &mut message.submissions {
        submission.allow_duplicate |= duplicates;
    }
    Ok(created(
        edge.scheduler.submit_batch(&caller, message).await?,
    ))
}

pub(super) async fn submit_sequence(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let parser = submission::parse_sequence;
    let parsed = body::read_json(
        edge.intake(&caller),
        &headers,
        body,
        Content::Pictures,
        parser,
    )
    .await?;
    edge.begin_sequence(&caller, &headers, parsed, None).await
}

/// `POST /v1/videos/{id}:extend`.
pub(super) async fn extend(
    edge: &Edge,
    caller: &Bearer,
    source: JobId,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let parser = submission::parse_extension;
    let parsed = body::read_optional_json(
        edge.intake(caller),
        headers,
        body,
        Content::Pictures,
        parser,
    )
    .await?;
    edge.begin_sequence(caller, headers, parsed, Some(source))
        .await
}

pub(super) async fn read(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    path: GroupPath,
) -> Result<Json<Group>, Problem> {
    let group = edge.group(&caller, path.kind, &path.segment).await?;
    Ok(Json(group.into()))
}

/// `POST /v1/batches/{id}:cancel`.
pub(super) async fn act(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    path: GroupPath,
) -> Result<Json<Group>, Problem> {
    let (id, verb) = split_verb(&path.segment, "GET,HEAD")?;
    if verb != "cancel" {
        return Err(Problem::route_not_found());
    }
    // A batch is not cancelled by the path of a sequence.
    let group = edge.group(&caller, path.kind, id).await?;
    let group = edge.scheduler.cancel_group(&caller, group.id).await?;
    Ok(Json(group.into()))
}

impl Edge {
    /// Reads a group of this kind. What cannot be an id is answered as an unknown one.
    pub(super) async fn group(
        &self,
        caller: &Bearer,
        kind: GroupKind,
        id: &str,
    ) -> Result<proto::Group, Problem> {
        let id: JobId = id.parse().map_err(|_| not_found(kind))?;
        let group = self.scheduler.group(caller, id.to_string()).await?;
        if group.kind() == kind {
            Ok(group)
        } else {
            Err(not_found(kind))
        }
    }

    async fn begin_sequence(
        &self,
        caller: &Bearer,
        headers: &HeaderMap,
        mut parsed: body::Parsed<proto::SubmitSequenceRequest>,
        source: Option<JobId>,
    ) -> Result<Response, Problem> {
        let mut message = std::mem::take(&mut parsed.message);
        message.request_id = idempotency_key(headers)?;
        if let Some(source) = source {
            message.source_id = source.to_string();
        }
        let segment = message.segment.get_or_insert_default();
        segment.allow_duplicate |= allows_duplicate(headers)?;
        Ok(created(
            self.scheduler.submit_sequence(caller, message).await?,
        ))
    }
}

fn created(group: proto::Group) -> Response {
    let folder = folder_of(group.kind());
    let group = Group::from(group);
    let location = [(LOCATION, format!("/v1/{folder}/{}", group.id))];
    (StatusCode::CREATED, location, Json(group)).into_response()
}

const fn folder_of(kind: GroupKind) -> &'static str {
    match kind {
        GroupKind::Unspecified | GroupKind::Batch => "batches",
        GroupKind::Sequence => "sequences",
    }
}

fn not_found(kind: GroupKind) -> Problem {
    let what = match kind {
        GroupKind::Unspecified | GroupKind::Batch => "batch",
        GroupKind::Sequence => "sequence",
    };
    Problem::not_found("GROUP_NOT_FOUND", what)
}

/// The kind of group that a path is about, and its last segment.
pub(super) struct GroupPath {
    pub(super) kind: GroupKind,
    pub(super) segment: String,
}

impl FromRequestParts<Edge> for GroupPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        let is_batch = parts.uri.path().starts_with("/v1/batches/");
        let Segment(segment) = Segment::from_request_parts(parts, edge).await?;
        let kind = if is_batch {
            GroupKind::Batch
        } else {
            GroupKind::Sequence
        };
        Ok(Self { kind, segment })
    }
}
