//! The running jobs of some owners.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::entity::job;
use super::rows::state_to_text;
use super::tables::Jobs;
use super::{JobStore, JobStoreError};
use crate::domain::job::{Job, State};

impl JobStore {
    /// Reads up to `limit` running jobs of `owners`, in no order.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn running_of(
        &self,
        owners: &[String],
        limit: u64,
    ) -> Result<Vec<Job>, JobStoreError> {
        let query = job::Entity::find()
            .filter(job::Column::State.eq(state_to_text(State::Running)))
            .filter(job::Column::Owner.is_in(owners))
            .limit(limit);
        Jobs::Hot.read_readable(self.db.reader(), query).await
    }
}
