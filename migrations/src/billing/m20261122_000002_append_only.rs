//! The database itself refuses changes to the ledger, to prices, and to what operators did.
//!
//! It does not stop who owns the tables, but it stops every mistake of this service.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Rows are only ever added to these.
const TABLES: [&str; 4] = ["transfers", "entries", "price_books", "operator_actions"];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for sql in up_statements(manager.get_database_backend()) {
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for sql in down_statements(manager.get_database_backend()) {
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}

fn up_statements(dialect: DbBackend) -> Vec<String> {
    if dialect == DbBackend::Postgres {
        let function = "CREATE FUNCTION refuse_change_of_ledger() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$";
        let trigger = |table| {
            format!(
                "CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} \
                 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_ledger()"
            )
        };
        let mut statements = vec![function.to_owned()];
        statements.extend(TABLES.map(trigger));
        return statements;
    }
    let trigger = |(table, change)| {
        format!(
            "CREATE TRIGGER {table}_no_{change} BEFORE {change} ON {table} \
             BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
    };
    sqlite_triggers().map(trigger).collect()
}

fn down_statements(dialect: DbBackend) -> Vec<String> {
    if dialect == DbBackend::Postgres {
        let trigger = |table| format!("DROP TRIGGER {table}_append_only ON {table}");
        let mut statements = TABLES.map(trigger).to_vec();
        statements.push("DROP FUNCTION refuse_change_of_ledger()".to_owned());
        return statements;
    }
    let trigger = |(table, change)| format!("DROP TRIGGER {table}_no_{change}");
    sqlite_triggers().map(trigger).collect()
}

fn sqlite_triggers() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLES
        .into_iter()
        .flat_map(|table| [(table, "update"), (table, "delete")])
}
