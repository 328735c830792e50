//! Rows: what other modules of the service change runs in transactions of this store.
//!
//! A transaction that moves a payer's credits locks the payer's row first ([`payers::lock`]), and several in the order of
//! their keys; so nobody waits in a circle, and what is read of a locked payer stays true until the end.

pub mod alerts;
pub mod audit;
pub mod campaigns;
pub mod check;
pub mod checkouts;
pub mod disputes;
pub mod entitlements;
pub mod entity;
pub mod grants;
pub mod holds;
pub mod ledger;
pub mod payers;
pub mod payment_check;
pub mod payment_lists;
pub mod payment_rows;
pub mod plans;
pub mod prices;
pub mod receipts;
pub mod redemptions;
pub mod rules;
pub mod spend;
pub mod stripe_cursors;
pub mod stripe_customers;
pub mod stripe_events;
pub mod stripe_movements;
pub mod stripe_objects;
pub mod subscriptions;
pub mod usage;
pub mod voucher_tries;
pub mod vouchers;
pub mod windows;

use kinora_store::{Database, StoreError};
use sea_orm::{DatabaseConnection, DatabaseTransaction};

use crate::domain::credits::Credits;
use crate::error::Error;

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

    /// Begins a transaction that writes nothing, and whose queries all see the same moment.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn snapshot(&self) -> Result<DatabaseTransaction, StoreError> {
        self.db.snapshot().await
    }

    /// For single queries that write nothing.
    #[must_use]
    pub const fn reader(&self) -> &DatabaseConnection {
        self.db.reader()
    }
}

/// An amount from a column that holds no negative one.
///
/// # Errors
/// [`Error::Broken`] when it is negative.
pub(crate) fn credits(value: i64) -> Result<Credits, Error> {
    Credits::new(value).ok_or_else(|| Error::Broken(format!("{value} is no amount of credits")))
}

#[cfg(test)]
mod carried;
