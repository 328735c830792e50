//! Tables of the billing service.

mod m20261122_000001_ledger;
mod m20261122_000002_append_only;
mod m20261122_000010_vouchers;
mod m20261122_000020_payments;
mod m20261122_000030_one_audit;
mod m20261122_000031_told_alerts;

use sea_orm_migration::prelude::DbErr;
use sea_orm_migration::sea_orm::DatabaseConnection;
use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// Brings the database of the billing service up to date.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_ledger::Migration),
            Box::new(m20261122_000002_append_only::Migration),
            Box::new(m20261122_000010_vouchers::Migration),
            Box::new(m20261122_000020_payments::Migration),
            Box::new(m20261122_000030_one_audit::Migration),
            Box::new(m20261122_000031_told_alerts::Migration),
        ]
    }
}

/// Brings the database of the billing service up to date. Only one process may do so at a time.
///
/// # Errors
/// [`DbErr`] when the database refuses a statement or has migrations that this version does not know.
pub async fn migrate(connection: &DatabaseConnection) -> Result<(), DbErr> {
    Migrator::up(connection, None).await
}
