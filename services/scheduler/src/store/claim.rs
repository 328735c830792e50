//! Leasing queued jobs to a worker.

use std::time::Duration;

use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use super::entity::{job, worker};
use super::job::{Before, save};
use super::rows::{from_json, job_from_row, state_to_text};
use super::{JobStore, JobStoreError};
use crate::domain::job::{Event, Job, State, Time};
use crate::domain::transition;

/// A worker asks for jobs.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Who asks.
    pub worker: &'a str,
    /// Its newest stream; another one gets nothing.
    pub session: Uuid,
    /// How many jobs it can take.
    pub limit: u64,
    /// Jobs whose retry delay has passed by then.
    pub now: Time,
    /// For the attempt.
    pub time_limit: Duration,
}

impl JobStore {
    /// Leases up to `limit` queued jobs, oldest first, of the models that the worker offers.
    ///
    /// No job is ever leased twice at a time: on PostgreSQL claimers skip each other's locked rows, on
    /// SQLite they take turns; and the write itself is conditional on the row being unchanged.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn claim(&self, claim: Claim<'_>) -> Result<Vec<(Job, Event)>, JobStoreError> {
        let tx = self.begin().await?;
        let Some(free) = lock_worker(&tx, claim).await? else {
            return Ok(Vec::new());
        };
        let candidates = job::Entity::find()
            .filter(job::Column::State.eq(state_to_text(State::Queued)))
            .filter(job::Column::RunAt.lte(claim.now))
            .filter(job::Column::Model.is_in(free.models))
            .order_by_asc(job::Column::Id)
            .limit(free.slots)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(&tx)
            .await?;
        let mut claimed = Vec::with_capacity(candidates.len());
        for row in candidates {
            let mut job = job_from_row(row)?;
            let before = Before::of(&job);
            let leased = transition::claim(&mut job, claim.worker, claim.now, claim.time_limit);
            if let Some(event) = leased {
                save(&tx, before, &job, &event).await?;
                claimed.push((job, event));
            }
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// Whether any job of these models waits and may be leased at `now`: a cheap look before a claim.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn has_work(&self, models: &[String], now: Time) -> Result<bool, JobStoreError> {
        let found = job::Entity::find()
            .filter(job::Column::State.eq(state_to_text(State::Queued)))
            .filter(job::Column::RunAt.lte(now))
            .filter(job::Column::Model.is_in(models))
            .order_by_asc(job::Column::Id)
            .one(self.db.reader())
            .await?;
        Ok(found.is_some())
    }
}

struct Free {
    models: Vec<String>,
    slots: u64,
}

/// Locks the worker's row, so that a newer stream waits, and counts what it may still take.
async fn lock_worker(
    tx: &DatabaseTransaction,
    claim: Claim<'_>,
) -> Result<Option<Free>, JobStoreError> {
    let row = worker::Entity::find_by_id(claim.worker)
        .filter(worker::Column::Session.eq(claim.session))
        .filter(worker::Column::Draining.eq(false))
        .lock_exclusive()
        .one(tx)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let running = job::Entity::find()
        .filter(job::Column::State.eq(state_to_text(State::Running)))
        .filter(job::Column::WorkerId.eq(claim.worker))
        .count(tx)
        .await?;
    let slots = u64::try_from(row.slots)
        .unwrap_or(0)
        .saturating_sub(running);
    let models: Vec<String> = from_json("worker", row.models)?;
    let slots = slots.min(claim.limit);
    Ok((slots > 0 && !models.is_empty()).then_some(Free { models, slots }))
}
