//! Batches and sequences.

use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter};
use uuid::Uuid;

use super::entity::{job, job_group};
use super::rows::unreadable;
use super::tables::Jobs;
use super::{JobStore, JobStoreError};
use crate::domain::job::{Job, Time};

/// Jobs that were submitted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// UUIDv7.
    pub id: Uuid,
    /// Whose.
    pub owner: String,
    /// How its jobs belong together.
    pub kind: GroupKind,
    /// When it was accepted.
    pub create_time: Time,
}

/// How the jobs of a group belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// Side by side.
    Batch,
    /// One after the other; the last one is the result.
    Sequence,
}

impl JobStore {
    /// Reads a group of `owner` with those of its jobs that are left, in the order of submission.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn group(
        &self,
        owner: &str,
        id: Uuid,
    ) -> Result<Option<(Group, Vec<Job>)>, JobStoreError> {
        let found = job_group::Entity::find_by_id(id)
            .filter(job_group::Column::Owner.eq(owner))
            .one(self.db.reader())
            .await?;
        let Some(row) = found else {
            return Ok(None);
        };
        let query = job::Entity::find().filter(job::Column::GroupId.eq(id));
        let mut jobs = Jobs::Hot.read(self.db.reader(), query.clone()).await?;
        let ended = Jobs::Finished.read(self.db.reader(), query).await?;
        jobs.retain(|job| ended.iter().all(|other| other.id != job.id));
        jobs.extend(ended);
        jobs.sort_unstable_by_key(|job| job.group.map(|group| group.index));
        Ok(Some((from_row(row)?, jobs)))
    }
}

pub async fn insert(tx: &DatabaseTransaction, group: &Group) -> Result<(), JobStoreError> {
    let kind = match group.kind {
        GroupKind::Batch => "batch",
        GroupKind::Sequence => "sequence",
    };
    let row = job_group::Model {
        id: group.id,
        owner: group.owner.clone(),
        kind: kind.to_owned(),
        create_time: group.create_time,
    };
    job_group::Entity::insert(row.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

fn from_row(row: job_group::Model) -> Result<Group, JobStoreError> {
    let kind = match row.kind.as_str() {
        "batch" => GroupKind::Batch,
        "sequence" => GroupKind::Sequence,
        _ => return Err(unreadable("job_group", "the kind is unknown")),
    };
    Ok(Group {
        id: row.id,
        owner: row.owner,
        kind,
        create_time: row.create_time,
    })
}
