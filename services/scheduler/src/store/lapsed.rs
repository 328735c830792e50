//! Attempts that may be lost: their worker is silent, or their time is up.

use kinora_ids::JobId;
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::change::{Change, Outcome};
use super::sql::{FOR_SHARE, Sql};
use super::tables::Jobs;
use super::{JobStore, JobStoreError};
use crate::domain::job::{Job, Time};

/// Some of the attempts that may be lost.
#[derive(Clone, Debug, Default)]
pub struct Lapsed {
    /// In the order of submission.
    pub jobs: Vec<Job>,
    /// What the next look goes on after; none when there are no more.
    pub next: Option<JobId>,
}

impl JobStore {
    /// The first `limit` running jobs after another whose worker was last heard before `silent_since`, or whose time was
    /// up at `now`.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn lapsed(
        &self,
        silent_since: Time,
        now: Time,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Lapsed, JobStoreError> {
        let mut query = Sql::new(
            self.backend(),
            "SELECT * FROM job WHERE state = 'running' AND (deadline < ",
        )
        .bind(now)
        .then(
            " OR NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = job.worker_id AND worker.seen_at >= ",
        )
        .bind(silent_since)
        .then("))");
        if let Some(after) = after {
            query = query.then(" AND id > ").bind(after.as_uuid());
        }
        let query = query.then(" ORDER BY id LIMIT ").bind(i64::from(limit));
        let rows = self.db.reader().query_all_raw(query.build()).await?;
        let is_full = u32::try_from(rows.len()).is_ok_and(|found| found >= limit);
        let last = rows.last().filter(|_| is_full);
        let next = last.map(|row| row.try_get("", "id")).transpose()?;
        Ok(Lapsed {
            jobs: Jobs::parse_readable(&rows)?,
            next: next.map(JobId::from_uuid),
        })
    }

    /// As [`JobStore::change`], unless the worker was heard at or after `since`: then nothing is changed, and none
    /// returned. A heartbeat that comes meanwhile waits for the decision.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn change_unless_heard<E>(
        &self,
        id: JobId,
        worker: &str,
        since: Time,
        rule: impl FnOnce(&mut Job) -> Result<Change, E>,
    ) -> Result<Option<Result<(Job, Outcome), E>>, JobStoreError> {
        let tx = self.begin().await?;
        if is_heard(&tx, worker, since).await? {
            return Ok(None);
        }
        self.change_in(tx, id, None, rule).await
    }
}

/// Whether a worker was heard at or after `since`. Locks its row.
async fn is_heard(
    tx: &DatabaseTransaction,
    worker: &str,
    since: Time,
) -> Result<bool, JobStoreError> {
    let query = Sql::new(
        tx.get_database_backend(),
        "SELECT seen_at FROM worker WHERE id = ",
    )
    .bind(worker)
    .locked(FOR_SHARE);
    let row = tx.query_one_raw(query.build()).await?;
    let seen_at: Option<Time> = row.map(|row| row.try_get("", "seen_at")).transpose()?;
    Ok(seen_at.is_some_and(|seen_at| seen_at >= since))
}
