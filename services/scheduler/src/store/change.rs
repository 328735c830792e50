//! Changing one job, and whatever follows for others.

use kinora_ids::JobId;
use sea_orm::ActiveValue::NotSet;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
};

use super::attempts::{has_ended, record_attempt};
use super::entity::job;
use super::events::record;
use super::hooks::on_events;
use super::lanes::{self, Ended, Lanes, lane_id, settle};
use super::purge::{Gone, forget};
use super::removal::schedule_removal;
use super::rows::{class_to_number, job_to_row, model_of, number};
use super::tables::{Jobs, by_id};
use super::{JobStore, JobStoreError, Removal};
use crate::domain::job::{Event, Job, State, Time};
use crate::domain::transition;

/// A change of a job that a rule decided on.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// What happened; none when the rule changed nothing that anybody sees.
    pub event: Option<Event>,
    /// Objects that nobody needs any more.
    pub removals: Vec<Removal>,
}

/// What a change led to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What happened to the job.
    pub event: Option<Event>,
    /// What happened to jobs that waited for it.
    pub others: Vec<Event>,
}

/// A job that is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Deleted {
    /// As it was.
    pub job: Job,
    /// Its end, when it had not ended before.
    pub event: Option<Event>,
    /// What happened to jobs that waited for it.
    pub others: Vec<Event>,
}

/// One job's part of a change.
pub struct Step {
    pub before: Job,
    pub after: Job,
    pub event: Event,
}

impl JobStore {
    /// Applies `rule` to a job under its row's lock and stores what it decided, all or nothing. A change that comes
    /// without an event is stored as well. A job that has ended keeps its state, whatever the rule says.
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
    ) -> Result<Option<Result<(Job, Outcome), E>>, JobStoreError> {
        let tx = self.begin().await?;
        self.change_in(tx, id, owner, rule).await
    }

    /// As [`JobStore::change`], in a transaction that has begun.
    pub(super) async fn change_in<E>(
        &self,
        tx: DatabaseTransaction,
        id: JobId,
        owner: Option<&str>,
        rule: impl FnOnce(&mut Job) -> Result<Change, E>,
    ) -> Result<Option<Result<(Job, Outcome), E>>, JobStoreError> {
        let Some((before, place)) = locked(&tx, id, owner).await? else {
            return Ok(None);
        };
        let mut after = before.clone();
        let change = match rule(&mut after) {
            Ok(change) => change,
            Err(error) => return Ok(Some(Err(error))),
        };
        let mut others = Vec::new();
        match (place, &change.event) {
            (Jobs::Hot, Some(event)) => {
                let step = Step {
                    before,
                    after: after.clone(),
                    event: event.clone(),
                };
                others = Box::pin(self.apply(&tx, step)).await?;
            }
            (Jobs::Hot, None) if after != before => save_quietly(&tx, &before, &after).await?,
            (Jobs::Finished, _) if after != before => rewrite(&tx, &before, &after).await?,
            _ => {}
        }
        schedule_removal(&tx, &change.removals).await?;
        tx.commit().await?;
        let event = change.event;
        Ok(Some(Ok((after, Outcome { event, others }))))
    }

    /// Forgets a job of `owner` with its history and its request id, and schedules removals. One that has not ended is
    /// cancelled by that: webhooks are told in the same transaction. Jobs that waited for it are told.
    ///
    /// Returns none when there is no such job.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn delete(
        &self,
        owner: &str,
        id: JobId,
        removals: &[Removal],
        now: Time,
    ) -> Result<Option<Deleted>, JobStoreError> {
        let tx = self.begin().await?;
        let Some((job, place)) = locked(&tx, id, Some(owner)).await? else {
            return Ok(None);
        };
        place.delete(&tx, [id.as_uuid()]).await?;
        let steps = self.loss(&tx, &job, now).await?;
        let gone = (place == Jobs::Hot).then_some(&job);
        let others = self.apply_beside(&tx, steps, gone).await?;
        let mut ended = job.clone();
        let event = transition::cancel(&mut ended, now);
        // No history is left to append to; those who are told are told nevertheless.
        if let Some(event) = &event {
            on_events(&tx, &[(&ended, event)]).await?;
        }
        forget(&tx, &[Gone::of(&job)]).await?;
        schedule_removal(&tx, removals).await?;
        tx.commit().await?;
        Ok(Some(Deleted { job, event, others }))
    }

    /// Writes a job's transition and all that follows from it. Returns what happened to other jobs.
    pub(super) async fn apply(
        &self,
        tx: &DatabaseTransaction,
        step: Step,
    ) -> Result<Vec<Event>, JobStoreError> {
        let mut events = self.apply_all(tx, vec![step]).await?;
        events.remove(0);
        Ok(events)
    }

    /// Writes transitions and all that follows from them. Returns all events, those of `steps` first.
    pub(super) async fn apply_all(
        &self,
        tx: &DatabaseTransaction,
        steps: Vec<Step>,
    ) -> Result<Vec<Event>, JobStoreError> {
        self.apply_beside(tx, steps, None).await
    }

    /// As [`JobStore::apply_all`], beside a job whose row is gone: it frees its place in its lane, or its worker.
    async fn apply_beside(
        &self,
        tx: &DatabaseTransaction,
        steps: Vec<Step>,
        gone: Option<&Job>,
    ) -> Result<Vec<Event>, JobStoreError> {
        let done = self.write_all(tx, steps).await?;
        let transitions: Vec<(&Job, &Event)> = done
            .iter()
            .filter(|step| is_transition(step))
            .map(|step| (&step.after, &step.event))
            .collect();
        record(tx, &transitions).await?;
        // Callers keep it in futures of their own, which would be large.
        Box::pin(self.settle_queues(tx, &done, gone)).await?;
        Ok(done.into_iter().map(|step| step.event).collect())
    }

    /// Writes the attempts that have ended, and gives every lane that jobs have entered or left its turn.
    ///
    /// Lanes are locked last and all at once, after tenants and owners, as claims and submissions do.
    async fn settle_queues(
        &self,
        tx: &DatabaseTransaction,
        done: &[Step],
        gone: Option<&Job>,
    ) -> Result<(), JobStoreError> {
        let mut ended = Vec::new();
        let mut queued = Vec::new();
        let mut left = Lanes::new();
        match gone {
            Some(job) if job.state == State::Running => ended.push((job, job)),
            Some(job) => left.extend([lane_of(job)]),
            None => {}
        }
        for step in done {
            let Step {
                before,
                after,
                event,
            } = step;
            if has_ended(before, after) {
                record_attempt(tx, before, after, event.time).await?;
                ended.push((before, after));
            }
            if before.state == State::Queued {
                left.extend([lane_of(before)]);
            }
            if after.state == State::Queued {
                queued.push(job_to_row(after, event.time)?);
            }
        }
        let ended = Ended::of(self, tx, &ended).await?;
        let mut lanes = lanes::make(tx, &queued).await?;
        lanes.extend(left);
        ended.release(tx, lanes.keys().copied()).await?;
        settle(tx, &lanes).await?;
        Ok(())
    }

    /// Writes rows, and those of all jobs that wait for one of them.
    ///
    /// Each row is written before anybody looks for what follows from it: a job that waits for several of those that
    /// end is found once, by the first of them.
    async fn write_all(
        &self,
        tx: &DatabaseTransaction,
        mut steps: Vec<Step>,
    ) -> Result<Vec<Step>, JobStoreError> {
        let (mut written, mut followed) = (0, 0);
        while written < steps.len() {
            for step in &steps[written..] {
                write(tx, step).await?;
            }
            written = steps.len();
            while followed < written && steps.len() == written {
                let Step { after, event, .. } = &steps[followed];
                if after.state.is_terminal() {
                    let others = self.consequences(tx, after, event.time).await?;
                    steps.extend(others);
                }
                followed += 1;
            }
        }
        Ok(steps)
    }
}

fn lane_of(job: &Job) -> (uuid::Uuid, Vec<(uuid::Uuid, i64)>) {
    let class = class_to_number(job.priority);
    (lane_id(model_of(job), class, &job.owner), Vec::new())
}

/// Progress lives in the row alone; only transitions make history.
fn is_transition(step: &Step) -> bool {
    step.after.state != step.before.state || step.after.lease != step.before.lease
}

/// Locks a job's row wherever it is.
async fn locked(
    tx: &DatabaseTransaction,
    id: JobId,
    owner: Option<&str>,
) -> Result<Option<(Job, Jobs)>, JobStoreError> {
    let mut query = by_id(id);
    if let Some(owner) = owner {
        query = query.filter(job::Column::Owner.eq(owner));
    }
    for place in [Jobs::Hot, Jobs::Finished] {
        let mut found = place.read_locked(tx, query.clone()).await?;
        if let Some(job) = found.pop() {
            return Ok(Some((job, place)));
        }
    }
    Ok(None)
}

async fn write(tx: &DatabaseTransaction, step: &Step) -> Result<(), JobStoreError> {
    let Step {
        before,
        after,
        event,
    } = step;
    if after.state.is_terminal() {
        // The row is locked, so that this can only fail where a lock is missing.
        if Jobs::Hot.delete(tx, [before.id.as_uuid()]).await? != 1 {
            return Err(JobStoreError::LostUpdate);
        }
        return Jobs::Finished
            .insert(tx, [last_row(before, after, event.time)?])
            .await;
    }
    save(tx, before, last_row(before, after, event.time)?).await
}

/// The row of a job that remembers which worker had it last.
fn last_row(before: &Job, after: &Job, at: Time) -> Result<job::Model, JobStoreError> {
    let mut row = job_to_row(after, at)?;
    if row.last_worker.is_none() {
        row.last_worker.clone_from(&before.worker);
    }
    Ok(row)
}

/// Writes a row that is still as it was before.
async fn save(
    tx: &DatabaseTransaction,
    before: &Job,
    row: job::Model,
) -> Result<(), JobStoreError> {
    let forgets_worker = row.last_worker.is_none();
    let mut row = row.into_active_model().reset_all();
    if forgets_worker {
        row.last_worker = NotSet;
    }
    update(tx, before, row).await
}

/// Writes a change that nobody is told of. It does not touch the job's turn.
pub async fn save_quietly(
    tx: &DatabaseTransaction,
    before: &Job,
    after: &Job,
) -> Result<(), JobStoreError> {
    let mut row = job_to_row(after, before.create_time)?
        .into_active_model()
        .reset_all();
    row.is_ready = NotSet;
    row.ready_at = NotSet;
    row.last_worker = NotSet;
    update(tx, before, row).await
}

async fn update(
    tx: &DatabaseTransaction,
    before: &Job,
    mut row: job::ActiveModel,
) -> Result<(), JobStoreError> {
    let guard: i64 = number("job", before.seq)?;
    row.id = NotSet;
    let updated = job::Entity::update_many()
        .set(row)
        .filter(job::Column::Id.eq(before.id.as_uuid()))
        .filter(job::Column::Seq.eq(guard))
        .exec(tx)
        .await?;
    if updated.rows_affected != 1 {
        return Err(JobStoreError::LostUpdate);
    }
    Ok(())
}

/// Writes what may still change of a job that has ended.
async fn rewrite(tx: &DatabaseTransaction, before: &Job, after: &Job) -> Result<(), JobStoreError> {
    if after.state != before.state {
        return Err(JobStoreError::LostUpdate);
    }
    Jobs::Finished.delete(tx, [before.id.as_uuid()]).await?;
    let row = last_row(before, after, before.create_time)?;
    Jobs::Finished.insert(tx, [row]).await
}
