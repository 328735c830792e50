//! Tables of the accounts service.

mod m20261122_000001_people;
mod m20261122_000002_programs;
mod m20261122_000003_trust;
mod m20261122_000004_append_only;
mod m20261122_000005_factor_times;
mod m20261122_000006_initial_passwords;
mod m20261122_000007_notices;

use sea_orm_migration::prelude::{DbErr, Index, IndexCreateStatement};
use sea_orm_migration::sea_orm::DatabaseConnection;
use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// Brings the database of the accounts service up to date.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_people::Migration),
            Box::new(m20261122_000002_programs::Migration),
            Box::new(m20261122_000003_trust::Migration),
            Box::new(m20261122_000004_append_only::Migration),
            Box::new(m20261122_000005_factor_times::Migration),
            Box::new(m20261122_000006_initial_passwords::Migration),
            Box::new(m20261122_000007_notices::Migration),
        ]
    }
}

/// Brings the database of the accounts service up to date. Only one process may do so at a time.
///
/// # Errors
/// [`DbErr`] when the database refuses a statement or has migrations that this version does not know.
pub async fn migrate(connection: &DatabaseConnection) -> Result<(), DbErr> {
    Migrator::up(connection, None).await
}

/// An index over columns, named after them.
fn index(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create()
        .name(format!("{table}_{}", columns.join("_")))
        .table(table)
        .to_owned();
    for column in columns {
        index.col(*column);
    }
    index
}
