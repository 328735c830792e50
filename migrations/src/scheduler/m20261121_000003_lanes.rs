//! A small hot table of jobs that have not ended, a table of those that have, and what the fair queue needs.
//!
//! Jobs of the older layout are carried over. The way back is not: jobs would lose what the older layout cannot hold.

mod carry;
mod tables;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All or nothing on SQLite, too: half of it could neither go on nor be begun again.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        carry::set_aside(manager).await?;
        for table in tables::tables() {
            manager.create_table(table).await?;
        }
        finished_job(manager).await?;
        for index in tables::indices() {
            manager.create_index(index).await?;
        }
        for column in tables::worker_columns() {
            // SQLite adds one column a statement.
            let add = Table::alter().table("worker").add_column(column).to_owned();
            manager.alter_table(add).await?;
        }
        if manager.get_database_backend() == DbBackend::Postgres {
            tune(manager).await?;
        }
        carry::over(manager).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        let problem = "the older layout cannot hold what jobs have become; restore a backup";
        Err(DbErr::Migration(problem.to_owned()))
    }
}

/// PostgreSQL keeps ended jobs by month, so that old months go without a trace; until a month has a table of its
/// own, its jobs lie in the default one.
async fn finished_job(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = tables::job("finished_job");
    if manager.get_database_backend() != DbBackend::Postgres {
        return manager.create_table(table).await;
    }
    let sql = table.to_string(PostgresQueryBuilder);
    let db = manager.get_connection();
    db.execute_unprepared(&format!("{sql} PARTITION BY RANGE (id)"))
        .await?;
    let default = "CREATE TABLE finished_job_default PARTITION OF finished_job DEFAULT";
    db.execute_unprepared(default).await?;
    Ok(())
}

/// Rows change often and die soon: room for updates in place, and an early vacuum.
async fn tune(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    for table in ["job", "lane", "worker", "queue"] {
        let sql = format!(
            "ALTER TABLE {table} SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, \
             autovacuum_vacuum_cost_delay = 0)"
        );
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}
