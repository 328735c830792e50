//! The first jobs of a queue, for telling others where they stand.

use std::time::Duration;

use kinora_ids::JobId;
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::rows::{class_to_number, duration};
use super::sql::Sql;
use super::{JobStore, JobStoreError};
use crate::domain::job::Priority;

/// A job that may be leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyJob {
    /// The job.
    pub id: JobId,
    /// Whose.
    pub owner: String,
    /// Expected device time.
    pub estimated_cost: Duration,
}

impl JobStore {
    /// Reads the first `limit` jobs of a model and a class that may be leased, in the order of submission.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn ready_jobs(
        &self,
        model: &str,
        class: Priority,
        limit: u32,
    ) -> Result<Vec<ReadyJob>, JobStoreError> {
        #[derive(FromQueryResult)]
        struct Row {
            id: Uuid,
            owner: String,
            cost: i64,
        }
        let query = Sql::new(
            self.backend(),
            "SELECT id, owner, cost FROM job WHERE state = 'queued' AND is_ready AND model = ",
        )
        .bind(model)
        .then(" AND class = ")
        .bind(class_to_number(class))
        .then(" ORDER BY id LIMIT ")
        .bind(i64::from(limit));
        let rows = Row::find_by_statement(query.build())
            .all(self.db.reader())
            .await?;
        let ready = rows.into_iter().map(|row| ReadyJob {
            id: JobId::from_uuid(row.id),
            owner: row.owner,
            estimated_cost: duration(row.cost),
        });
        Ok(ready.collect())
    }
}
