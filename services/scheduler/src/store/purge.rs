//! Forgetting jobs, and looking for what is due.

use std::collections::BTreeSet;

use kinora_ids::{JobId, job_object_prefix};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::job;
use super::removal::schedule_removal;
use super::rows::state_to_text;
use super::sql::{FOR_UPDATE, SKIP_LOCKED, Sql};
use super::tables::Jobs;
use super::{JobStore, JobStoreError, Removal};
use crate::domain::job::{Job, State, Time};

impl JobStore {
    /// Jobs whose start or approval is overdue at `now`, the most overdue first.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn expired(&self, now: Time, limit: u64) -> Result<Vec<Job>, JobStoreError> {
        let waiting = [State::Queued, State::AwaitingApproval].map(state_to_text);
        let query = job::Entity::find()
            .filter(job::Column::ExpireAt.is_not_null())
            .filter(job::Column::ExpireAt.lte(now))
            .filter(job::Column::State.is_in(waiting))
            .order_by_asc(job::Column::ExpireAt)
            .limit(limit);
        Jobs::Hot.read_readable(self.db.reader(), query).await
    }

    /// Forgets up to `limit` ended jobs whose time is over, and schedules the removal of their objects. Those that a
    /// waiting job still needs stay. Returns their ids; none when nothing is due.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn purge_due(&self, now: Time, limit: u64) -> Result<Vec<JobId>, JobStoreError> {
        let tx = self.begin().await?;
        let due = Sql::new(
            self.backend(),
            "SELECT id, group_id FROM finished_job AS job WHERE purge_at IS NOT NULL AND purge_at <= ",
        )
        .bind(now)
        .then(" AND NOT EXISTS (SELECT 1 FROM job_need WHERE needed = job.id) ORDER BY purge_at LIMIT ")
        .bind(limit.cast_signed())
        .locked(SKIP_LOCKED);
        // Not the whole job: what cannot be read any more can be forgotten all the same.
        let jobs = Gone::find_by_statement(due.build()).all(&tx).await?;
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let ids = jobs.iter().map(|job| job.id);
        Jobs::Finished.delete(&tx, ids.clone()).await?;
        forget(&tx, &jobs).await?;
        let ids: Vec<JobId> = ids.map(JobId::from_uuid).collect();
        let removal = |id: &JobId| Removal {
            prefix: job_object_prefix(*id),
            not_before: now,
        };
        schedule_removal(&tx, &ids.iter().map(removal).collect::<Vec<_>>()).await?;
        tx.commit().await?;
        Ok(ids)
    }

    /// Forgets request keys that have expired. Returns how many.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn forget_requests(&self, now: Time) -> Result<u64, JobStoreError> {
        let delete = Sql::new(
            self.backend(),
            "DELETE FROM request_key WHERE expires_at IS NOT NULL AND expires_at <= ",
        )
        .bind(now);
        let deleted = self.db.writer().execute_raw(delete.build()).await?;
        Ok(deleted.rows_affected())
    }

    /// Jobs that failed after their last attempt, newest first, from those older than `before`.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn dead_letters(
        &self,
        before: Option<JobId>,
        limit: u64,
    ) -> Result<Vec<Job>, JobStoreError> {
        let text = "SELECT * FROM finished_job WHERE state = 'failed' AND attempt > 0";
        let mut query = Sql::new(self.backend(), text);
        if let Some(before) = before {
            query = query.then(" AND id < ").bind(before.as_uuid());
        }
        let query = query
            .then(" ORDER BY id DESC LIMIT ")
            .bind(limit.cast_signed());
        Jobs::parse(&self.db.reader().query_all_raw(query.build()).await?)
    }
}

/// A job whose row is gone.
#[derive(Clone, Copy, Debug, FromQueryResult)]
pub struct Gone {
    pub id: Uuid,
    pub group_id: Option<Uuid>,
}

impl Gone {
    pub fn of(job: &Job) -> Self {
        Self {
            id: job.id.as_uuid(),
            group_id: job.group.map(|group| group.id),
        }
    }
}

/// Removes what belongs to jobs whose rows are gone.
pub async fn forget(tx: &DatabaseTransaction, jobs: &[Gone]) -> Result<(), JobStoreError> {
    let backend = tx.get_database_backend();
    for (table, condition) in [
        ("job_event", "job_id"),
        ("attempt", "job_id"),
        ("job_need", "needed"),
        ("job_need", "waiting"),
        ("request_key", "group_id IS NULL AND job_id"),
    ] {
        let delete = Sql::new(backend, &format!("DELETE FROM {table} WHERE {condition}"))
            .any_id(jobs.iter().map(|job| job.id));
        tx.execute_raw(delete.build()).await?;
    }
    let groups: BTreeSet<Uuid> = jobs.iter().filter_map(|job| job.group_id).collect();
    if groups.is_empty() {
        return Ok(());
    }
    forget_groups(tx, groups).await
}

/// The last job of a group takes it along.
async fn forget_groups(
    tx: &DatabaseTransaction,
    groups: BTreeSet<Uuid>,
) -> Result<(), JobStoreError> {
    let backend = tx.get_database_backend();
    // Two who delete the last two jobs do not see each other: the later one is to wait for the earlier, and look then.
    let lock = Sql::new(backend, "SELECT id FROM job_group WHERE id")
        .any_id(groups.iter().copied())
        .then(" ORDER BY id")
        .locked(FOR_UPDATE);
    tx.query_all_raw(lock.build()).await?;
    let is_empty = " AND NOT EXISTS (SELECT 1 FROM job WHERE job.group_id = job_group.id) \
                    AND NOT EXISTS (SELECT 1 FROM finished_job WHERE finished_job.group_id = job_group.id)";
    let delete = Sql::new(backend, "DELETE FROM job_group WHERE id")
        .any_id(groups.iter().copied())
        .then(is_empty);
    tx.execute_raw(delete.build()).await?;
    let keys = Sql::new(backend, "DELETE FROM request_key WHERE group_id")
        .any_id(groups)
        .then(
            " AND NOT EXISTS (SELECT 1 FROM job_group WHERE job_group.id = request_key.group_id)",
        );
    tx.execute_raw(keys.build()).await?;
    Ok(())
}
