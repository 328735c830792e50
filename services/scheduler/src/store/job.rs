//! Reading jobs.

use std::collections::BTreeSet;

use kinora_ids::JobId;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

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
        let mut query = of_owner(owner, before, limit);
        if !states.is_empty() {
            let states = states.iter().map(|state| state_to_text(*state));
            query = query.filter(job::Column::State.is_in(states));
        }
        let mut jobs = Vec::new();
        if states.is_empty() || states.iter().any(|state| !state.is_terminal()) {
            jobs = Jobs::Hot.read(self.db.reader(), query).await?;
        }
        if states.is_empty() || states.iter().any(|state| state.is_terminal()) {
            let ended = self.list_ended(owner, states, before, limit).await?;
            // One that ended between the looks is as it is now.
            jobs.retain(|job| ended.iter().all(|other| other.id != job.id));
            jobs.extend(ended);
        }
        jobs.sort_unstable_by_key(|job| std::cmp::Reverse(job.id));
        jobs.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(jobs)
    }

    /// Ended jobs of an owner: a look for each state, so that one that is rare is not looked for in the whole history.
    async fn list_ended(
        &self,
        owner: &str,
        states: &[State],
        before: Option<JobId>,
        limit: u64,
    ) -> Result<Vec<Job>, JobStoreError> {
        let reader = self.db.reader();
        let query = of_owner(owner, before, limit);
        if states.is_empty() {
            return Jobs::Finished.read(reader, query).await;
        }
        let states: BTreeSet<&str> = states
            .iter()
            .filter(|state| state.is_terminal())
            .map(|state| state_to_text(*state))
            .collect();
        let mut jobs = Vec::new();
        for state in states {
            let query = query.clone().filter(job::Column::State.eq(state));
            jobs.extend(Jobs::Finished.read(reader, query).await?);
        }
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

fn of_owner(owner: &str, before: Option<JobId>, limit: u64) -> Select<job::Entity> {
    let mut query = job::Entity::find().filter(job::Column::Owner.eq(owner));
    if let Some(before) = before {
        query = query.filter(job::Column::Id.lt(before.as_uuid()));
    }
    query.order_by_desc(job::Column::Id).limit(limit)
}
