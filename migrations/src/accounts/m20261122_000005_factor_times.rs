//! When the second factor of a session was shown, beside the time of the first.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::timestamp_with_time_zone_null;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // None for sessions from before: they are as fresh as their `auth_time` says.
        let add = Table::alter()
            .table("session")
            .add_column(timestamp_with_time_zone_null("second_factor_time"))
            .to_owned();
        manager.alter_table(add).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Table::alter()
            .table("session")
            .drop_column("second_factor_time")
            .to_owned();
        manager.alter_table(drop).await
    }
}
