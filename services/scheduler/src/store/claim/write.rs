//! Writing leased jobs, all in one statement: of arrays where the engine has them, so that its text is always the same.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend};
use uuid::Uuid;

use crate::domain::job::{Event, Job, Time};
use crate::store::JobStoreError;
use crate::store::entity::job;
use crate::store::rows::{after, job_to_row};
use crate::store::sql::Sql;

/// A job that has just been leased.
pub struct Leased {
    pub job: Job,
    pub event: Event,
    /// Its number before.
    pub guard: i64,
}

/// What cannot be read is offered again after this long: another version may have been started by then.
const PUT_OFF: Duration = Duration::from_secs(60);

/// Keeps jobs that cannot be read out of the way of those that can.
pub async fn put_off(
    tx: &DatabaseTransaction,
    jobs: Vec<Uuid>,
    now: Time,
) -> Result<(), JobStoreError> {
    if jobs.is_empty() {
        return Ok(());
    }
    let update = Sql::new(
        tx.get_database_backend(),
        "UPDATE job SET is_ready = FALSE, run_at = ",
    )
    .bind(after(now, PUT_OFF))
    .then(" WHERE id")
    .any_id(jobs);
    tx.execute_raw(update.build()).await?;
    Ok(())
}

pub async fn write_leased(
    tx: &DatabaseTransaction,
    leased: &[Leased],
) -> Result<(), JobStoreError> {
    if leased.is_empty() {
        return Ok(());
    }
    let mut rows = Vec::with_capacity(leased.len());
    for it in leased {
        rows.push((job_to_row(&it.job, it.event.time)?, it.guard));
    }
    if tx.get_database_backend() == DbBackend::Postgres {
        return write_at_once(tx, rows).await;
    }
    write_as_values(tx, rows).await
}

async fn write_as_values(
    tx: &DatabaseTransaction,
    rows: Vec<(job::Model, i64)>,
) -> Result<(), JobStoreError> {
    let written = rows.len();
    let mut update = Sql::new(
        tx.get_database_backend(),
        "UPDATE job SET is_ready = FALSE, state = 'running', worker_id = new.column3, last_worker = new.column3, \
         lease = new.column4, seq = new.column5, attempt = new.column6, deadline = new.column7, expire_at = NULL, \
         details = new.column8 FROM (VALUES ",
    );
    for (position, (row, guard)) in rows.into_iter().enumerate() {
        update = update
            .then(if position > 0 { ", (" } else { "(" })
            .bind(row.id)
            .then(", ")
            .bind(guard)
            .then(", ")
            .bind(row.worker_id)
            .then(", ")
            .bind(row.lease)
            .then(", ")
            .bind(row.seq)
            .then(", ")
            .bind(row.attempt)
            .then(", ")
            .bind(row.deadline)
            .then(", ")
            .bind(row.details)
            .then(")");
    }
    let update = update.then(") AS new WHERE job.id = new.column1 AND job.seq = new.column2");
    let updated = tx.execute_raw(update.build()).await?.rows_affected();
    expect(updated, u64::try_from(written).unwrap_or(u64::MAX))
}

async fn write_at_once(
    tx: &DatabaseTransaction,
    rows: Vec<(job::Model, i64)>,
) -> Result<(), JobStoreError> {
    let written = rows.len();
    let first = |column: fn(&job::Model) -> i64| -> Vec<i64> {
        rows.iter().map(|(row, _)| column(row)).collect()
    };
    let text = |column: fn(&job::Model) -> String| -> Vec<String> {
        rows.iter().map(|(row, _)| column(row)).collect()
    };
    let update = Sql::new(
        DbBackend::Postgres,
        "UPDATE job SET is_ready = FALSE, state = 'running', worker_id = new.worker, last_worker = new.worker, \
         lease = new.lease, seq = new.seq, attempt = new.attempt, deadline = NULLIF(new.deadline, '')::timestamptz, \
         expire_at = NULL, details = new.details FROM unnest(",
    )
    .bind(rows.iter().map(|(row, _)| row.id).collect::<Vec<_>>())
    .then("::uuid[], ")
    .bind(rows.iter().map(|(_, guard)| *guard).collect::<Vec<_>>())
    .then("::bigint[], ")
    .bind(text(|row| row.worker_id.clone().unwrap_or_default()))
    .then("::text[], ")
    .bind(first(|row| row.lease))
    .then("::bigint[], ")
    .bind(first(|row| row.seq))
    .then("::bigint[], ")
    .bind(first(|row| row.attempt.into()))
    .then("::bigint[], ")
    // An empty text is none: the driver's arrays hold no nulls.
    .bind(text(|row| row.deadline.map(|time| time.to_rfc3339()).unwrap_or_default()))
    .then("::text[], ")
    .bind(text(|row| row.details.clone()))
    .then(
        "::text[]) AS new(id, guard, worker, lease, seq, attempt, deadline, details) \
         WHERE job.id = new.id AND job.seq = new.guard",
    );
    let updated = tx.execute_raw(update.build()).await?.rows_affected();
    expect(updated, u64::try_from(written).unwrap_or(u64::MAX))
}

/// The rows are locked, so that this can only fail where a lock is missing.
const fn expect(written: u64, expected: u64) -> Result<(), JobStoreError> {
    if written == expected {
        Ok(())
    } else {
        Err(JobStoreError::LostUpdate)
    }
}
