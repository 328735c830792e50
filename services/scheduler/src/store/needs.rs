//! Jobs that wait for others.

use std::collections::HashMap;

use kinora_ids::{JobId, job_object_prefix};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder,
};

use super::change::{Step, save_quietly};
use super::entity::{job, job_need};
use super::removal::schedule_removal;
use super::sql::{FOR_SHARE, Sql};
use super::tables::{Jobs, by_id};
use super::{JobStore, JobStoreError, Removal};
use crate::domain::job::{Event, Job, State, Time};
use crate::domain::transition;

impl JobStore {
    /// What the end of a job means for those that wait for it. What nobody is told of is written here; the rest is
    /// locked and changed, and not yet written.
    pub(super) async fn consequences(
        &self,
        tx: &DatabaseTransaction,
        ended: &Job,
        now: Time,
    ) -> Result<Vec<Step>, JobStoreError> {
        if !ended.needs.is_empty() {
            forget_needs_of(tx, ended).await?;
        }
        self.tell_waiting(tx, ended, |waiting| match ended.state {
            State::Completed => transition::need_met(waiting, ended, now),
            how => transition::need_lost(waiting, ended.id, how, now),
        })
        .await
    }

    /// What it means for jobs that have not started that one they need is gone for good.
    pub(super) async fn loss(
        &self,
        tx: &DatabaseTransaction,
        gone: &Job,
        now: Time,
    ) -> Result<Vec<Step>, JobStoreError> {
        let how = if gone.state.is_terminal() {
            State::Failed
        } else {
            State::Cancelled
        };
        let lose = |waiting: &mut Job| transition::need_lost(waiting, gone.id, how, now);
        let steps = self.tell_waiting(tx, gone, lose).await?;
        job_need::Entity::delete_many()
            .filter(job_need::Column::Needed.eq(gone.id.as_uuid()))
            .exec(tx)
            .await?;
        Ok(steps)
    }

    async fn tell_waiting(
        &self,
        tx: &DatabaseTransaction,
        needed: &Job,
        mut rule: impl FnMut(&mut Job) -> Option<Event>,
    ) -> Result<Vec<Step>, JobStoreError> {
        let waiting = job_need::Entity::find()
            .filter(job_need::Column::Needed.eq(needed.id.as_uuid()))
            .all(tx)
            .await?;
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let query = job::Entity::find()
            .filter(job::Column::Id.is_in(waiting.iter().map(|need| need.waiting)))
            .order_by_asc(job::Column::Id);
        let mut steps = Vec::new();
        for before in Jobs::Hot.read_locked(tx, query).await? {
            let mut after = before.clone();
            let Some(event) = rule(&mut after) else {
                if after != before {
                    save_quietly(tx, &before, &after).await?;
                }
                continue;
            };
            if after.state.is_terminal() {
                // It has never run; but it may have come with pictures.
                let prefix = job_object_prefix(after.id);
                let not_before = event.time;
                schedule_removal(tx, &[Removal { prefix, not_before }]).await?;
            }
            steps.push(Step {
                before,
                after,
                event,
            });
        }
        Ok(steps)
    }
}

async fn forget_needs_of(tx: &DatabaseTransaction, job: &Job) -> Result<(), JobStoreError> {
    job_need::Entity::delete_many()
        .filter(job_need::Column::Waiting.eq(job.id.as_uuid()))
        .exec(tx)
        .await?;
    Ok(())
}

/// Settles what new jobs need of older ones, which stay as they are until this transaction ends, and notes who waits for
/// whom.
pub async fn note_needs(tx: &DatabaseTransaction, new: &mut [Job]) -> Result<(), JobStoreError> {
    let own: Vec<JobId> = new.iter().map(|job| job.id).collect();
    let mut rows = Vec::new();
    for job in new.iter_mut() {
        let now = job.create_time;
        for needed in job.needs.iter().map(|need| need.job).collect::<Vec<_>>() {
            if !own.contains(&needed) && !is_hot(tx, needed).await? {
                match Jobs::Finished.read_locked(tx, by_id(needed)).await?.pop() {
                    Some(ended) if ended.state == State::Completed => {
                        transition::need_met(job, &ended, now);
                    }
                    Some(ended) => {
                        transition::need_lost(job, needed, ended.state, now);
                    }
                    // Deleted a moment ago.
                    None => {
                        transition::need_lost(job, needed, State::Failed, now);
                    }
                }
            }
            rows.push(job_need::Model {
                needed: needed.as_uuid(),
                waiting: job.id.as_uuid(),
            });
        }
    }
    lose_after_lost(new);
    // Who has ended waits for nobody.
    let waits = |row: &job_need::Model| {
        let waiting = new.iter().find(|job| job.id.as_uuid() == row.waiting);
        waiting.is_some_and(|job| !job.state.is_terminal())
    };
    rows.retain(waits);
    if !rows.is_empty() {
        job_need::Entity::insert_many(rows.into_iter().map(IntoActiveModel::into_active_model))
            .on_conflict_do_nothing()
            .exec_without_returning(tx)
            .await?;
    }
    Ok(())
}

/// Ends those of new jobs that need one of them which has ended as it came.
fn lose_after_lost(new: &mut [Job]) {
    loop {
        let ended: HashMap<JobId, State> = new
            .iter()
            .filter(|job| job.state.is_terminal())
            .map(|job| (job.id, job.state))
            .collect();
        let mut has_changed = false;
        for job in new.iter_mut().filter(|job| !job.state.is_terminal()) {
            let lost = job.needs.iter().find_map(|need| {
                let state = ended.get(&need.job)?;
                Some((need.job, *state))
            });
            if let Some((needed, state)) = lost {
                let now = job.create_time;
                has_changed |= transition::need_lost(job, needed, state, now).is_some();
            }
        }
        if !has_changed {
            return;
        }
    }
}

/// Whether a job has not ended, and will not before the end of this transaction.
async fn is_hot(tx: &DatabaseTransaction, id: JobId) -> Result<bool, JobStoreError> {
    let query = Sql::new(tx.get_database_backend(), "SELECT id FROM job WHERE id = ")
        .bind(id.as_uuid())
        .locked(FOR_SHARE);
    Ok(tx.query_one_raw(query.build()).await?.is_some())
}
