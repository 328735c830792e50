//! Rows, and nothing but rows: domain values go in and come out.
//!
//! Every change of a job runs in one transaction: lock the row, apply a rule of
//! [`crate::domain::transition`], write the row back under the guard of its old `seq`, append the event.
//! The guard makes a lost update impossible even where a lock would be missing.
//!
//! `job` holds jobs that have not ended; the transaction that ends a job moves it to `finished_job`. Locks are taken in
//! this order, so that nobody waits in a circle: workers, jobs that are being changed (those that are needed before
//! those that wait), tenants, owners, jobs that are being leased (without waiting), lanes, groups. A settlement is made with
//! the end of its job, and locked afterwards before the ended job or alone.

mod attempts;
mod change;
mod claim;
mod duty;
mod entity;
mod events;
mod groups;
mod held;
mod hooks;
mod job;
mod lanes;
mod lapsed;
mod listing;
mod load;
mod months;
mod needs;
mod pace;
mod purge;
mod queues;
mod ready;
mod removal;
mod rows;
mod running;
mod settlements;
mod shares;
mod snapshot;
mod sql;
mod submit;
mod tables;
mod worker;
mod worker_list;

use std::sync::Arc;

use kinora_store::{Database, StoreError};
use sea_orm::{DatabaseTransaction, DbBackend};

pub use attempts::Attempt;
pub use change::{Change, Deleted, Outcome};
pub use groups::{Group, GroupKind};
pub use held::Compared;
pub use lapsed::Lapsed;
pub use listing::Stretch;
pub use pace::Pace;
pub use queues::QueueView;
pub use ready::ReadyJob;
pub use removal::{DueRemoval, Removal};
pub use rows::model_of;
pub use settlements::DueSettlement;
pub use shares::{Caps, Tenant, TenantChange};
pub use submit::{LimitHit, Limits, Previous, Request, Reservation, Submitted};
pub use worker::{Attachment, Offer, Reconciled};
pub use worker_list::{DeviceState, Wishes, WorkerRow};

pub use crate::policy::Bounds;

/// The scheduler's tables. Cheap to clone.
#[derive(Clone, Debug)]
pub struct JobStore {
    db: Arc<Database>,
    caps: Caps,
    depths: Arc<submit::Depths>,
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
        Self {
            db: Arc::new(db),
            caps: Caps::default(),
            depths: Arc::default(),
        }
    }

    /// With limits for tenants and owners that have none of their own.
    #[must_use]
    pub fn with_caps(self, caps: Caps) -> Self {
        Self { caps, ..self }
    }

    async fn begin(&self) -> Result<DatabaseTransaction, JobStoreError> {
        Ok(self.db.begin().await?)
    }

    fn backend(&self) -> DbBackend {
        self.db.reader().get_database_backend()
    }
}

#[cfg(test)]
mod tests;
