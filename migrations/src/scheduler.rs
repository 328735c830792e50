//! Tables of the scheduler.

mod m20261121_000001_jobs;
mod m20261121_000002_checkpoints;
mod m20261121_000003_lanes;
mod m20261121_000004_webhooks;
mod m20261122_000005_settlements;
mod m20261122_000006_uploads;

use sea_orm_migration::prelude::DbErr;
use sea_orm_migration::sea_orm::DatabaseConnection;
use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// Brings the scheduler's database up to date.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_jobs::Migration),
            Box::new(m20261121_000002_checkpoints::Migration),
            Box::new(m20261121_000003_lanes::Migration),
            Box::new(m20261121_000004_webhooks::Migration),
            Box::new(m20261122_000005_settlements::Migration),
            Box::new(m20261122_000006_uploads::Migration),
        ]
    }
}

/// Brings the scheduler's database up to date. Only one process may do so at a time.
///
/// # Errors
/// [`DbErr`] when the database refuses a statement or has migrations that this version does not know.
pub async fn migrate(connection: &DatabaseConnection) -> Result<(), DbErr> {
    Migrator::up(connection, None).await
}
