//! Tables of the prompts service.

mod m20261122_000001_reviews;

use sea_orm_migration::prelude::DbErr;
use sea_orm_migration::sea_orm::DatabaseConnection;
use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// Brings the database of the prompts service up to date.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m20261122_000001_reviews::Migration)]
    }
}

/// Brings the database of the prompts service up to date. Only one process may do so at a time.
///
/// # Errors
/// [`DbErr`] when the database refuses a statement or has migrations that this version does not know.
pub async fn migrate(connection: &DatabaseConnection) -> Result<(), DbErr> {
    Migrator::up(connection, None).await
}
