//! Campaigns, vouchers, who redeemed them, wrong codes, and the audit log of operators and redemptions.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, blob, boolean, integer, string_len, string_len_null, text,
    timestamp_with_time_zone, timestamp_with_time_zone_null, uuid, uuid_null,
};
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Redemptions that were taken back are not taken back again.
const INDICES: [&str; 13] = [
    "CREATE UNIQUE INDEX campaigns_request ON campaigns (request)",
    "CREATE INDEX campaigns_create_time ON campaigns (create_time)",
    "CREATE UNIQUE INDEX vouchers_code_hmac ON vouchers (code_hmac)",
    "CREATE INDEX vouchers_campaign ON vouchers (campaign, id)",
    "CREATE UNIQUE INDEX redemptions_ordinal ON redemptions (voucher_id, user_id, ordinal)",
    "CREATE INDEX redemptions_campaign ON redemptions (campaign, id)",
    "CREATE INDEX redemptions_user ON redemptions (user_id, id)",
    "CREATE INDEX redemptions_standing ON redemptions (campaign, id) WHERE claw_back_time IS NULL",
    "CREATE INDEX redemptions_voucher ON redemptions (voucher_id, id) WHERE claw_back_time IS NULL",
    "CREATE INDEX voucher_tries_last_time ON voucher_tries (last_time)",
    "CREATE INDEX billing_audit_actor ON billing_audit (actor, id)",
    "CREATE INDEX billing_audit_action ON billing_audit (action, id)",
    "CREATE INDEX billing_audit_target ON billing_audit (target, id)",
];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            campaigns(),
            vouchers(),
            voucher_shares(),
            redemptions(),
            voucher_tries(),
            billing_audit(),
        ] {
            manager.create_table(table).await?;
        }
        let rules = keep_audit(manager.get_database_backend());
        for sql in INDICES.iter().chain(rules) {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Its triggers go with the table.
        for table in [
            "billing_audit",
            "voucher_tries",
            "redemptions",
            "voucher_shares",
            "vouchers",
            "campaigns",
        ] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        if manager.get_database_backend() == DbBackend::Postgres {
            let function = "DROP FUNCTION refuse_change_of_billing_audit()";
            manager
                .get_connection()
                .execute_unprepared(function)
                .await?;
        }
        Ok(())
    }
}

fn campaigns() -> TableCreateStatement {
    Table::create()
        .table("campaigns")
        .col(string_len("name", 64).primary_key())
        // Who made it and the request id, or null; unique.
        .col(string_len_null("request", 256))
        .col(string_len("request_sha256", 64))
        .col(integer("count"))
        .col(big_integer("credits"))
        .col(boolean("access"))
        // Empty for none.
        .col(string_len("plan", 64))
        .col(integer("max_uses"))
        .col(integer("per_user"))
        .col(timestamp_with_time_zone("start_time"))
        .col(timestamp_with_time_zone_null("expire_time"))
        .col(timestamp_with_time_zone_null("grant_expire_time"))
        .col(text("notes"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone_null("disable_time"))
        .to_owned()
}

fn vouchers() -> TableCreateStatement {
    Table::create()
        .table("vouchers")
        // UUIDv7: grows with time.
        .col(uuid("id").primary_key())
        .col(string_len("campaign", 64))
        // HMAC-SHA256 of the code under the voucher key; unique.
        .col(blob("code_hmac"))
        .col(string_len("hint", 8))
        .col(integer("uses"))
        .col(integer("max_uses"))
        .col(timestamp_with_time_zone_null("disable_time"))
        .col(timestamp_with_time_zone_null("last_use_time"))
        .check(Expr::col("uses").lte(Expr::col("max_uses")))
        .to_owned()
}

/// How much of a campaign a person has redeemed. The row is the lock of that person there.
fn voucher_shares() -> TableCreateStatement {
    Table::create()
        .table("voucher_shares")
        .col(string_len("campaign", 64))
        .col(uuid("user_id"))
        .col(integer("redemptions"))
        .primary_key(Index::create().col("campaign").col("user_id"))
        .to_owned()
}

fn redemptions() -> TableCreateStatement {
    Table::create()
        .table("redemptions")
        // UUIDv7: grows with time.
        .col(uuid("id").primary_key())
        .col(uuid("voucher_id"))
        .col(uuid("user_id"))
        // Counts what a person redeemed of one voucher, from 1.
        .col(integer("ordinal"))
        .col(string_len("campaign", 64))
        .col(string_len("hint", 8))
        // Who got the credits and the plan.
        .col(string_len("payer", 64))
        .col(uuid_null("grant_id"))
        .col(big_integer("credits"))
        .col(boolean("access"))
        .col(string_len("plan", 64))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone_null("expire_time"))
        .col(timestamp_with_time_zone_null("claw_back_time"))
        // Credits that were left then.
        .col(big_integer("clawed_back"))
        .to_owned()
}

fn voucher_tries() -> TableCreateStatement {
    Table::create()
        .table("voucher_tries")
        .col(string_len("key", 64).primary_key())
        .col(integer("failures"))
        .col(timestamp_with_time_zone("last_time"))
        .to_owned()
}

fn billing_audit() -> TableCreateStatement {
    Table::create()
        .table("billing_audit")
        // UUIDv7: grows with time.
        .col(uuid("id").primary_key())
        .col(timestamp_with_time_zone("time"))
        .col(string_len("actor", 128))
        .col(string_len("action", 64))
        .col(string_len("target", 200))
        // No code of a voucher.
        .col(string_len("result", 512))
        .to_owned()
}

/// The database itself refuses changes to the audit log. It does not stop who owns the table, but it stops every mistake of
/// this service.
fn keep_audit(dialect: DbBackend) -> &'static [&'static str] {
    if dialect == DbBackend::Postgres {
        &[
            "CREATE FUNCTION refuse_change_of_billing_audit() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'billing_audit is append-only'; END $$",
            "CREATE TRIGGER billing_audit_append_only \
             BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_audit \
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_billing_audit()",
        ]
    } else {
        &[
            "CREATE TRIGGER billing_audit_no_update BEFORE UPDATE ON billing_audit \
             BEGIN SELECT RAISE(ABORT, 'billing_audit is append-only'); END",
            "CREATE TRIGGER billing_audit_no_delete BEFORE DELETE ON billing_audit \
             BEGIN SELECT RAISE(ABORT, 'billing_audit is append-only'); END",
        ]
    }
}
