//! Endpoints that are told of events, the messages for them, and how the deliveries went.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, boolean, integer, small_integer, small_integer_null, string_len, text, text_null,
    timestamp_with_time_zone, timestamp_with_time_zone_null, uuid, uuid_null,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [endpoint(), message(), delivery(), pass()] {
            manager.create_table(table).await?;
        }
        for index in indices() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "webhook_pass",
            "webhook_delivery",
            "webhook_message",
            "webhook_endpoint",
        ] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}

fn endpoint() -> TableCreateStatement {
    Table::create()
        .table("webhook_endpoint")
        .col(uuid("id").primary_key())
        .col(string_len("owner", 128))
        // A place among the owner's few. Null once the job it is bound to has ended.
        .col(small_integer_null("slot"))
        .col(text("url"))
        .col(integer("events"))
        .col(boolean("wants_progress"))
        .col(uuid_null("job_id"))
        .col(text("secret"))
        .col(text_null("former_secret"))
        .col(boolean("enabled"))
        .col(integer("consecutive_failures"))
        .col(integer("openings"))
        .col(timestamp_with_time_zone_null("paused_until"))
        // When a deliverer has to look at it. Null while nothing waits.
        .col(timestamp_with_time_zone_null("next_due"))
        .col(timestamp_with_time_zone_null("expire_time"))
        .col(timestamp_with_time_zone("create_time"))
        .to_owned()
}

fn message() -> TableCreateStatement {
    Table::create()
        .table("webhook_message")
        .col(uuid("id").primary_key())
        .col(string_len("owner", 128))
        .col(uuid("job_id"))
        .col(big_integer("seq"))
        .col(small_integer("event"))
        .col(text("body"))
        .col(timestamp_with_time_zone("create_time"))
        .col(boolean("is_relayed"))
        .to_owned()
}

fn delivery() -> TableCreateStatement {
    Table::create()
        .table("webhook_delivery")
        .col(uuid("id").primary_key())
        .col(uuid("endpoint_id"))
        .col(string_len("owner", 128))
        .col(uuid("message_id"))
        .col(uuid("job_id"))
        .col(small_integer("event"))
        .col(small_integer("state"))
        .col(integer("attempts"))
        .col(integer("failures"))
        .col(integer("last_status"))
        .col(string_len("last_error", 128))
        .col(boolean("is_leased"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone("next_attempt_time"))
        .col(timestamp_with_time_zone_null("last_attempt_time"))
        .col(timestamp_with_time_zone("give_up_time"))
        .foreign_key(&mut belongs_to("endpoint_id", "webhook_endpoint"))
        .foreign_key(&mut belongs_to("message_id", "webhook_message"))
        .to_owned()
}

fn pass() -> TableCreateStatement {
    Table::create()
        .table("webhook_pass")
        .col(string_len("name", 32).primary_key())
        .col(timestamp_with_time_zone("next_time"))
        .to_owned()
}

fn belongs_to(column: &'static str, table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from("webhook_delivery", column)
        .to(table, "id")
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}

fn indices() -> Vec<IndexCreateStatement> {
    let index = |name: &str, table: &'static str, columns: &[&'static str]| {
        let mut index = Index::create().name(name).table(table).to_owned();
        for column in columns {
            index.col(*column);
        }
        index
    };
    let deliveries = "webhook_delivery";
    let is_pending = || Expr::col("state").eq(0);
    vec![
        index(
            "webhook_endpoint_slot",
            "webhook_endpoint",
            &["owner", "slot"],
        )
        .unique()
        .to_owned(),
        // Read in the transaction of every event.
        index(
            "webhook_endpoint_owner",
            "webhook_endpoint",
            &["owner", "job_id"],
        ),
        index("webhook_endpoint_due", "webhook_endpoint", &["next_due"])
            .and_where(Expr::col("enabled").eq(true))
            .to_owned(),
        // Read every few seconds; most endpoints do not want progress.
        index("webhook_endpoint_progress", "webhook_endpoint", &["id"])
            .and_where(Expr::col("wants_progress").eq(true))
            .to_owned(),
        index(
            "webhook_endpoint_expiry",
            "webhook_endpoint",
            &["expire_time"],
        )
        .and_where(Expr::col("expire_time").is_not_null())
        .to_owned(),
        index(
            "webhook_message_event",
            "webhook_message",
            &["job_id", "seq"],
        )
        .unique()
        .to_owned(),
        index("webhook_message_new", "webhook_message", &["id"])
            .and_where(Expr::col("is_relayed").eq(false))
            .to_owned(),
        // A message reaches an endpoint once.
        index(
            "webhook_delivery_once",
            deliveries,
            &["endpoint_id", "message_id"],
        )
        .unique()
        .to_owned(),
        index("webhook_delivery_message", deliveries, &["message_id"]),
        index("webhook_delivery_log", deliveries, &["endpoint_id", "id"]),
        index(
            "webhook_delivery_due",
            deliveries,
            &["endpoint_id", "next_attempt_time"],
        )
        .and_where(is_pending())
        .to_owned(),
        index("webhook_delivery_given_up", deliveries, &["give_up_time"])
            .and_where(is_pending())
            .to_owned(),
        index(
            "webhook_delivery_leased",
            deliveries,
            &["owner", "endpoint_id"],
        )
        .and_where(Expr::col("is_leased").eq(true))
        .to_owned(),
    ]
}
