//! The months of ended jobs on PostgreSQL: ids sort by time, so that a range of them is a month.

use chrono::{Datelike, Months, NaiveDate};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend};
use uuid::Uuid;

use super::sql::Sql;
use super::{JobStore, JobStoreError};
use crate::domain::job::Time;

/// Months without jobs are dropped when they are over for as many.
const KEPT_EMPTY: u32 = 2;

/// Months before the present one that are looked at.
const LOOKED_AT: u32 = 36;

impl JobStore {
    /// What a store needs before it is used and now and then: tables for the months to come, and sound lanes.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn prepare(&self, now: Time) -> Result<(), JobStoreError> {
        self.keep_months(now).await?;
        self.mend_lanes().await?;
        Ok(())
    }

    /// Makes tables for the jobs of this month and the next, and drops those of old months that have become empty.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn keep_months(&self, now: Time) -> Result<(), JobStoreError> {
        if self.backend() != DbBackend::Postgres {
            return Ok(());
        }
        let this = NaiveDate::from_ymd_opt(now.year(), now.month(), 1);
        let Some(this) = this else {
            return Ok(());
        };
        for ahead in 0..2 {
            if let Some(month) = this.checked_add_months(Months::new(ahead)) {
                self.make_month(month).await?;
            }
        }
        for back in KEPT_EMPTY..LOOKED_AT {
            if let Some(month) = this.checked_sub_months(Months::new(back)) {
                self.drop_month(month).await?;
            }
        }
        Ok(())
    }

    async fn make_month(&self, month: NaiveDate) -> Result<(), JobStoreError> {
        let name = name_of(month);
        let Some(end) = month.checked_add_months(Months::new(1)) else {
            return Ok(());
        };
        if self.has_table(&name).await? {
            return Ok(());
        }
        let (from, to) = (first_id(month), first_id(end));
        let tx = self.begin().await?;
        // Replicas take turns; jobs that end meanwhile wait for a moment.
        lock(&tx).await?;
        if !has_table(&tx, &name).await? {
            for sql in [
                format!("CREATE TABLE {name} (LIKE finished_job INCLUDING DEFAULTS)"),
                format!(
                    "WITH moved AS (DELETE FROM finished_job_default WHERE id >= '{from}' AND id < '{to}' RETURNING *) \
                     INSERT INTO {name} SELECT * FROM moved"
                ),
                format!(
                    "ALTER TABLE finished_job ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')"
                ),
            ] {
                tx.execute_unprepared(&sql).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    async fn drop_month(&self, month: NaiveDate) -> Result<(), JobStoreError> {
        let name = name_of(month);
        if !self.has_table(&name).await? {
            return Ok(());
        }
        let any = format!("SELECT 1 AS found FROM {name} LIMIT 1");
        let any = Sql::new(DbBackend::Postgres, &any).build();
        if self.db.reader().query_one_raw(any.clone()).await?.is_some() {
            return Ok(());
        }
        let tx = self.begin().await?;
        lock(&tx).await?;
        if has_table(&tx, &name).await? && tx.query_one_raw(any).await?.is_none() {
            tx.execute_unprepared(&format!("DROP TABLE {name}")).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn has_table(&self, name: &str) -> Result<bool, JobStoreError> {
        has_table(self.db.reader(), name).await
    }
}

/// Locks the table, unless somebody reads it for long: every job that ends would wait in line behind us.
async fn lock(tx: &DatabaseTransaction) -> Result<(), JobStoreError> {
    tx.execute_unprepared("SET LOCAL lock_timeout = '500ms'")
        .await?;
    tx.execute_unprepared("LOCK TABLE finished_job IN ACCESS EXCLUSIVE MODE")
        .await?;
    Ok(())
}

async fn has_table(db: &impl ConnectionTrait, name: &str) -> Result<bool, JobStoreError> {
    let query = Sql::new(
        DbBackend::Postgres,
        "SELECT 1 AS found FROM pg_catalog.pg_class WHERE oid = to_regclass(",
    )
    .bind(name)
    .then(")");
    Ok(db.query_one_raw(query.build()).await?.is_some())
}

fn name_of(month: NaiveDate) -> String {
    format!("finished_job_{:04}_{:02}", month.year(), month.month())
}

/// The lowest UUIDv7 of a day.
fn first_id(day: NaiveDate) -> Uuid {
    first_id_at(day.and_time(chrono::NaiveTime::MIN).and_utc())
}

/// The lowest UUIDv7 of a millisecond; of the first or the last one there is for times beyond.
pub fn first_id_at(time: Time) -> Uuid {
    let millis = u128::try_from(time.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(millis.min((1 << 48) - 1) << 80)
}
