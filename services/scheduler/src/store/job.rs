//! Reading jobs.

use kinora_ids::JobId;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::{job, job_event};
use super::rows::{event_from_row, number, state_to_text};
use super::tables::{Jobs, by_id};
use super::{JobStore, JobStoreError};
use crate::domain::job::{Event, Job, State};

impl JobStore {
    /// Reads a job of `owner`.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn get(&self, owner: &str, id: JobId) -> Result<Option<Job>, JobStoreError> {
        let job = self.find(id).await?;
        Ok(job.filter(|job| job.owner == owner))
    }

    /// Reads a job of whomever.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn find(&self, id: JobId) -> Result<Option<Job>, JobStoreError> {
        // In this order: a job that ends between the looks is found by the second.
        for jobs in [Jobs::Hot, Jobs::Finished] {
            let mut found = jobs.read(self.db.reader(), by_id(id)).await?;
            if let Some(job) = found.pop() {
                return Ok(Some(job));
            }
        }
        Ok(None)
    }

    /// Lists up to `limit` jobs of `owner`, newest first, from those older than `before`, in these states alone unless
    /// none is named.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn list(
        &self,
        owner: &str,
        states: &[State],
        before: Option<JobId>,
        limit: u64,
    ) -> Result<Vec<Job>, JobStoreError> {
        let mut query = job::Entity::find().filter(job::Column::Owner.eq(owner));
        if let Some(before) = before {
            query = query.filter(job::Column::Id.lt(before.as_uuid()));
        }
        if !states.is_empty() {
            let states = states.iter().map(|state| state_to_text(*state));
            query = query.filter(job::Column::State.is_in(states));
        }
        let query = query.order_by_desc(job::Column::Id).limit(limit);
        let mut jobs = Vec::new();
        if states.is_empty() || states.iter().any(|state| !state.is_terminal()) {
            jobs = Jobs::Hot.read(self.db.reader(), query.clone()).await?;
        }
        if states.is_empty() || states.iter().any(|state| state.is_terminal()) {
            let ended = Jobs::Finished.read(self.db.reader(), query).await?;
            // One that ended between the looks is as it is now.
            jobs.retain(|job| ended.iter().all(|other| other.id != job.id));
            jobs.extend(ended);
        }
        jobs.sort_unstable_by_key(|job| std::cmp::Reverse(job.id));
        jobs.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(jobs)
    }

    /// Reads a job's durable events after `after_seq`, oldest first.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn events_after(
        &self,
        id: JobId,
        after_seq: u64,
    ) -> Result<Vec<Event>, JobStoreError> {
        let after: i64 = number("job_event", after_seq.min(i64::MAX.unsigned_abs()))?;
        let rows = job_event::Entity::find()
            .filter(job_event::Column::JobId.eq(id.as_uuid()))
            .filter(job_event::Column::Seq.gt(after))
            .order_by_asc(job_event::Column::Seq)
            .all(self.db.reader())
            .await?;
        rows.into_iter().map(event_from_row).collect()
    }
}
