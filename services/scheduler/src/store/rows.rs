//! Rows become domain values here, and domain values rows.

use kinora_ids::JobId;
use sea_orm::JsonValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::JobStoreError;
use super::entity::{job, job_event};
use crate::domain::job::{Event, Job, State};

pub fn job_to_row(job: &Job) -> Result<job::Model, JobStoreError> {
    Ok(job::Model {
        id: job.id.as_uuid(),
        owner: job.owner.clone(),
        state: state_to_text(job.state).to_owned(),
        model: job.spec.model.clone(),
        spec: to_json("job", &job.spec)?,
        progress: to_json("job", &job.progress)?,
        notes: to_json("job", &job.notes)?,
        outputs: to_optional_json("job", job.outputs.as_ref())?,
        failure: to_optional_json("job", job.failure.as_ref())?,
        checkpoint: to_optional_json("job", job.checkpoint.as_ref())?,
        traceparent: job.traceparent.clone(),
        attempt: number("job", job.attempt)?,
        failed_attempts: number("job", job.failed_attempts)?,
        lease: number("job", job.lease)?,
        seq: number("job", job.seq)?,
        worker_id: job.worker.clone(),
        run_at: job.run_at,
        deadline: job.deadline,
        create_time: job.create_time,
        start_time: job.start_time,
        end_time: job.end_time,
    })
}

pub fn job_from_row(row: job::Model) -> Result<Job, JobStoreError> {
    let spec = from_json("job", row.spec)?;
    let new = Job::queued(JobId::from_uuid(row.id), row.owner, spec, row.create_time);
    Ok(Job {
        state: state_from_text("job", &row.state)?,
        progress: from_json("job", row.progress)?,
        attempt: number("job", row.attempt)?,
        failed_attempts: number("job", row.failed_attempts)?,
        lease: number("job", row.lease)?,
        seq: number("job", row.seq)?,
        worker: row.worker_id,
        run_at: row.run_at,
        deadline: row.deadline,
        create_time: row.create_time,
        start_time: row.start_time,
        end_time: row.end_time,
        outputs: from_optional_json("job", row.outputs)?,
        failure: from_optional_json("job", row.failure)?,
        checkpoint: from_optional_json("job", row.checkpoint)?,
        notes: from_json("job", row.notes)?,
        traceparent: row.traceparent,
        ..new
    })
}

pub fn event_to_row(event: &Event) -> Result<job_event::Model, JobStoreError> {
    Ok(job_event::Model {
        job_id: event.job.as_uuid(),
        seq: number("job_event", event.seq)?,
        time: event.time,
        state: state_to_text(event.state).to_owned(),
        attempt: number("job_event", event.attempt)?,
        progress: to_json("job_event", &event.progress)?,
        outputs: to_optional_json("job_event", event.outputs.as_ref())?,
        failure: to_optional_json("job_event", event.failure.as_ref())?,
    })
}

pub fn event_from_row(row: job_event::Model) -> Result<Event, JobStoreError> {
    Ok(Event {
        job: JobId::from_uuid(row.job_id),
        seq: number("job_event", row.seq)?,
        time: row.time,
        state: state_from_text("job_event", &row.state)?,
        attempt: number("job_event", row.attempt)?,
        progress: from_json("job_event", row.progress)?,
        outputs: from_optional_json("job_event", row.outputs)?,
        failure: from_optional_json("job_event", row.failure)?,
        preview_outputs: None,
        group: None,
        preview: None,
    })
}

pub const fn state_to_text(state: State) -> &'static str {
    match state {
        State::AwaitingApproval => "awaiting_approval",
        State::Queued => "queued",
        State::Running => "running",
        State::Completed => "completed",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
        State::Expired => "expired",
    }
}

fn state_from_text(table: &'static str, text: &str) -> Result<State, JobStoreError> {
    let all = [
        State::AwaitingApproval,
        State::Queued,
        State::Running,
        State::Completed,
        State::Failed,
        State::Cancelled,
        State::Expired,
    ];
    all.into_iter()
        .find(|state| state_to_text(*state) == text)
        .ok_or_else(|| unreadable(table, "the state is unknown"))
}

pub fn to_json<T: Serialize>(table: &'static str, value: &T) -> Result<JsonValue, JobStoreError> {
    serde_json::to_value(value).map_err(|error| unreadable(table, error))
}

pub fn from_json<T: DeserializeOwned>(
    table: &'static str,
    json: JsonValue,
) -> Result<T, JobStoreError> {
    serde_json::from_value(json).map_err(|error| unreadable(table, error))
}

/// Numbers of the domain and of SQL differ in their sign bit alone.
pub fn number<T, U: TryFrom<T>>(table: &'static str, value: T) -> Result<U, JobStoreError> {
    U::try_from(value).map_err(|_| unreadable(table, "a number is out of range"))
}

fn to_optional_json<T: Serialize>(
    table: &'static str,
    value: Option<&T>,
) -> Result<Option<JsonValue>, JobStoreError> {
    value.map(|value| to_json(table, value)).transpose()
}

fn from_optional_json<T: DeserializeOwned>(
    table: &'static str,
    json: Option<JsonValue>,
) -> Result<Option<T>, JobStoreError> {
    json.map(|json| from_json(table, json)).transpose()
}

fn unreadable(table: &'static str, problem: impl ToString) -> JobStoreError {
    JobStoreError::Row {
        table,
        problem: problem.to_string(),
    }
}
