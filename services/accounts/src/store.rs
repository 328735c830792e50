//! Rows: what other modules of the service change runs in transactions of this store.
//!
//! Locks are taken in this order, so that nobody waits in a circle: organisations, users, sessions, everything else.

pub mod audit;
pub mod audit_log;
pub mod ended;
pub mod endings;
pub mod entity;
pub mod erasure;
pub mod flows;
pub mod groups;
pub mod lock;
pub mod outbox;
pub mod people;
pub mod second_factors;
pub mod terms;
pub mod user_view;

use kinora_store::{Database, StoreError};
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbBackend};

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

    /// Which dialect is spoken.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.db.reader().get_database_backend()
    }
}
