//! Organisations, their programs, and API keys.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    blob, small_integer, string_len, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid,
    uuid_null,
};

use super::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            organisation(),
            membership(),
            invitation(),
            service_account(),
            api_key(),
        ] {
            manager.create_table(table).await?;
        }
        for index in indices() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "api_key",
            "service_account",
            "invitation",
            "membership",
            "organisation",
        ] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}

fn organisation() -> TableCreateStatement {
    Table::create()
        .table("organisation")
        .col(uuid("id").primary_key())
        .col(string_len("name", 400))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone_null("delete_time"))
        .to_owned()
}

fn membership() -> TableCreateStatement {
    Table::create()
        .table("membership")
        .col(uuid("organisation_id"))
        .col(uuid("user_id"))
        // 1 member, 2 admin, 3 owner.
        .col(small_integer("role"))
        .col(timestamp_with_time_zone("join_time"))
        .primary_key(Index::create().col("organisation_id").col("user_id"))
        .to_owned()
}

fn invitation() -> TableCreateStatement {
    Table::create()
        .table("invitation")
        .col(uuid("id").primary_key())
        .col(uuid("organisation_id"))
        .col(string_len("email", 254))
        .col(string_len("email_key", 254))
        .col(small_integer("role"))
        // Unique.
        .col(blob("code_sha256"))
        .col(uuid("invited_by"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone("expire_time"))
        .col(timestamp_with_time_zone_null("accept_time"))
        .col(timestamp_with_time_zone_null("revoke_time"))
        .to_owned()
}

fn service_account() -> TableCreateStatement {
    Table::create()
        .table("service_account")
        .col(uuid("id").primary_key())
        .col(uuid("organisation_id"))
        .col(string_len("name", 400))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone_null("delete_time"))
        .to_owned()
}

fn api_key() -> TableCreateStatement {
    Table::create()
        .table("api_key")
        .col(uuid("id").primary_key())
        .col(blob("secret_sha256"))
        // Whose it is, unless a service account has it.
        .col(uuid_null("user_id"))
        .col(uuid_null("service_account_id"))
        // For which it acts.
        .col(uuid_null("organisation_id"))
        .col(string_len("name", 400))
        .col(string_len("hint", 32))
        // Space-separated.
        .col(string_len("scopes", 255))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone_null("expire_time"))
        // To the minute.
        .col(timestamp_with_time_zone_null("last_use_time"))
        .col(timestamp_with_time_zone_null("revoke_time"))
        .to_owned()
}

fn indices() -> Vec<IndexCreateStatement> {
    vec![
        index("membership", &["user_id"]),
        index("invitation", &["code_sha256"]).unique().to_owned(),
        index("invitation", &["organisation_id"]),
        index("invitation", &["email_key"]),
        index("service_account", &["organisation_id"]),
        index("api_key", &["user_id"]),
        index("api_key", &["service_account_id"]),
        index("api_key", &["organisation_id"]),
    ]
}
