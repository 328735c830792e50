//! Whose upload a planned removal is about, so that an owner's uploads can be counted.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::string_len_null;

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLE: &str = "object_deletion";
const COLUMN: &str = "uploader";
const INDEX: &str = "object_deletion_uploader";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let add = Table::alter()
            .table(TABLE)
            .add_column(string_len_null(COLUMN, 128))
            .to_owned();
        manager.alter_table(add).await?;
        // Most removals are nobody's upload.
        let index = Index::create()
            .name(INDEX)
            .table(TABLE)
            .col(COLUMN)
            .and_where(Expr::col(COLUMN).is_not_null())
            .to_owned();
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = Index::drop().name(INDEX).table(TABLE).to_owned();
        manager.drop_index(index).await?;
        let drop = Table::alter().table(TABLE).drop_column(COLUMN).to_owned();
        manager.alter_table(drop).await
    }
}
