//! Reading jobs.

use kinora_ids::JobId;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::entity::job_event;
use super::rows::{event_from_row, number};
use super::tables::{Jobs, by_id};
use super::{JobStore, JobStoreError};
use crate::domain::job::{Event, Job};

impl JobStore {
    /// Reads a job of `owner`.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn get(&self, owner: &str, id: JobId) -> Result<Option<Job>, JobStoreError> {
        let job = self.find(id).await?;
        Ok(job.filter(|job| job.owner == owner))
    }

    /// Reads a job of whomever.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn find(&self, id: JobId) -> Result<Option<Job>, JobStoreError> {
        // In this order: a job that ends between the looks is found by the second.
        for jobs in [Jobs::Hot, Jobs::Finished] {
            let mut found = jobs.read(self.db.reader(), by_id(id)).await?;
            if let Some(job) = found.pop() {
                return Ok(Some(job));
            }
        }
        Ok(None)
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
}
