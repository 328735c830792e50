//! Jobs, their events, the workers that run them, and the objects that are due for removal.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, boolean, integer, json_binary, json_binary_null, string_len, string_len_null,
    timestamp_with_time_zone, timestamp_with_time_zone_null, uuid,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            job(),
            job_event(),
            submission(),
            worker(),
            model(),
            object_deletion(),
        ] {
            manager.create_table(table).await?;
        }
        for index in indices() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "object_deletion",
            "model",
            "worker",
            "submission",
            "job_event",
            "job",
        ] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}

fn job() -> TableCreateStatement {
    Table::create()
        .table("job")
        .col(uuid("id").primary_key())
        .col(string_len("owner", 128))
        .col(string_len("state", 16))
        .col(string_len("model", 128))
        .col(json_binary("spec"))
        .col(json_binary("progress"))
        .col(json_binary("notes"))
        .col(json_binary_null("outputs"))
        .col(json_binary_null("failure"))
        .col(string_len_null("traceparent", 64))
        .col(integer("attempt"))
        .col(integer("failed_attempts"))
        .col(big_integer("lease"))
        .col(big_integer("seq"))
        .col(string_len_null("worker_id", 128))
        .col(timestamp_with_time_zone("run_at"))
        .col(timestamp_with_time_zone_null("deadline"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone_null("start_time"))
        .col(timestamp_with_time_zone_null("end_time"))
        .to_owned()
}

fn job_event() -> TableCreateStatement {
    Table::create()
        .table("job_event")
        .col(uuid("job_id"))
        .col(big_integer("seq"))
        .col(timestamp_with_time_zone("time"))
        .col(string_len("state", 16))
        .col(integer("attempt"))
        .col(json_binary("progress"))
        .col(json_binary_null("outputs"))
        .col(json_binary_null("failure"))
        .primary_key(Index::create().col("job_id").col("seq"))
        .foreign_key(&mut belongs_to_job("job_event"))
        .to_owned()
}

fn submission() -> TableCreateStatement {
    Table::create()
        .table("submission")
        .col(string_len("owner", 128))
        .col(string_len("request_id", 128))
        .col(string_len("fingerprint", 64))
        .col(uuid("job_id"))
        .primary_key(Index::create().col("owner").col("request_id"))
        .foreign_key(&mut belongs_to_job("submission"))
        .to_owned()
}

fn worker() -> TableCreateStatement {
    Table::create()
        .table("worker")
        .col(string_len("id", 128).primary_key())
        .col(uuid("session"))
        .col(string_len("version", 64))
        .col(string_len("device", 128))
        .col(integer("slots"))
        .col(json_binary("models"))
        .col(boolean("draining"))
        .col(timestamp_with_time_zone("attached_at"))
        .col(timestamp_with_time_zone("seen_at"))
        .to_owned()
}

fn model() -> TableCreateStatement {
    Table::create()
        .table("model")
        .col(string_len("id", 128).primary_key())
        .col(json_binary("card"))
        .col(timestamp_with_time_zone("announced_at"))
        .to_owned()
}

fn object_deletion() -> TableCreateStatement {
    Table::create()
        .table("object_deletion")
        .col(uuid("id").primary_key())
        .col(string_len("prefix", 128))
        .col(timestamp_with_time_zone("not_before"))
        .col(integer("attempts"))
        .to_owned()
}

fn belongs_to_job(table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from(table, "job_id")
        .to("job", "id")
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}

fn indices() -> Vec<IndexCreateStatement> {
    let index =
        |name: &str, table: &'static str| Index::create().name(name).table(table).to_owned();
    vec![
        // Dispatch, in the order of submission; finished jobs do not weigh on it.
        index("job_queued", "job")
            .col("id")
            .and_where(Expr::col("state").eq("queued"))
            .to_owned(),
        index("job_running", "job")
            .col("worker_id")
            .and_where(Expr::col("state").eq("running"))
            .to_owned(),
        index("job_owner", "job").col("owner").col("id").to_owned(),
        index("submission_job", "submission")
            .col("job_id")
            .to_owned(),
        index("object_deletion_due", "object_deletion")
            .col("not_before")
            .to_owned(),
    ]
}
