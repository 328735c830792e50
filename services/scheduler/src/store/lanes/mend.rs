//! The safety net under the lanes: every job that may be leased is in an open one.

use sea_orm::{ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};

use super::{lock, make, settle};
use crate::domain::job::Time;
use crate::store::entity::job;
use crate::store::lanes::lane_id;
use crate::store::sql::{SKIP_LOCKED, Sql};
use crate::store::{JobStore, JobStoreError};
use sea_orm::{ColumnTrait, FromQueryResult};
use uuid::Uuid;

/// Jobs made leasable in one go.
const PROMOTED: u64 = 256;

/// Lanes mended in one go.
const MENDED: i64 = 256;

#[derive(FromQueryResult)]
struct Found {
    found: Uuid,
}

impl JobStore {
    /// Lets jobs be leased whose time has come. Returns how many.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn promote(&self, now: Time) -> Result<u64, JobStoreError> {
        let due = |text: &str| {
            Sql::new(self.backend(), text)
                .then(" FROM job WHERE state = 'queued' AND NOT is_ready AND unmet = 0 AND run_at <= ")
                .bind(now)
                .then(" ORDER BY run_at LIMIT ")
        };
        let any = due("SELECT id").bind(1_i64).build();
        if self.db.reader().query_one_raw(any).await?.is_none() {
            return Ok(0);
        }
        let tx = self.begin().await?;
        let rows = due("SELECT *")
            .bind(PROMOTED.cast_signed())
            .locked(SKIP_LOCKED);
        let rows = job::Model::find_by_statement(rows.build()).all(&tx).await?;
        let update = Sql::new(
            self.backend(),
            "UPDATE job SET is_ready = TRUE, ready_at = run_at WHERE id",
        )
        .any_id(rows.iter().map(|row| row.id));
        tx.execute_raw(update.build()).await?;
        let lanes = make(&tx, &rows).await?;
        settle(&tx, &lanes).await?;
        tx.commit().await?;
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }

    /// Opens lanes that should be open: those of jobs from before there were lanes, and those that an error of ours
    /// may have left shut. Lets blocked lanes be looked at again, too. For the start, and now and then.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn mend_lanes(&self) -> Result<u64, JobStoreError> {
        self.put_into_lanes().await?;
        let mut mended = 0;
        loop {
            let found = self.shut_lanes().await?;
            if found.is_empty() {
                break;
            }
            let tx = self.begin().await?;
            let rows = job::Entity::find()
                .filter(job::Column::Id.is_in(found.iter().copied()))
                .all(&tx)
                .await?;
            let lanes = make(&tx, &rows).await?;
            settle(&tx, &lanes).await?;
            tx.commit().await?;
            mended += u64::try_from(found.len()).unwrap_or(0);
        }
        self.unblock_all().await?;
        Ok(mended)
    }

    /// Lets lanes at a limit be looked at again, some at a time.
    async fn unblock_all(&self) -> Result<(), JobStoreError> {
        let mut after = Uuid::nil();
        loop {
            let query = Sql::new(
                self.backend(),
                "SELECT id AS found FROM lane WHERE is_blocked AND id > ",
            )
            .bind(after)
            .then(" ORDER BY id LIMIT ")
            .bind(MENDED);
            let blocked = Found::find_by_statement(query.build())
                .all(self.db.reader())
                .await?;
            let Some(last) = blocked.last() else {
                return Ok(());
            };
            after = last.found;
            let blocked = blocked.iter().map(|lane| lane.found);
            let tx = self.begin().await?;
            lock(&tx, blocked.clone()).await?;
            let update = Sql::new(
                self.backend(),
                "UPDATE lane SET is_blocked = FALSE WHERE is_blocked AND id",
            )
            .any_id(blocked);
            tx.execute_raw(update.build()).await?;
            tx.commit().await?;
        }
    }

    /// A job of each lane that has leasable jobs and is shut or missing.
    async fn shut_lanes(&self) -> Result<Vec<Uuid>, JobStoreError> {
        let query = Sql::new(
            self.backend(),
            "SELECT (SELECT id FROM job WHERE is_ready AND job.lane = ready.lane ORDER BY id LIMIT 1) AS found \
             FROM (SELECT DISTINCT lane FROM job WHERE is_ready) AS ready \
             WHERE NOT EXISTS (SELECT 1 FROM lane WHERE lane.id = ready.lane AND lane.is_open) LIMIT ",
        )
        .bind(MENDED);
        let found = Found::find_by_statement(query.build())
            .all(self.db.reader())
            .await?;
        Ok(found.into_iter().map(|job| job.found).collect())
    }

    /// Jobs of the older layout name no lane.
    async fn put_into_lanes(&self) -> Result<(), JobStoreError> {
        loop {
            let rows = job::Entity::find()
                .filter(job::Column::Lane.eq(Uuid::nil()))
                .limit(PROMOTED)
                .all(self.db.reader())
                .await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                let update = Sql::new(self.backend(), "UPDATE job SET lane = ")
                    .bind(lane_id(&row.model, row.class, &row.owner))
                    .then(" WHERE id = ")
                    .bind(row.id);
                self.db.writer().execute_raw(update.build()).await?;
            }
        }
    }
}
