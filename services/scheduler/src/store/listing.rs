//! Lists of an owner's jobs.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use kinora_ids::JobId;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use super::entity::job;
use super::months::first_id_at;
use super::rows::state_to_text;
use super::tables::Jobs;
use super::{JobStore, JobStoreError};
use crate::domain::job::{Job, State, Time};
use crate::domain::listing::{Filter, Order};

/// An id has the time of the replica that made it, and the job that of the database: their clocks are less apart.
const CLOCKS_APART: TimeDelta = TimeDelta::days(1);

/// A part of a list.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    /// What is to be shown.
    pub filter: &'a Filter,
    /// In which order.
    pub order: Order,
    /// The job after which it begins, whether it is there still or not. None for the beginning.
    pub after: Option<JobId>,
    /// Jobs at most.
    pub limit: u64,
}

impl JobStore {
    /// Reads a part of the list of `owner`'s jobs: those of the filter's states, made at about its times. Whether they fit the
    /// filter otherwise is up to the caller.
    ///
    /// By the index of owner and id, and for ended jobs of some states that of owner, state and id: it reads no rows but
    /// those that it returns, and of jobs that have not ended those of other states.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn list(&self, owner: &str, stretch: Stretch<'_>) -> Result<Vec<Job>, JobStoreError> {
        let states = &stretch.filter.states;
        let mut query = stretch.of_owner(owner);
        if !states.is_empty() {
            let states = states.iter().map(|state| state_to_text(*state));
            query = query.filter(job::Column::State.is_in(states));
        }
        let mut jobs = Vec::new();
        if states.is_empty() || states.iter().any(|state| !state.is_terminal()) {
            jobs = Jobs::Hot.read(self.db.reader(), query).await?;
        }
        if states.is_empty() || states.iter().any(|state| state.is_terminal()) {
            let ended = self.list_ended(owner, stretch).await?;
            // One that ended between the looks is as it is now.
            jobs.retain(|job| ended.iter().all(|other| other.id != job.id));
            jobs.extend(ended);
        }
        jobs.sort_unstable_by_key(|job| job.id);
        if stretch.order == Order::NewestFirst {
            jobs.reverse();
        }
        jobs.truncate(usize::try_from(stretch.limit).unwrap_or(usize::MAX));
        Ok(jobs)
    }

    /// Ended jobs of an owner: a look for each state, so that one that is rare is not looked for in the whole history.
    async fn list_ended(
        &self,
        owner: &str,
        stretch: Stretch<'_>,
    ) -> Result<Vec<Job>, JobStoreError> {
        let reader = self.db.reader();
        let query = stretch.of_owner(owner);
        let states: &[State] = &stretch.filter.states;
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
}

impl Stretch<'_> {
    fn of_owner(&self, owner: &str) -> Select<job::Entity> {
        let mut query = job::Entity::find().filter(job::Column::Owner.eq(owner));
        let bound = |time: Time, slack: TimeDelta| {
            let time = time.checked_add_signed(slack).unwrap_or(time);
            first_id_at(time)
        };
        if let Some(time) = self.filter.created_after {
            query = query.filter(job::Column::Id.gte(bound(time, -CLOCKS_APART)));
        }
        if let Some(time) = self.filter.created_before {
            query = query.filter(job::Column::Id.lt(bound(time, CLOCKS_APART)));
        }
        if let Some(after) = self.after.map(JobId::as_uuid) {
            query = query.filter(match self.order {
                Order::NewestFirst => job::Column::Id.lt(after),
                Order::OldestFirst => job::Column::Id.gt(after),
            });
        }
        let query = match self.order {
            Order::NewestFirst => query.order_by_desc(job::Column::Id),
            Order::OldestFirst => query.order_by_asc(job::Column::Id),
        };
        query.limit(self.limit)
    }
}
