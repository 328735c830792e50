//! The history of attempts: a row when one ends.

use std::time::Duration;

use kinora_ids::JobId;
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
};

use super::entity::attempt;
use super::rows::{duration, micros, number};
use super::{JobStore, JobStoreError};
use crate::domain::job::{Job, State, Time};

/// One worker's try at a job, over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub attempt: u32,
    /// Its fencing number.
    pub lease: u64,
    /// Who tried.
    pub worker: String,
    /// When it was leased.
    pub start_time: Time,
    /// When it was over.
    pub end_time: Time,
    /// COMPLETED, CANCELLED, or the failure's reason.
    pub outcome: String,
    /// For people; empty when nothing failed.
    pub message: String,
    /// Denoising steps that it began with.
    pub first_step: u32,
    /// Denoising steps at its end.
    pub last_step: u32,
    /// Time that it had a device.
    pub device_time: Duration,
}

impl JobStore {
    /// The attempts of a job that are over, oldest first.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn attempts(&self, id: JobId) -> Result<Vec<Attempt>, JobStoreError> {
        let rows = attempt::Entity::find()
            .filter(attempt::Column::JobId.eq(id.as_uuid()))
            .order_by_asc(attempt::Column::Lease)
            .all(self.db.reader())
            .await?;
        rows.into_iter().map(from_row).collect()
    }
}

/// Whether an attempt is over.
pub fn has_ended(before: &Job, after: &Job) -> bool {
    before.state == State::Running && (after.state != State::Running || after.lease != before.lease)
}

/// Writes the attempt that `before` was in the middle of and `after` is not.
pub async fn record_attempt(
    tx: &DatabaseTransaction,
    before: &Job,
    after: &Job,
    end_time: Time,
) -> Result<(), JobStoreError> {
    let (outcome, message) = match (after.state, &after.failure) {
        (State::Completed | State::AwaitingApproval, _) => ("COMPLETED", ""),
        (State::Cancelled, _) => ("CANCELLED", ""),
        (_, Some(failure)) => (failure.reason.as_str(), failure.message.as_str()),
        (_, None) => ("ENDED", ""),
    };
    let first_step = before.checkpoint.as_ref().map_or(0, |checkpoint| {
        if checkpoint.lease == before.lease {
            checkpoint.granted_step
        } else {
            checkpoint.step
        }
    });
    let last_step = if matches!(after.state, State::Completed | State::AwaitingApproval) {
        before.progress.steps
    } else {
        before.progress.step.max(first_step)
    };
    let device_time = after.device_time.saturating_sub(before.device_time);
    let row = attempt::Model {
        job_id: before.id.as_uuid(),
        lease: number("attempt", before.lease)?,
        attempt: number("attempt", before.attempt)?,
        worker_id: before.worker.clone().unwrap_or_default(),
        start_time: before.start_time.unwrap_or(end_time),
        end_time,
        outcome: outcome.chars().take(64).collect(),
        message: message.to_owned(),
        first_step: number("attempt", first_step)?,
        last_step: number("attempt", last_step)?,
        device_time: micros(device_time),
    };
    attempt::Entity::insert(row.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

fn from_row(row: attempt::Model) -> Result<Attempt, JobStoreError> {
    Ok(Attempt {
        attempt: number("attempt", row.attempt)?,
        lease: number("attempt", row.lease)?,
        worker: row.worker_id,
        start_time: row.start_time,
        end_time: row.end_time,
        outcome: row.outcome,
        message: row.message,
        first_step: number("attempt", row.first_step)?,
        last_step: number("attempt", row.last_step)?,
        device_time: duration(row.device_time),
    })
}
