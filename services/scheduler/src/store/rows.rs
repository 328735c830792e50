//! Rows become domain values here, and domain values rows.

mod details;

use chrono::TimeDelta;
use kinora_ids::JobId;
use sea_orm::JsonValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

use super::JobStoreError;
use super::entity::{job, job_event};
use super::lanes::lane_id;
use crate::domain::hold::Hold;
use crate::domain::job::{Event, GroupRef, Job, Kind, Priority, State, Time};
use details::{Details, EventDetails};

pub use details::model_of;

/// The row of a job as it is at `at`: whether it may be leased is decided here.
pub fn job_to_row(job: &Job, at: Time) -> Result<job::Model, JobStoreError> {
    let model = model_of(job);
    let class = class_to_number(job.priority);
    let unmet = job.needs.iter().filter(|need| !need.is_met).count();
    let work = job.work();
    let pixels = u64::from(work.width) * u64::from(work.height) * u64::from(work.frames);
    Ok(job::Model {
        id: job.id.as_uuid(),
        owner: job.owner.clone(),
        tenant: job.tenant.clone(),
        model: model.to_owned(),
        class,
        lane: lane_id(model, class, &job.owner),
        state: state_to_text(job.state).to_owned(),
        is_ready: job.state == State::Queued && unmet == 0 && job.run_at <= at,
        ready_at: job.run_at.max(at),
        run_at: job.run_at,
        expire_at: job.expire_at,
        purge_at: job.purge_at,
        deadline: job.deadline,
        worker_id: job.worker.clone(),
        last_worker: job.worker.clone(),
        lease: number("job", job.lease)?,
        seq: number("job", job.seq)?,
        attempt: number("job", job.attempt)?,
        failed_attempts: number("job", job.failed_attempts)?,
        group_id: job.group.map(|group| group.id),
        group_index: job
            .group
            .map(|group| number("job", group.index))
            .transpose()?,
        unmet: number("job", unmet)?,
        cost: micros(job.estimated_cost),
        pixels: number("job", pixels)?,
        create_time: job.create_time,
        end_time: job.end_time,
        details: to_text("job", &Details::of(job))?,
        held_credits: job
            .hold
            .map(|hold| number("job", hold.credits))
            .transpose()?,
    })
}

pub fn job_from_row(row: job::Model) -> Result<Job, JobStoreError> {
    let details: Details = from_text("job", &row.details)?;
    let id = JobId::from_uuid(row.id);
    let group = match (row.group_id, row.group_index) {
        (Some(id), Some(index)) => Some(GroupRef {
            id,
            index: number("job", index)?,
        }),
        _ => None,
    };
    let mut job = details.into_job(id, row.owner, row.create_time);
    job.tenant = row.tenant;
    job.priority = class_from_number(row.class)?;
    job.state = state_from_text("job", &row.state)?;
    job.attempt = number("job", row.attempt)?;
    job.failed_attempts = number("job", row.failed_attempts)?;
    job.lease = number("job", row.lease)?;
    job.seq = number("job", row.seq)?;
    job.worker = row.worker_id;
    job.run_at = row.run_at;
    job.expire_at = row.expire_at;
    job.purge_at = row.purge_at;
    job.deadline = row.deadline;
    job.end_time = row.end_time;
    job.group = group;
    job.estimated_cost = duration(row.cost);
    // The column alone tells whether anything is held still.
    let known = job.hold.take().unwrap_or_default();
    job.hold = row.held_credits.map(|credits| Hold {
        credits: count(credits),
        ..known
    });
    Ok(job)
}

pub fn event_to_row(event: &Event) -> Result<job_event::Model, JobStoreError> {
    Ok(job_event::Model {
        job_id: event.job.as_uuid(),
        seq: number("job_event", event.seq)?,
        time: event.time,
        state: state_to_text(event.state).to_owned(),
        attempt: number("job_event", event.attempt)?,
        details: to_text("job_event", &EventDetails::of(event))?,
    })
}

pub fn event_from_row(row: job_event::Model) -> Result<Event, JobStoreError> {
    let details: EventDetails = from_text("job_event", &row.details)?;
    Ok(Event {
        job: JobId::from_uuid(row.job_id),
        seq: number("job_event", row.seq)?,
        time: row.time,
        state: state_from_text("job_event", &row.state)?,
        attempt: number("job_event", row.attempt)?,
        progress: details.progress,
        outputs: details.outputs,
        failure: details.failure,
        preview_outputs: details.preview_outputs,
        group: details.group,
        preview: None,
    })
}

const STATES: [State; 7] = [
    State::AwaitingApproval,
    State::Queued,
    State::Running,
    State::Completed,
    State::Failed,
    State::Cancelled,
    State::Expired,
];

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
    STATES
        .into_iter()
        .find(|state| state_to_text(*state) == text)
        .ok_or_else(|| unreadable(table, "the state is unknown"))
}

/// The classes in their order, by number.
pub const CLASSES: [Priority; 3] = [Priority::Interactive, Priority::Standard, Priority::Batch];

pub const fn class_to_number(priority: Priority) -> i16 {
    match priority {
        Priority::Interactive => 0,
        Priority::Standard => 1,
        Priority::Batch => 2,
    }
}

pub fn class_from_number(number: i16) -> Result<Priority, JobStoreError> {
    CLASSES
        .into_iter()
        .find(|class| class_to_number(*class) == number)
        .ok_or_else(|| unreadable("job", "the class is unknown"))
}

/// Whether a job is one that any worker can do.
pub const fn needs_no_model(kind: Kind) -> bool {
    matches!(kind, Kind::Stitch)
}

/// Microseconds; longer than the type holds does not occur.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// A time plus a duration that options bound.
pub fn after(time: Time, duration: Duration) -> Time {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|delta| time.checked_add_signed(delta))
        .unwrap_or(Time::MAX_UTC)
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

fn to_text<T: Serialize>(table: &'static str, value: &T) -> Result<String, JobStoreError> {
    serde_json::to_string(value).map_err(|error| unreadable(table, error))
}

fn from_text<T: DeserializeOwned>(table: &'static str, text: &str) -> Result<T, JobStoreError> {
    serde_json::from_str(text).map_err(|error| unreadable(table, error))
}

/// Numbers of the domain and of SQL differ in their sign bit alone.
pub fn number<T, U: TryFrom<T>>(table: &'static str, value: T) -> Result<U, JobStoreError> {
    U::try_from(value).map_err(|_| unreadable(table, "a number is out of range"))
}

/// Counts are never negative.
pub fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub fn unreadable(table: &'static str, problem: impl ToString) -> JobStoreError {
    JobStoreError::Row {
        table,
        problem: problem.to_string(),
    }
}
