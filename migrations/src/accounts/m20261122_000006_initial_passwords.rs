//! Which passwords are first ones, that others know, and have to be changed.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::boolean;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // None of those that are there: who has chosen which is not known.
        let add = Table::alter()
            .table("account_user")
            .add_column(boolean("password_is_initial").default(false))
            .to_owned();
        manager.alter_table(add).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Table::alter()
            .table("account_user")
            .drop_column("password_is_initial")
            .to_owned();
        manager.alter_table(drop).await
    }
}
