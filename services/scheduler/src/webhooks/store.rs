//! Rows of the webhooks. sea-orm is used here and not elsewhere in this module.

mod deliveries;
mod endpoints;
mod entity;
mod log;
pub mod outbox;
mod upkeep;

use kinora_store::Database;
use sea_orm::DatabaseTransaction;

use crate::store::JobStoreError;

pub use deliveries::{Due, Room};
pub use endpoints::{Changes, NewEndpoint};

/// The tables of the webhooks.
#[derive(Clone, Debug)]
pub struct WebhookStore {
    db: Database,
}

impl WebhookStore {
    /// Uses an open database whose schema is up to date.
    #[must_use]
    pub const fn new(db: Database) -> Self {
        Self { db }
    }

    async fn begin(&self) -> Result<DatabaseTransaction, JobStoreError> {
        Ok(self.db.begin().await?)
    }
}

fn unreadable(table: &'static str, problem: &str) -> JobStoreError {
    JobStoreError::Row {
        table,
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests;
