//! Reading and changing one job.

use kinora_ids::JobId;
use sea_orm::ActiveValue::NotSet;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::entity::{job, job_event};
use super::removal::schedule_removal;
use super::rows::{event_from_row, event_to_row, job_from_row, job_to_row, number, state_to_text};
use super::{JobStore, JobStoreError, Removal};
use crate::domain::job::{Event, Job, State};
use crate::webhooks::outbox;

/// A change of a job that a rule decided on.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// What happened; none when the rule changed nothing.
    pub event: Option<Event>,
    /// Objects that nobody needs any more.
    pub removals: Vec<Removal>,
}

impl JobStore {
    /// Reads a job of `owner`.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn get(&self, owner: &str, id: JobId) -> Result<Option<Job>, JobStoreError> {
        let row = job::Entity::find_by_id(id.as_uuid())
            .filter(job::Column::Owner.eq(owner))
            .one(self.db.reader())
            .await?;
        row.map(job_from_row).transpose()
    }

    /// Lists up to `limit` jobs of `owner`, newest first, from those older than `before`.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn list(
        &self,
        owner: &str,
        before: Option<JobId>,
        limit: u64,
    ) -> Result<Vec<Job>, JobStoreError> {
        let mut query = job::Entity::find().filter(job::Column::Owner.eq(owner));
        if let Some(before) = before {
            query = query.filter(job::Column::Id.lt(before.as_uuid()));
        }
        let rows = query
            .order_by_desc(job::Column::Id)
            .limit(limit)
            .all(self.db.reader())
            .await?;
        rows.into_iter().map(job_from_row).collect()
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

    /// Counts the queued jobs of the same model that were submitted earlier.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn jobs_ahead(&self, job: &Job) -> Result<u64, JobStoreError> {
        Ok(job::Entity::find()
            .filter(job::Column::State.eq(state_to_text(State::Queued)))
            .filter(job::Column::Model.eq(&job.spec.model))
            .filter(job::Column::Id.lt(job.id.as_uuid()))
            .count(self.db.reader())
            .await?)
    }

    /// Applies `rule` to a job under its row's lock and stores what it decided, all or nothing. A change that comes
    /// without an event is stored as well.
    ///
    /// `owner` is checked when it is given. Returns the job as it is now, or none when there is no such job.
    /// An error of the rule changes nothing and is returned inside.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn change<E>(
        &self,
        id: JobId,
        owner: Option<&str>,
        rule: impl FnOnce(&mut Job) -> Result<Change, E>,
    ) -> Result<Option<Result<(Job, Change), E>>, JobStoreError> {
        let tx = self.begin().await?;
        let Some(mut job) = locked(&tx, id, owner).await? else {
            return Ok(None);
        };
        let (before, original) = (Before::of(&job), job.clone());
        let change = match rule(&mut job) {
            Ok(change) => change,
            Err(error) => return Ok(Some(Err(error))),
        };
        if let Some(event) = &change.event {
            save(&tx, before, &job, event).await?;
        } else if job != original {
            save_row(&tx, before, &job).await?;
        }
        schedule_removal(&tx, &change.removals).await?;
        tx.commit().await?;
        Ok(Some(Ok((job, change))))
    }

    /// Forgets a job of `owner` with its events and its request id, and schedules removals.
    ///
    /// Returns the job as it was, or none when there is no such job.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn delete(
        &self,
        owner: &str,
        id: JobId,
        removals: &[Removal],
    ) -> Result<Option<Job>, JobStoreError> {
        let tx = self.begin().await?;
        let Some(job) = locked(&tx, id, Some(owner)).await? else {
            return Ok(None);
        };
        // Events and the submission go with it.
        job::Entity::delete_by_id(id.as_uuid()).exec(&tx).await?;
        schedule_removal(&tx, removals).await?;
        tx.commit().await?;
        Ok(Some(job))
    }
}

async fn locked(
    tx: &DatabaseTransaction,
    id: JobId,
    owner: Option<&str>,
) -> Result<Option<Job>, JobStoreError> {
    let mut query = job::Entity::find_by_id(id.as_uuid());
    if let Some(owner) = owner {
        query = query.filter(job::Column::Owner.eq(owner));
    }
    let row = query.lock_exclusive().one(tx).await?;
    row.map(job_from_row).transpose()
}

/// What a job was before a rule changed it.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    seq: u64,
    state: State,
    lease: u64,
}

impl Before {
    /// Remembers the present.
    pub const fn of(job: &Job) -> Self {
        Self {
            seq: job.seq,
            state: job.state,
            lease: job.lease,
        }
    }
}

/// Writes a job whose row is still as it was before, and its event when that is a transition.
pub async fn save(
    tx: &impl ConnectionTrait,
    before: Before,
    job: &Job,
    event: &Event,
) -> Result<(), JobStoreError> {
    save_row(tx, before, job).await?;
    // Progress lives in the row alone; only transitions make history.
    if job.state != before.state || job.lease != before.lease {
        let row = event_to_row(event)?.into_active_model();
        job_event::Entity::insert(row)
            .exec_without_returning(tx)
            .await?;
        outbox::note(tx, job, event).await?;
    }
    Ok(())
}

async fn save_row(
    tx: &impl ConnectionTrait,
    before: Before,
    job: &Job,
) -> Result<(), JobStoreError> {
    let guard: i64 = number("job", before.seq)?;
    let mut row = job_to_row(job)?.into_active_model().reset_all();
    row.id = NotSet;
    let updated = job::Entity::update_many()
        .set(row)
        .filter(job::Column::Id.eq(job.id.as_uuid()))
        .filter(job::Column::Seq.eq(guard))
        .exec(tx)
        .await?;
    if updated.rows_affected != 1 {
        return Err(JobStoreError::LostUpdate);
    }
    Ok(())
}
