//! Accepting a job once.

use kinora_ids::JobId;
use sea_orm::{EntityTrait, IntoActiveModel, TryInsertResult};
use uuid::Uuid;

use super::entity::{job, job_event, submission};
use super::removal::call_off_removal;
use super::rows::{event_to_row, job_to_row};
use super::{JobStore, JobStoreError};
use crate::domain::job::Job;
use crate::webhooks::outbox;

/// What a submission led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Submitted {
    /// The job is stored.
    Accepted,
    /// The request id has led to this job before.
    Known(Previous),
}

/// The earlier use of a request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// The job it led to.
    pub job: JobId,
    /// The body it came with.
    pub fingerprint: String,
}

impl JobStore {
    /// Finds what a request id of `owner` led to.
    ///
    /// # Errors
    /// [`JobStoreError::Database`].
    pub async fn previous(
        &self,
        owner: &str,
        request_id: &str,
    ) -> Result<Option<Previous>, JobStoreError> {
        let key = (owner.to_owned(), request_id.to_owned());
        let row = submission::Entity::find_by_id(key)
            .one(self.db.reader())
            .await?;
        Ok(row.map(|row| Previous {
            job: JobId::from_uuid(row.job_id),
            fingerprint: row.fingerprint,
        }))
    }

    /// Stores a job, its first event and its request id in one transaction, or nothing. `orphaned` is the removal
    /// that was planned for the job's pictures, should it not come to that; it is called off.
    ///
    /// # Errors
    /// [`JobStoreError::Database`]; [`JobStoreError::LostUpdate`] when the pictures are being removed already.
    pub async fn submit(
        &self,
        new: &Job,
        request: Option<(&str, &str)>,
        orphaned: Option<Uuid>,
    ) -> Result<Submitted, JobStoreError> {
        let tx = self.begin().await?;
        if let Some(removal) = orphaned
            && !call_off_removal(&tx, removal).await?
        {
            return Err(JobStoreError::LostUpdate);
        }
        let row = job_to_row(new)?.into_active_model();
        job::Entity::insert(row).exec_without_returning(&tx).await?;
        let event = event_to_row(&new.event(new.create_time))?.into_active_model();
        job_event::Entity::insert(event)
            .exec_without_returning(&tx)
            .await?;
        outbox::note(&tx, new, &new.event(new.create_time)).await?;
        if let Some((request_id, fingerprint)) = request {
            let row = submission::Model {
                owner: new.owner.clone(),
                request_id: request_id.to_owned(),
                fingerprint: fingerprint.to_owned(),
                job_id: new.id.as_uuid(),
            };
            // Waits for another transaction that holds the same key, and then sees its row.
            let inserted = submission::Entity::insert(row.into_active_model())
                .on_conflict_do_nothing()
                .exec_without_returning(&tx)
                .await?;
            let is_new = matches!(inserted, TryInsertResult::Inserted(rows) if rows > 0);
            if !is_new {
                tx.rollback().await?;
                return self.lost_race(&new.owner, request_id).await;
            }
        }
        tx.commit().await?;
        Ok(Submitted::Accepted)
    }

    async fn lost_race(&self, owner: &str, request_id: &str) -> Result<Submitted, JobStoreError> {
        match self.previous(owner, request_id).await? {
            Some(previous) => Ok(Submitted::Known(previous)),
            // The winner was deleted a moment ago.
            None => Err(JobStoreError::LostUpdate),
        }
    }
}
