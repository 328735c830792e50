//! The database itself refuses changes to the audit log and to the history of accepted terms.
//!
//! It does not stop who owns the tables, but it stops every mistake of this service.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use super::index;

/// Rows are only ever added to these.
const TABLES: [&str; 2] = ["audit", "terms_acceptance"];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // For the duty that erases accounts when their grace ends.
        manager
            .create_index(index("account_user", &["erase_time"]))
            .await?;
        for sql in up_statements(manager.get_database_backend()) {
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for sql in down_statements(manager.get_database_backend()) {
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        let by_erase_time = Index::drop()
            .name("account_user_erase_time")
            .table("account_user")
            .to_owned();
        manager.drop_index(by_erase_time).await
    }
}

fn up_statements(dialect: DbBackend) -> Vec<String> {
    if dialect == DbBackend::Postgres {
        let function = "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$";
        let trigger = |table| {
            format!(
                "CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} \
                 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
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
        statements.push("DROP FUNCTION refuse_change()".to_owned());
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
