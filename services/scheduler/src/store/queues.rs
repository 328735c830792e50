//! What waits, for operators and metrics.

use std::time::Duration;

use sea_orm::FromQueryResult;
use sea_orm::prelude::ChronoDateTimeUtc;

use super::rows::{class_from_number, count, duration};
use super::sql::Sql;
use super::{JobStore, JobStoreError};
use crate::domain::job::{Priority, Time};

/// The queued jobs of one model and class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueView {
    /// Empty for work that needs no model.
    pub model: String,
    /// The class.
    pub priority: Priority,
    /// How many wait.
    pub jobs: u64,
    /// Since when the first of them has waited.
    pub oldest: Time,
    /// Expected device time of all.
    pub device_time: Duration,
}

impl JobStore {
    /// Sums up the queues, by model and class. It reads every queued job: not for every request.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn queues(&self) -> Result<Vec<QueueView>, JobStoreError> {
        #[derive(FromQueryResult)]
        struct Row {
            model: String,
            class: i16,
            jobs: i64,
            oldest: ChronoDateTimeUtc,
            cost: i64,
        }
        let query = Sql::new(
            self.backend(),
            "SELECT model, class, COUNT(*) AS jobs, MIN(ready_at) AS oldest, \
             CAST(SUM(cost) AS BIGINT) AS cost FROM job WHERE state = 'queued' \
             GROUP BY model, class ORDER BY model, class",
        );
        let rows = Row::find_by_statement(query.build())
            .all(self.db.reader())
            .await?;
        let view = |row: Row| {
            Ok(QueueView {
                model: row.model,
                priority: class_from_number(row.class)?,
                jobs: count(row.jobs),
                oldest: row.oldest,
                device_time: duration(row.cost),
            })
        };
        rows.into_iter().map(view).collect()
    }
}
