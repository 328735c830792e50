//! Prompts that a person has to look at.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    integer, string_len, string_len_null, text, timestamp_with_time_zone,
    timestamp_with_time_zone_null, uuid,
};

/// One entry for the same texts of the same owner.
const INDICES: [&str; 4] = [
    "CREATE UNIQUE INDEX reviews_owner_digest ON reviews (owner, digest)",
    "CREATE INDEX reviews_status ON reviews (status, id)",
    "CREATE INDEX reviews_pending ON reviews (owner) WHERE status = 'pending'",
    "CREATE INDEX reviews_purge_time ON reviews (purge_time)",
];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(reviews()).await?;
        for sql in INDICES {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("reviews").to_owned())
            .await
    }
}

fn reviews() -> TableCreateStatement {
    Table::create()
        .table("reviews")
        .col(uuid("id").primary_key())
        .col(string_len("owner", 128))
        // Of the texts, in hexadecimal.
        .col(string_len("digest", 64))
        // `pending`, `approved` or `refused`.
        .col(string_len("status", 16))
        // What was written and what was found, as JSON.
        .col(text("texts"))
        .col(text("findings"))
        .col(integer("requests"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone_null("decide_time"))
        .col(string_len_null("decided_by", 64))
        .col(text("note"))
        .col(timestamp_with_time_zone("purge_time"))
        .to_owned()
}
