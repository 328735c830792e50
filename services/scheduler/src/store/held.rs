//! Holds and jobs compared: every hold has a job, and the hold of a job that has ended has its settlement.

use std::collections::{HashMap, HashSet};

use kinora_ids::JobId;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QuerySelect,
};
use uuid::Uuid;

use super::entity::{job, settlement};
use super::settlements::{CAPTURE, insert, row};
use super::sql::Sql;
use super::tables::Jobs;
use super::{JobStore, JobStoreError};
use crate::domain::hold::{Due, Hold, OpenHold, due};
use crate::domain::job::{Job, Time};

/// What a look at open holds led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Holds that are to stay: of jobs that go on, or that are still to be captured.
    pub needed: Vec<JobId>,
    /// Holds without a job, which are released now.
    pub orphaned: u64,
    /// Holds of jobs that have ended without anybody having noted what is to become of them, which is done now.
    pub unsettled: u64,
    /// Holds that billing had settled by its own word, and has open again. They are settled once more.
    pub reopened: u64,
}

/// As much of a settlement as the comparison needs.
#[derive(FromQueryResult)]
struct Known {
    job_id: Uuid,
    action: String,
    end_time: Option<Time>,
    failure: Option<String>,
}

impl JobStore {
    /// Compares holds that billing said to be open, at or after `told`, with the jobs.
    ///
    /// A hold counts as one without a job only when its job is neither about to be stored nor there nor deleted: the looks
    /// are in that order, so that a job that goes on its way meanwhile is seen by one of them.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn compare_holds(
        &self,
        holds: &[OpenHold],
        told: Time,
        now: Time,
    ) -> Result<Compared, JobStoreError> {
        let mut compared = Compared::default();
        let mut rest = Vec::new();
        let known = self.settlements_of(holds.iter()).await?;
        let mut reopened = Vec::new();
        for hold in holds {
            match known.get(&hold.job.as_uuid()) {
                None => rest.push(hold),
                Some(known) if known.failure.is_some() => {}
                Some(known) if known.end_time.is_some_and(|end| end < told) => {
                    reopened.push(known.job_id);
                }
                Some(known) if known.end_time.is_none() && known.action == CAPTURE => {
                    compared.needed.push(hold.job);
                }
                Some(_) => {}
            }
        }
        compared.reopened = self.reopen(reopened, now).await?;
        let under_way = self.ids_of("job", &rest).await?;
        let is_under_way = |hold: &&OpenHold| under_way.contains(&hold.job.as_uuid());
        let (kept, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_under_way);
        compared.needed.extend(kept.iter().map(|hold| hold.job));
        let ended = self.ids_of("finished_job", &rest).await?;
        let has_ended = |hold: &&OpenHold| ended.contains(&hold.job.as_uuid());
        let (ended, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(has_ended);
        compared.unsettled = self.settle_ended(&ended, now).await?;
        compared.orphaned = self.release_orphans(&rest, now).await?;
        Ok(compared)
    }

    /// Writes the settlements of up to `limit` jobs after `after` that have ended and hold credits without one, and clears
    /// what is noted as held by those whose settlement is over. Returns how many were written, and what to go on after.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn settle_forgotten(
        &self,
        after: Option<JobId>,
        limit: u32,
        now: Time,
    ) -> Result<(u64, Option<JobId>), JobStoreError> {
        let clear = "UPDATE finished_job SET held_credits = NULL WHERE held_credits IS NOT NULL AND EXISTS \
                     (SELECT 1 FROM settlement WHERE settlement.job_id = finished_job.id AND end_time IS NOT NULL)";
        let clear = Sql::new(self.backend(), clear);
        self.db.writer().execute_raw(clear.build()).await?;
        let mut query = Sql::new(
            self.backend(),
            "SELECT * FROM finished_job WHERE held_credits IS NOT NULL AND NOT EXISTS \
             (SELECT 1 FROM settlement WHERE settlement.job_id = finished_job.id)",
        );
        if let Some(after) = after {
            query = query.then(" AND id > ").bind(after.as_uuid());
        }
        let query = query.then(" ORDER BY id LIMIT ").bind(i64::from(limit));
        let found = self.db.reader().query_all_raw(query.build()).await?;
        let is_full = u32::try_from(found.len()).is_ok_and(|found| found >= limit);
        let last = found.last().filter(|_| is_full);
        let next: Option<Uuid> = last.map(|row| row.try_get("", "id")).transpose()?;
        let mut rows = Vec::new();
        for job in Jobs::parse_readable(&found)? {
            if let Some(due) = job.hold.and_then(|hold| due(&job, hold)) {
                rows.push(row(job.id, due, now)?);
            }
        }
        let written = insert(self.db.writer(), rows).await?;
        Ok((written, next.map(JobId::from_uuid)))
    }

    async fn settlements_of<'a>(
        &self,
        holds: impl Iterator<Item = &'a OpenHold>,
    ) -> Result<HashMap<Uuid, Known>, JobStoreError> {
        let known = settlement::Entity::find()
            .filter(settlement::Column::JobId.is_in(holds.map(|hold| hold.job.as_uuid())))
            .select_only()
            .columns([
                settlement::Column::JobId,
                settlement::Column::Action,
                settlement::Column::EndTime,
                settlement::Column::Failure,
            ])
            .into_model::<Known>()
            .all(self.db.reader())
            .await?;
        Ok(known.into_iter().map(|it| (it.job_id, it)).collect())
    }

    /// Those of the holds' jobs that are in a table, whether they can be read or not.
    async fn ids_of(
        &self,
        table: &str,
        holds: &[&OpenHold],
    ) -> Result<HashSet<Uuid>, JobStoreError> {
        if holds.is_empty() {
            return Ok(HashSet::new());
        }
        let text = format!("SELECT id FROM {table} WHERE id");
        let ids = holds.iter().map(|hold| hold.job.as_uuid());
        let query = Sql::new(self.backend(), &text).any_id(ids);
        let rows = self.db.reader().query_all_raw(query.build()).await?;
        let ids = rows.iter().map(|row| row.try_get("", "id"));
        Ok(ids.collect::<Result<_, sea_orm::DbErr>>()?)
    }

    async fn reopen(&self, jobs: Vec<Uuid>, now: Time) -> Result<u64, JobStoreError> {
        if jobs.is_empty() {
            return Ok(0);
        }
        let update = Sql::new(
            self.backend(),
            "UPDATE settlement SET end_time = NULL, attempts = 0, next_at = ",
        )
        .bind(now)
        .then(" WHERE failure IS NULL AND end_time IS NOT NULL AND job_id")
        .any_id(jobs);
        let updated = self.db.writer().execute_raw(update.build()).await?;
        Ok(updated.rows_affected())
    }

    async fn settle_ended(&self, holds: &[&OpenHold], now: Time) -> Result<u64, JobStoreError> {
        if holds.is_empty() {
            return Ok(0);
        }
        let ids = holds.iter().map(|hold| hold.job.as_uuid());
        let query = job::Entity::find().filter(job::Column::Id.is_in(ids));
        let jobs = Jobs::Finished
            .read_readable(self.db.reader(), query)
            .await?;
        let mut rows = Vec::with_capacity(jobs.len());
        for job in &jobs {
            let hold = holds.iter().find(|hold| hold.job == job.id);
            let due = hold.and_then(|hold| due(job, known_hold(job, hold)));
            if let Some(due) = due {
                rows.push(row(job.id, due, now)?);
            }
        }
        insert(self.db.writer(), rows).await
    }

    async fn release_orphans(&self, holds: &[&OpenHold], now: Time) -> Result<u64, JobStoreError> {
        if holds.is_empty() {
            return Ok(0);
        }
        // One whose job was deleted between the looks.
        let known = self.settlements_of(holds.iter().copied()).await?;
        let unknown = |hold: &&&OpenHold| !known.contains_key(&hold.job.as_uuid());
        let rows: Result<Vec<_>, _> = holds
            .iter()
            .filter(unknown)
            .map(|hold| row(hold.job, Due::Release, now))
            .collect();
        insert(self.db.writer(), rows?).await
    }
}

/// What a job holds by its own row, or by billing's word: a scheduler of an older version may have ended it.
fn known_hold(job: &Job, hold: &OpenHold) -> Hold {
    job.hold.unwrap_or(Hold {
        credits: hold.credits,
        preview_credits: hold.preview_credits,
        is_preview_made: job.is_approved && job.preview_spec.is_some(),
    })
}
