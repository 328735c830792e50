//! Rows: what other modules of the service change runs in transactions of this store.
//!
//! Locks are taken in this order, so that nobody waits in a circle: organisations, users, sessions, everything else.

pub mod audit;
pub mod audit_log;
pub mod codes;
pub mod ended;
pub mod endings;
pub mod entity;
pub mod erasure;
pub mod flows;
pub mod groups;
pub mod identities;
pub mod invitations;
pub mod keys;
pub mod lock;
pub mod members;
pub mod notices;
pub mod organisations;
pub mod outbox;
pub mod passkeys;
pub mod personal;
pub mod programs;
pub mod search;
pub mod second_factors;
pub mod sessions;
pub mod signing_keys;
pub mod subjects;
pub mod sweep;
pub mod terms;
pub mod throttles;
pub mod user_view;
pub mod users;

use kinora_store::{Database, StoreError};
use sea_orm::{DatabaseConnection, DatabaseTransaction};
use uuid::Uuid;

use crate::domain::Time;

/// The tables of the service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    db: Database,
}

impl Store {
    /// Uses an open database whose schema is up to date.
    #[must_use]
    pub const fn new(db: Database) -> Self {
        Self { db }
    }

    /// Begins a transaction. Dropped without a commit it changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        self.db.begin().await
    }

    /// For queries that write nothing.
    #[must_use]
    pub const fn reader(&self) -> &DatabaseConnection {
        self.db.reader()
    }

    /// Notes the use of an API key, unless that minute or a later one was noted before.
    ///
    /// # Errors
    /// [`StoreError`] when the database refuses it.
    pub async fn note_key_use(&self, id: Uuid, minute: Time) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        keys::note_use(&tx, id, minute).await?;
        Ok(tx.commit().await?)
    }

    /// Lets every query from now on fail.
    #[cfg(test)]
    pub(crate) async fn close(&self) {
        self.db.close().await.expect("closes");
    }
}
