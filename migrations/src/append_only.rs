//! Tables to which rows are only ever added. The database itself refuses to change them.
//!
//! It does not stop who owns the tables, but it stops every mistake of a service.

use sea_orm_migration::SchemaManager;
use sea_orm_migration::prelude::DbErr;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Tables of one service, and the function by which PostgreSQL refuses to change them.
pub(crate) struct AppendOnly {
    /// A name that no other function of the database has.
    pub(crate) function: &'static str,
    pub(crate) tables: &'static [&'static str],
}

impl AppendOnly {
    pub(crate) async fn up(&self, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        let dialect = manager.get_database_backend();
        execute(manager, self.up_statements(dialect)).await
    }

    pub(crate) async fn down(&self, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        let dialect = manager.get_database_backend();
        execute(manager, self.down_statements(dialect)).await
    }

    fn up_statements(&self, dialect: DbBackend) -> Vec<String> {
        let Self { function, tables } = self;
        if dialect == DbBackend::Postgres {
            let function_sql = format!(
                "CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
            );
            let triggers = tables.iter().map(|table| {
                format!(
                    "CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} \
                     FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
                )
            });
            return std::iter::once(function_sql).chain(triggers).collect();
        }
        let trigger = |(table, change)| {
            format!(
                "CREATE TRIGGER {table}_no_{change} BEFORE {change} ON {table} \
                 BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        };
        self.sqlite_triggers().map(trigger).collect()
    }

    fn down_statements(&self, dialect: DbBackend) -> Vec<String> {
        let Self { function, tables } = self;
        if dialect == DbBackend::Postgres {
            let triggers = tables
                .iter()
                .map(|table| format!("DROP TRIGGER {table}_append_only ON {table}"));
            let function_sql = format!("DROP FUNCTION {function}()");
            return triggers.chain([function_sql]).collect();
        }
        let trigger = |(table, change)| format!("DROP TRIGGER {table}_no_{change}");
        self.sqlite_triggers().map(trigger).collect()
    }

    fn sqlite_triggers(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let tables = self.tables.iter();
        tables.flat_map(|table| [(*table, "update"), (*table, "delete")])
    }
}

async fn execute(manager: &SchemaManager<'_>, statements: Vec<String>) -> Result<(), DbErr> {
    for sql in statements {
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}
