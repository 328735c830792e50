//! Which alerts of soft caps have been told, and when the others are tried.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{integer, timestamp_with_time_zone_null};
use sea_orm_migration::sea_orm::ConnectionTrait;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All or nothing on SQLite, too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in columns() {
            // SQLite adds one column a statement.
            let add = Table::alter()
                .table("spend_alerts")
                .add_column(column)
                .to_owned();
            manager.alter_table(add).await?;
        }
        let db = manager.get_connection();
        // Nobody wants a mail about last month.
        db.execute_unprepared("UPDATE spend_alerts SET told_time = create_time")
            .await?;
        db.execute_unprepared(INDEX).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared("DROP INDEX spend_alerts_due").await?;
        for column in ["next_attempt_time", "attempts", "told_time"] {
            let drop = Table::alter()
                .table("spend_alerts")
                .drop_column(column)
                .to_owned();
            manager.alter_table(drop).await?;
        }
        Ok(())
    }
}

/// What is told, which is most of it, is not in it.
const INDEX: &str = "CREATE INDEX spend_alerts_due ON spend_alerts (next_attempt_time) WHERE next_attempt_time IS NOT NULL";

fn columns() -> [ColumnDef; 3] {
    [
        timestamp_with_time_zone_null("told_time"),
        integer("attempts").default(0).to_owned(),
        // Null for one that was told or is given up.
        timestamp_with_time_zone_null("next_attempt_time"),
    ]
}
