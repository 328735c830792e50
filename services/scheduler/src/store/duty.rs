//! Who does the upkeep: one replica at a time, and another when that one is gone.

use std::time::Duration;

use super::rows::after;
use super::sql::Sql;
use super::{JobStore, JobStoreError};
use crate::domain::job::Time;
use sea_orm::{ConnectionTrait, DbBackend};

impl JobStore {
    /// Takes or renews a duty for `ttl`. False while another holder has it.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn duty(
        &self,
        name: &str,
        holder: &str,
        now: Time,
        ttl: Duration,
    ) -> Result<bool, JobStoreError> {
        let upsert = Sql::new(
            self.backend(),
            "INSERT INTO duty (name, holder, until) VALUES (",
        )
        .bind(name)
        .then(", ")
        .bind(holder)
        .then(", ")
        .bind(after(now, ttl))
        .then(
            ") ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until \
                 WHERE duty.holder = excluded.holder OR duty.until <= ",
        )
        .bind(now);
        let written = self.db.writer().execute_raw(upsert.build()).await?;
        Ok(written.rows_affected() == 1)
    }

    /// Writes that somebody is at work, in the row of that name. It succeeds as long as anything can be written. Returns
    /// what time the database server has, where it has a clock.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn beat(
        &self,
        name: &str,
        holder: &str,
        now: Time,
    ) -> Result<Option<Time>, JobStoreError> {
        let upsert = Sql::new(
            self.backend(),
            "INSERT INTO duty (name, holder, until) VALUES (",
        )
        .bind(name)
        .then(", ")
        .bind(holder)
        .then(", ")
        .bind(now)
        .then(
            ") ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until",
        );
        if self.backend() == DbBackend::Sqlite {
            self.db.writer().execute_raw(upsert.build()).await?;
            return Ok(None);
        }
        let upsert = upsert.then(" RETURNING clock_timestamp() AS time");
        let row = self.db.writer().query_one_raw(upsert.build()).await?;
        Ok(row.map(|row| row.try_get("", "time")).transpose()?)
    }

    /// Gives a duty back, so that another replica need not wait for its end.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn give_up_duty(&self, name: &str, holder: &str) -> Result<(), JobStoreError> {
        let delete = Sql::new(self.backend(), "DELETE FROM duty WHERE name = ")
            .bind(name)
            .then(" AND holder = ")
            .bind(holder);
        self.db.writer().execute_raw(delete.build()).await?;
        Ok(())
    }
}
