//! The database itself refuses changes to the audit log and to the history of accepted terms.

use sea_orm_migration::prelude::*;

use super::index;
use crate::append_only::AppendOnly;

const HISTORY: AppendOnly = AppendOnly {
    function: "refuse_change",
    tables: &["audit", "terms_acceptance"],
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // For the duty that erases accounts when their grace ends.
        manager
            .create_index(index("account_user", &["erase_time"]))
            .await?;
        HISTORY.up(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        HISTORY.down(manager).await?;
        let by_erase_time = Index::drop()
            .name("account_user_erase_time")
            .table("account_user")
            .to_owned();
        manager.drop_index(by_erase_time).await
    }
}
