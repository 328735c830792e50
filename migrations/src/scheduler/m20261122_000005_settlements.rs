//! Credits that are held for jobs, and what is still to be said about them to billing.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, boolean, integer, string_len, string_len_null,
    timestamp_with_time_zone, timestamp_with_time_zone_null, uuid,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All or nothing on SQLite, too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["job", "finished_job"] {
            let add = Table::alter()
                .table(table)
                .add_column(big_integer_null("held_credits"))
                .to_owned();
            manager.alter_table(add).await?;
        }
        manager.create_table(settlement()).await?;
        for index in indices() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("settlement").to_owned())
            .await?;
        let held = Index::drop().name("finished_job_held").to_owned();
        manager.drop_index(held).await?;
        for table in ["job", "finished_job"] {
            let drop = Table::alter()
                .table(table)
                .drop_column("held_credits")
                .to_owned();
            manager.alter_table(drop).await?;
        }
        Ok(())
    }
}

/// A row a hold whose end is known. One that is planned belongs to a job that is about to be stored.
fn settlement() -> TableCreateStatement {
    Table::create()
        .table("settlement")
        .col(uuid("job_id").primary_key())
        .col(string_len("action", 16))
        .col(big_integer("lease"))
        .col(big_integer("credits"))
        .col(boolean("is_planned"))
        // The request that is being made, so that it is made once at a time. Null afterwards.
        .col(string_len_null("owner", 128))
        .col(string_len_null("request", 192))
        .col(integer("attempts"))
        .col(timestamp_with_time_zone("next_at"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone_null("end_time"))
        // Why billing will not have it, however often it is told. Null unless it was set aside.
        .col(string_len_null("failure", 64))
        .to_owned()
}

fn indices() -> Vec<IndexCreateStatement> {
    let index =
        |name: &str, table: &'static str| Index::create().name(name).table(table).to_owned();
    let is = |condition: &'static str| Expr::cust(condition);
    vec![
        index("settlement_due", "settlement")
            .col("next_at")
            .and_where(is("end_time IS NULL"))
            .to_owned(),
        index("settlement_over", "settlement")
            .col("end_time")
            .and_where(is("end_time IS NOT NULL"))
            .to_owned(),
        index("settlement_set_aside", "settlement")
            .col("job_id")
            .and_where(is("failure IS NOT NULL"))
            .to_owned(),
        // Rows without a request are no duplicates of each other.
        index("settlement_request", "settlement")
            .col("owner")
            .col("request")
            .unique()
            .to_owned(),
        // Ended jobs whose hold is not settled: few, and soon none.
        index("finished_job_held", "finished_job")
            .col("id")
            .and_where(is("held_credits IS NOT NULL"))
            .to_owned(),
    ]
}
