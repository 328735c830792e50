//! The tables as they are described once for either engine. What must never be is refused by the database, too.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, blob, boolean, integer, small_integer, string_len,
    string_len_null, text, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid,
    uuid_null,
};

/// Of a payer's key: `user:<uuid>` or `org:<uuid>`.
const PAYER: u32 = 64;
const NOTE: u32 = 500;
const PLAN: u32 = 64;

/// In the order in which they are made.
pub const NAMES: [&str; 12] = [
    "payers",
    "grants",
    "holds",
    "hold_parts",
    "transfers",
    "entries",
    "price_books",
    "operator_window",
    "entitlements",
    "window_spend",
    "spend_alerts",
    "operator_actions",
];

pub fn tables() -> Vec<TableCreateStatement> {
    vec![
        payers(),
        grants(),
        holds(),
        hold_parts(),
        transfers(),
        entries(),
        price_books(),
        operator_window(),
        entitlements(),
        window_spend(),
        spend_alerts(),
        operator_actions(),
    ]
}

/// A condition that no row breaks.
fn not_negative(column: &'static str) -> Expr {
    Expr::col(column).gte(0)
}

fn payers() -> TableCreateStatement {
    Table::create()
        .table("payers")
        .col(string_len("payer", PAYER).primary_key())
        // When the payer was first seen: months begin on this day.
        .col(timestamp_with_time_zone("create_time"))
        // Kept beside the ledger: the balance of `held:<payer>`, and what `debt:<payer>` lacks.
        .col(big_integer("held"))
        .col(big_integer("debt"))
        .col(boolean("is_frozen"))
        .col(big_integer_null("hard_cap"))
        .col(big_integer_null("soft_cap"))
        // Unset for the default plan.
        .col(string_len_null("plan", PLAN))
        .col(string_len_null("plan_source", 200))
        .col(timestamp_with_time_zone_null("plan_end_time"))
        // The key of the last allowance that was given.
        .col(string_len_null("allowance", 200))
        .check(not_negative("held"))
        .check(not_negative("debt"))
        .to_owned()
}

fn grants() -> TableCreateStatement {
    Table::create()
        .table("grants")
        // UUIDv5 of the key of the transfer that made it.
        .col(uuid("id").primary_key())
        .col(string_len("payer", PAYER))
        // 1 plan, 2 voucher, 3 purchase, 4 goodwill, 5 refund.
        .col(small_integer("origin"))
        .col(big_integer("credits"))
        // Kept beside the ledger: the balance of `grant:<id>`.
        .col(big_integer("available"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone_null("expire_time"))
        .col(string_len("note", NOTE))
        .col(uuid_null("user_id"))
        .check(not_negative("available"))
        .to_owned()
}

fn holds() -> TableCreateStatement {
    Table::create()
        .table("holds")
        .col(uuid("job_id").primary_key())
        .col(string_len("payer", PAYER))
        .col(uuid("user_id"))
        .col(string_len("model", 128))
        .col(integer("width"))
        .col(integer("height"))
        .col(integer("frames"))
        .col(integer("fps"))
        .col(integer("steps"))
        .col(boolean("audio"))
        // 1 interactive, 2 standard, 3 batch.
        .col(small_integer("tier"))
        .col(big_integer("credits"))
        .col(big_integer("preview_credits"))
        .col(integer("price_book"))
        .col(timestamp_with_time_zone("window_start"))
        .col(timestamp_with_time_zone("window_end"))
        // 1 open, 2 captured, 3 released, 4 expired.
        .col(small_integer("state"))
        .col(big_integer("captured"))
        .col(big_integer("refunded"))
        .col(big_integer_null("lease"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone("expire_time"))
        .col(timestamp_with_time_zone_null("settle_time"))
        // `YYYY-MM-DD` of `settle_time`, in UTC.
        .col(string_len_null("settle_day", 10))
        .check(Expr::col("credits").gte(1))
        .check(not_negative("preview_credits"))
        .check(not_negative("captured"))
        .check(not_negative("refunded"))
        .check(Expr::col("preview_credits").lte(Expr::col("credits")))
        .check(Expr::col("captured").lte(Expr::col("credits")))
        .check(Expr::col("refunded").lte(Expr::col("captured")))
        .to_owned()
}

fn hold_parts() -> TableCreateStatement {
    Table::create()
        .table("hold_parts")
        .col(uuid("job_id"))
        // In the order in which grants were spent.
        .col(small_integer("n"))
        .col(uuid("grant_id"))
        .col(big_integer("credits"))
        .primary_key(Index::create().col("job_id").col("n"))
        .check(Expr::col("credits").gte(1))
        .to_owned()
}

fn transfers() -> TableCreateStatement {
    Table::create()
        .table("transfers")
        // UUIDv5 of the key.
        .col(uuid("id").primary_key())
        .col(string_len("key", 300).unique_key())
        // SHA-256 of what was asked for.
        .col(blob("body_hash"))
        // 1 grant, 2 hold, 3 capture, 4 release, 5 refund, 6 adjust, 7 expire.
        .col(small_integer("kind"))
        .col(string_len("payer", PAYER))
        .col(uuid_null("job_id"))
        .col(uuid_null("user_id"))
        .col(string_len("note", NOTE))
        .col(timestamp_with_time_zone("create_time"))
        // UUIDv7: grows with time, and is the order in which a payer's transfers are shown.
        .col(uuid("seq"))
        .to_owned()
}

fn entries() -> TableCreateStatement {
    Table::create()
        .table("entries")
        .col(uuid("transfer_id"))
        .col(small_integer("line"))
        .col(string_len("account", 80))
        // What the account gains.
        .col(big_integer("amount"))
        .primary_key(Index::create().col("transfer_id").col("line"))
        .to_owned()
}

fn price_books() -> TableCreateStatement {
    Table::create()
        .table("price_books")
        .col(integer("version").primary_key())
        .col(timestamp_with_time_zone("create_time"))
        // JSON.
        .col(text("body"))
        .to_owned()
}

fn operator_window() -> TableCreateStatement {
    Table::create()
        .table("operator_window")
        // 1: there is one or none.
        .col(small_integer("id").primary_key())
        .col(timestamp_with_time_zone("start_time"))
        .col(timestamp_with_time_zone("end_time"))
        .to_owned()
}

fn entitlements() -> TableCreateStatement {
    Table::create()
        .table("entitlements")
        .col(uuid("id").primary_key())
        .col(uuid("user_id"))
        // What gave it: `voucher:<id>`.
        .col(string_len("source", 200))
        .col(timestamp_with_time_zone("start_time"))
        .col(timestamp_with_time_zone_null("expire_time"))
        // When it was taken away.
        .col(timestamp_with_time_zone_null("end_time"))
        .to_owned()
}

fn window_spend() -> TableCreateStatement {
    Table::create()
        .table("window_spend")
        .col(string_len("payer", PAYER))
        .col(timestamp_with_time_zone("window_start"))
        // Kept beside the holds: what those of the window hold, or have captured and not given back.
        .col(big_integer("spent"))
        .primary_key(Index::create().col("payer").col("window_start"))
        .check(not_negative("spent"))
        .to_owned()
}

fn spend_alerts() -> TableCreateStatement {
    Table::create()
        .table("spend_alerts")
        .col(string_len("payer", PAYER))
        .col(timestamp_with_time_zone("window_start"))
        // 50, 80 or 100.
        .col(small_integer("percent"))
        .col(big_integer("soft_credits"))
        .col(big_integer("spent"))
        .col(timestamp_with_time_zone("create_time"))
        .primary_key(
            Index::create()
                .col("payer")
                .col("window_start")
                .col("percent"),
        )
        .to_owned()
}

/// What operators did that moves no credits.
fn operator_actions() -> TableCreateStatement {
    Table::create()
        .table("operator_actions")
        // UUIDv7: grows with time.
        .col(uuid("id").primary_key())
        .col(timestamp_with_time_zone("time"))
        .col(uuid("user_id"))
        // For example "payer.freeze".
        .col(string_len("action", 64))
        .col(string_len_null("payer", PAYER))
        .col(string_len("detail", 600))
        .to_owned()
}
