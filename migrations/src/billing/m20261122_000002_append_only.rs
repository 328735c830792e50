//! The database itself refuses changes to the ledger, to prices, and to what operators did.

use sea_orm_migration::prelude::*;

use crate::append_only::AppendOnly;

const LEDGER: AppendOnly = AppendOnly {
    function: "refuse_change_of_ledger",
    tables: &["transfers", "entries", "price_books", "operator_actions"],
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        LEDGER.up(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        LEDGER.down(manager).await
    }
}
