//! Customers, checkouts, receipts, subscriptions and disputes at Stripe, the inbox of its events, and the mirror of its
//! movements of money.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, boolean, integer, small_integer, string_len, string_len_null, text_null,
    timestamp_with_time_zone, timestamp_with_time_zone_null, uuid, uuid_null,
};

/// Of a payer's key: `user:<uuid>` or `org:<uuid>`.
const PAYER: u32 = 64;

/// Of one of Stripe's objects.
const STRIPE_ID: u32 = 255;

/// `pack:<name>` or `plan:<name>`.
const ITEM: u32 = 70;

const CURRENCY: u32 = 3;

/// In the order in which they are made.
const NAMES: [&str; 9] = [
    "stripe_customers",
    "checkouts",
    "receipts",
    "subscriptions",
    "disputes",
    "stripe_objects",
    "stripe_events",
    "stripe_movements",
    "stripe_cursors",
];

const INDICES: [&str; 10] = [
    "CREATE INDEX checkouts_payer ON checkouts (payer, create_time)",
    "CREATE INDEX receipts_payer ON receipts (payer, seq)",
    "CREATE INDEX receipts_seq ON receipts (seq)",
    "CREATE INDEX receipts_payment ON receipts (payment)",
    "CREATE INDEX subscriptions_payer ON subscriptions (payer)",
    "CREATE INDEX disputes_receipt ON disputes (receipt)",
    "CREATE INDEX disputes_payer ON disputes (payer)",
    "CREATE INDEX stripe_events_waiting ON stripe_events (next_time, id) WHERE done_time IS NULL",
    "CREATE INDEX stripe_events_object ON stripe_events (object) WHERE done_time IS NULL",
    "CREATE INDEX stripe_movements_receipt ON stripe_movements (receipt) WHERE receipt IS NOT NULL",
];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // A dispute freezes a payer beside what operators do.
        let disputed = ColumnDef::new("is_disputed")
            .boolean()
            .not_null()
            .default(false)
            .to_owned();
        let payers = Table::alter()
            .table("payers")
            .add_column(disputed)
            .to_owned();
        manager.alter_table(payers).await?;
        for table in [
            customers(),
            checkouts(),
            receipts(),
            subscriptions(),
            disputes(),
            objects(),
            events(),
            movements(),
            cursors(),
        ] {
            manager.create_table(table).await?;
        }
        for index in INDICES {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in NAMES.iter().rev() {
            manager
                .drop_table(Table::drop().table(*table).to_owned())
                .await?;
        }
        let payers = Table::alter()
            .table("payers")
            .drop_column("is_disputed")
            .to_owned();
        manager.alter_table(payers).await
    }
}

/// Who a payer is at Stripe.
fn customers() -> TableCreateStatement {
    Table::create()
        .table("stripe_customers")
        .col(string_len("payer", PAYER).primary_key())
        .col(string_len("customer", STRIPE_ID))
        .col(timestamp_with_time_zone("create_time"))
        .to_owned()
}

fn checkouts() -> TableCreateStatement {
    Table::create()
        .table("checkouts")
        // UUIDv5 of the payer and the request id. Stripe knows it as the reference and in the metadata.
        .col(uuid("id").primary_key())
        .col(string_len("payer", PAYER))
        .col(uuid("user_id"))
        .col(string_len("item", ITEM))
        // As they were when it was opened: what is sold stays what was offered.
        .col(big_integer("credits"))
        .col(integer("valid_days"))
        .col(big_integer("price"))
        .col(string_len("currency", CURRENCY))
        // 1 open, 2 processing, 3 paid, 4 expired.
        .col(small_integer("state"))
        // Unset until Stripe has answered.
        .col(string_len_null("session", STRIPE_ID))
        .col(text_null("url"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone_null("expire_time"))
        .check(Expr::col("credits").gte(1))
        .check(Expr::col("price").gte(1))
        .to_owned()
}

/// Payments and the credits that they gave.
fn receipts() -> TableCreateStatement {
    Table::create()
        .table("receipts")
        // Stripe's, of a pack's payment or of a plan's invoice.
        .col(string_len("id", STRIPE_ID).primary_key())
        // UUIDv7: the order in which they are shown.
        .col(uuid("seq"))
        .col(string_len("payer", PAYER))
        .col(uuid_null("checkout_id"))
        .col(string_len("item", ITEM))
        .col(big_integer("credits"))
        // None when it gave no credits.
        .col(uuid_null("grant_id"))
        .col(big_integer("paid"))
        .col(big_integer("refunded"))
        .col(big_integer("disputed"))
        .col(string_len("currency", CURRENCY))
        // Credits that were taken back, less those that were given back again.
        .col(big_integer("taken"))
        // Counts takings and givings back, which their keys have.
        .col(integer("turns"))
        .col(string_len_null("payment", STRIPE_ID))
        .col(string_len_null("subscription", STRIPE_ID))
        .col(string_len_null("invoice_number", 100))
        .col(text_null("invoice_url"))
        .col(timestamp_with_time_zone("create_time"))
        .check(Expr::col("credits").gte(0))
        .check(Expr::col("taken").gte(0))
        .check(Expr::col("taken").lte(Expr::col("credits")))
        .to_owned()
}

fn subscriptions() -> TableCreateStatement {
    Table::create()
        .table("subscriptions")
        .col(string_len("id", STRIPE_ID).primary_key())
        .col(string_len("payer", PAYER))
        .col(string_len("plan", 64))
        // 1 incomplete, 2 active, 3 past due, 4 suspended, 5 ended.
        .col(small_integer("status"))
        .col(timestamp_with_time_zone("period_start"))
        .col(timestamp_with_time_zone("period_end"))
        .col(boolean("ends_with_period"))
        .col(timestamp_with_time_zone("create_time"))
        .to_owned()
}

fn disputes() -> TableCreateStatement {
    Table::create()
        .table("disputes")
        .col(string_len("id", STRIPE_ID).primary_key())
        .col(string_len("payer", PAYER))
        .col(string_len("receipt", STRIPE_ID))
        // 1 the money is here, 2 the bank has it, 3 it came back, 4 it is gone.
        .col(small_integer("state"))
        .col(big_integer("amount"))
        .col(string_len("currency", CURRENCY))
        .col(string_len("reason", 100))
        // An operator has let the payer go on.
        .col(boolean("is_settled"))
        .col(timestamp_with_time_zone("create_time"))
        .to_owned()
}

/// How often what is kept of one of Stripe's objects was changed: what was fetched before the last change is not written
/// over what was fetched after it.
fn objects() -> TableCreateStatement {
    Table::create()
        .table("stripe_objects")
        .col(string_len("id", STRIPE_ID).primary_key())
        .col(big_integer("revision"))
        .to_owned()
}

/// The inbox.
fn events() -> TableCreateStatement {
    Table::create()
        .table("stripe_events")
        .col(string_len("id", STRIPE_ID).primary_key())
        .col(string_len("name", 100))
        // What the object is: 1 checkout, 2 subscription, 3 invoice, 4 payment, 5 charge, 6 refund, 7 dispute.
        .col(small_integer("kind"))
        .col(string_len("object", STRIPE_ID))
        // When it happened, as Stripe says.
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone("receive_time"))
        .col(integer("tries"))
        // When it is tried next.
        .col(timestamp_with_time_zone("next_time"))
        .col(timestamp_with_time_zone_null("done_time"))
        // What went wrong the last time.
        .col(string_len_null("problem", 500))
        .to_owned()
}

/// What Stripe says that moved in the account's balance. Never changed but for the receipt.
fn movements() -> TableCreateStatement {
    Table::create()
        .table("stripe_movements")
        .col(string_len("id", STRIPE_ID).primary_key())
        .col(string_len("kind", 100))
        .col(big_integer("amount"))
        .col(string_len("currency", CURRENCY))
        .col(string_len_null("source", STRIPE_ID))
        // Unset for what is none of the platform's.
        .col(string_len_null("receipt", STRIPE_ID))
        .col(timestamp_with_time_zone("create_time"))
        .to_owned()
}

/// How far lists of Stripe's have been read.
fn cursors() -> TableCreateStatement {
    Table::create()
        .table("stripe_cursors")
        // "events" or "movements".
        .col(string_len("name", 20).primary_key())
        .col(timestamp_with_time_zone("time"))
        .to_owned()
}
