//! Notices that other services had people told, so that each is told once however often it is asked for.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{timestamp_with_time_zone, uuid};

use super::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(notice()).await?;
        manager
            .create_index(index("notice", &["create_time"]))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("notice").to_owned())
            .await
    }
}

fn notice() -> TableCreateStatement {
    Table::create()
        .table("notice")
        // Chosen by who asks.
        .col(uuid("id").primary_key())
        .col(timestamp_with_time_zone("create_time"))
        .to_owned()
}
