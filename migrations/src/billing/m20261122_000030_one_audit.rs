//! One audit log: what operators did is in `billing_audit`, and the table `operator_actions` is gone.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{string_len, string_len_null, timestamp_with_time_zone, uuid};
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All or nothing on SQLite, too: a table that was carried over in part could not be carried over again.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let carry = carry_over(manager.get_database_backend());
        manager.get_connection().execute_unprepared(&carry).await?;
        // Its index and its triggers go with the table.
        let drop = Table::drop().table("operator_actions").to_owned();
        manager.drop_table(drop).await
    }

    /// Nothing is taken out of the audit log: going up again finds the lines there.
    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = manager.get_database_backend();
        manager.create_table(operator_actions()).await?;
        let db = manager.get_connection();
        db.execute_unprepared(INDEX).await?;
        db.execute_unprepared(&carry_back(dialect)).await?;
        for sql in keep_actions(dialect) {
            db.execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

const INDEX: &str =
    "CREATE INDEX operator_actions_payer ON operator_actions (payer, id) WHERE payer IS NOT NULL";

/// Ids grow with time in both tables, so the lines stand where they belong. The condition keeps SQLite from taking the
/// conflict for one of a join.
fn carry_over(dialect: DbBackend) -> String {
    let actor = if dialect == DbBackend::Postgres {
        "user_id::text"
    } else {
        "lower(substr(hex(user_id), 1, 8) || '-' || substr(hex(user_id), 9, 4) || '-' || \
         substr(hex(user_id), 13, 4) || '-' || substr(hex(user_id), 17, 4) || '-' || substr(hex(user_id), 21))"
    };
    format!(
        "INSERT INTO billing_audit (id, \"time\", actor, action, target, result) \
         SELECT id, \"time\", {actor}, action, \
         coalesce(payer, CASE action WHEN 'window.set' THEN 'window' ELSE 'prices' END), \
         CASE detail WHEN '' THEN 'done' ELSE 'done: ' || substr(detail, 1, 506) END \
         FROM operator_actions WHERE true ON CONFLICT (id) DO NOTHING"
    )
}

/// What the older version kept in its table, as far as it was done.
fn carry_back(dialect: DbBackend) -> String {
    let user = if dialect == DbBackend::Postgres {
        "actor::uuid"
    } else {
        "unhex(replace(actor, '-', ''))"
    };
    format!(
        "INSERT INTO operator_actions (id, \"time\", user_id, action, payer, detail) \
         SELECT id, \"time\", {user}, action, \
         CASE WHEN target IN ('prices', 'window') THEN NULL ELSE target END, substr(result, 7) \
         FROM billing_audit \
         WHERE action IN ('payer.freeze', 'payer.unfreeze', 'payer.plan', 'prices.publish', 'window.set') \
         AND (result = 'done' OR result LIKE 'done: %')"
    )
}

/// As it was.
fn operator_actions() -> TableCreateStatement {
    Table::create()
        .table("operator_actions")
        .col(uuid("id").primary_key())
        .col(timestamp_with_time_zone("time"))
        .col(uuid("user_id"))
        .col(string_len("action", 64))
        .col(string_len_null("payer", 64))
        .col(string_len("detail", 600))
        .to_owned()
}

/// The triggers that the migration before expects.
fn keep_actions(dialect: DbBackend) -> &'static [&'static str] {
    if dialect == DbBackend::Postgres {
        &[
            "CREATE TRIGGER operator_actions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON operator_actions \
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_ledger()",
        ]
    } else {
        &[
            "CREATE TRIGGER operator_actions_no_update BEFORE update ON operator_actions \
             BEGIN SELECT RAISE(ABORT, 'operator_actions is append-only'); END",
            "CREATE TRIGGER operator_actions_no_delete BEFORE delete ON operator_actions \
             BEGIN SELECT RAISE(ABORT, 'operator_actions is append-only'); END",
        ]
    }
}
