//! Tables of the scheduler.

mod m20261121_000001_jobs;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// Brings the scheduler's database up to date.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m20261121_000001_jobs::Migration)]
    }
}
