//! The outbox of what billing has yet to be told: that a hold is captured or released.
//!
//! The row is written in the transaction of the job's end. Whoever takes it tells billing, which does each once however
//! often it is told, and then notes that it is done.

use std::time::Duration;

use kinora_ids::JobId;
use sea_orm::prelude::ChronoDateTimeUtc;
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult,
    IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, TryInsertResult,
};

use super::entity::settlement;
use super::rows::{count, number, unreadable};
use super::sql::Sql;
use super::{JobStore, JobStoreError};
use crate::domain::hold::{Due, due};
use crate::domain::job::{Event, Job, Time};
use crate::metrics::SettlementLoad;

const TABLE: &str = "settlement";

pub(super) const CAPTURE: &str = "capture";
const RELEASE: &str = "release";

/// A settlement that is being tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueSettlement {
    /// Whose hold.
    pub job: JobId,
    /// What becomes of it.
    pub due: Due,
    /// Tries before this one.
    pub attempts: u32,
}

impl JobStore {
    /// Takes up to `limit` settlements that are due and hides them from others until `now + retry_after`.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn due_settlements(
        &self,
        now: Time,
        retry_after: Duration,
        limit: u64,
    ) -> Result<Vec<DueSettlement>, JobStoreError> {
        let due = settlement::Entity::find()
            .filter(settlement::Column::EndTime.is_null())
            .filter(settlement::Column::NextAt.lte(now));
        // Most looks find nothing, and need no transaction that writes.
        if due.clone().one(self.db.reader()).await?.is_none() {
            return Ok(Vec::new());
        }
        let tx = self.begin().await?;
        let rows = due
            .order_by_asc(settlement::Column::NextAt)
            .limit(limit)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(&tx)
            .await?;
        settlement::Entity::update_many()
            .col_expr(settlement::Column::NextAt, Expr::value(now + retry_after))
            .col_expr(
                settlement::Column::Attempts,
                Expr::col(settlement::Column::Attempts).add(1),
            )
            .filter(settlement::Column::JobId.is_in(rows.iter().map(|row| row.job_id)))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        // One of a newer version must not hold up the others.
        let passed_over =
            |error: &JobStoreError| tracing::warn!(%error, "a settlement is passed over");
        let readable = |row| from_row(row).inspect_err(passed_over).ok();
        Ok(rows.into_iter().filter_map(readable).collect())
    }

    /// Notes that billing has settled a hold. The job holds nothing any more.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn settled(&self, job: JobId, now: Time) -> Result<(), JobStoreError> {
        self.end_settlement(job, None, now).await
    }

    /// Notes that billing will not have a settlement, however often it is told. It stays for somebody to look at.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn set_settlement_aside(
        &self,
        job: JobId,
        reason: &str,
        now: Time,
    ) -> Result<(), JobStoreError> {
        let reason = reason.chars().take(64).collect();
        self.end_settlement(job, Some(reason), now).await
    }

    async fn end_settlement(
        &self,
        job: JobId,
        failure: Option<String>,
        now: Time,
    ) -> Result<(), JobStoreError> {
        let tx = self.begin().await?;
        let end = Sql::new(
            self.backend(),
            "UPDATE settlement SET owner = NULL, request = NULL, end_time = ",
        )
        .bind(now)
        .then(", failure = ")
        .bind(failure)
        .then(" WHERE end_time IS NULL AND job_id = ")
        .bind(job.as_uuid());
        tx.execute_raw(end.build()).await?;
        let clear = Sql::new(
            self.backend(),
            "UPDATE finished_job SET held_credits = NULL WHERE held_credits IS NOT NULL AND id = ",
        )
        .bind(job.as_uuid());
        tx.execute_raw(clear.build()).await?;
        Ok(tx.commit().await?)
    }

    /// Tries a settlement again at `next_at`.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn postpone_settlement(
        &self,
        job: JobId,
        next_at: Time,
    ) -> Result<(), JobStoreError> {
        settlement::Entity::update_many()
            .col_expr(settlement::Column::NextAt, Expr::value(next_at))
            .filter(settlement::Column::JobId.eq(job.as_uuid()))
            .exec(self.db.writer())
            .await?;
        Ok(())
    }

    /// Forgets up to `limit` settlements that were done before `done_before`, or set aside before `aside_before`.
    /// Returns how many.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn purge_settlements(
        &self,
        done_before: Time,
        aside_before: Time,
        limit: u64,
    ) -> Result<u64, JobStoreError> {
        let delete = Sql::new(
            self.backend(),
            "DELETE FROM settlement WHERE job_id IN (SELECT job_id FROM settlement WHERE end_time IS NOT NULL \
             AND ((failure IS NULL AND end_time < ",
        )
        .bind(done_before)
        .then(") OR end_time < ")
        .bind(aside_before)
        .then(") LIMIT ")
        .bind(limit.cast_signed())
        .then(")");
        let purged = self.db.writer().execute_raw(delete.build()).await?;
        Ok(purged.rows_affected())
    }

    /// Counts what billing has yet to be told, and what it would not have.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn settlement_load(&self, now: Time) -> Result<SettlementLoad, JobStoreError> {
        #[derive(FromQueryResult)]
        struct Waiting {
            waiting: i64,
            oldest: Option<ChronoDateTimeUtc>,
        }
        #[derive(FromQueryResult)]
        struct Aside {
            aside: i64,
        }
        let reader = self.db.reader();
        // What is planned for later waits for nobody.
        let waiting = Sql::new(
            self.backend(),
            "SELECT COUNT(*) AS waiting, MIN(create_time) AS oldest FROM settlement \
             WHERE end_time IS NULL AND (NOT is_planned OR attempts > 0 OR next_at <= ",
        )
        .bind(now)
        .then(")");
        let waiting = Waiting::find_by_statement(waiting.build()).one(reader);
        let waiting = waiting.await?;
        let aside = "SELECT COUNT(*) AS aside FROM settlement WHERE failure IS NOT NULL";
        let aside = Sql::new(self.backend(), aside).build();
        let aside = Aside::find_by_statement(aside).one(reader).await?;
        let oldest = waiting.as_ref().and_then(|row| row.oldest);
        Ok(SettlementLoad {
            waiting: waiting.map_or(0, |row| count(row.waiting)),
            oldest: oldest.map(|since| (now - since).to_std().unwrap_or_default()),
            set_aside: aside.map_or(0, |row| count(row.aside)),
        })
    }
}

/// Writes down what is to become of the holds of jobs that end here.
pub async fn note_ends(
    tx: &DatabaseTransaction,
    events: &[(&Job, &Event)],
) -> Result<(), JobStoreError> {
    let mut rows = Vec::new();
    for (job, event) in events {
        let ended = job.hold.and_then(|hold| due(job, hold));
        if let Some(due) = ended {
            rows.push(row(job.id, due, event.time)?);
        }
    }
    let expected = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let written = insert(tx, rows).await?;
    if written != expected {
        // The job must be able to end all the same. The sweep compares what is there with billing.
        tracing::error!(
            expected,
            written,
            "a job ends whose hold was settled before"
        );
    }
    Ok(())
}

/// Writes settlements, but for jobs that have one. Returns how many.
pub(super) async fn insert(
    db: &impl ConnectionTrait,
    rows: Vec<settlement::Model>,
) -> Result<u64, JobStoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let rows = rows.into_iter().map(IntoActiveModel::into_active_model);
    let inserted = settlement::Entity::insert_many(rows)
        .on_conflict_do_nothing()
        .exec_without_returning(db)
        .await?;
    Ok(match inserted {
        TryInsertResult::Inserted(rows) => rows,
        TryInsertResult::Empty | TryInsertResult::Conflicted => 0,
    })
}

/// A settlement that is due at once.
pub(super) fn row(job: JobId, due: Due, now: Time) -> Result<settlement::Model, JobStoreError> {
    let (action, lease, credits) = match due {
        Due::Capture { lease, credits } => (CAPTURE, lease, credits),
        Due::Release => (RELEASE, 0, 0),
    };
    Ok(settlement::Model {
        job_id: job.as_uuid(),
        action: action.to_owned(),
        lease: number(TABLE, lease)?,
        credits: number(TABLE, credits)?,
        is_planned: false,
        owner: None,
        request: None,
        attempts: 0,
        next_at: now,
        create_time: now,
        end_time: None,
        failure: None,
    })
}

fn from_row(row: settlement::Model) -> Result<DueSettlement, JobStoreError> {
    let due = match row.action.as_str() {
        CAPTURE => Due::Capture {
            lease: count(row.lease),
            credits: count(row.credits),
        },
        RELEASE => Due::Release,
        _ => return Err(unreadable(TABLE, "the action is unknown")),
    };
    Ok(DueSettlement {
        job: JobId::from_uuid(row.job_id),
        due,
        attempts: number(TABLE, row.attempts)?,
    })
}
