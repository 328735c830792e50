//! Rows, and nothing but rows: domain values go in and come out.
//!
//! Every change of a job runs in one transaction: lock the row, apply a rule of
//! [`crate::domain::transition`], write the row back under the guard of its old `seq`, append the event.
//! The guard makes a lost update impossible even where a lock would be missing.

mod claim;
mod entity;
mod job;
mod removal;
mod rows;
mod running;
mod submit;
mod worker;

use std::sync::Arc;

use kinora_store::{Database, StoreError};
use sea_orm::DatabaseTransaction;

pub use claim::Claim;
pub use job::Change;
pub use removal::{DueRemoval, Removal};
pub use submit::{Previous, Submitted};
pub use worker::{Attachment, Reconciled};

/// The scheduler's tables. Cheap to clone.
#[derive(Clone, Debug)]
pub struct JobStore {
    db: Arc<Database>,
}

/// The database failed, or holds what this version cannot read.
#[derive(Debug, thiserror::Error)]
pub enum JobStoreError {
    /// The database did not do what was asked.
    #[error(transparent)]
    Database(#[from] StoreError),
    /// A row cannot be read.
    #[error("the row of {table} cannot be read: {problem}")]
    Row {
        /// Which table.
        table: &'static str,
        /// What is wrong with it, without its values.
        problem: String,
    },
    /// A row changed while it was locked.
    #[error("a job changed under its lock")]
    LostUpdate,
}

impl From<sea_orm::DbErr> for JobStoreError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Database(error.into())
    }
}

impl JobStore {
    /// Uses an open database whose schema is up to date.
    #[must_use]
    pub fn new(db: Database) -> Self {
        Self { db: Arc::new(db) }
    }

    async fn begin(&self) -> Result<DatabaseTransaction, JobStoreError> {
        Ok(self.db.begin().await?)
    }
}

#[cfg(test)]
mod tests;
