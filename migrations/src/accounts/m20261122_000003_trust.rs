//! Terms, signing keys, what has ended, and the audit log.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    blob, boolean, integer, small_integer, string_len, text, timestamp_with_time_zone, uuid,
    uuid_null,
};

use super::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [terms(), terms_acceptance(), signing_key(), ended(), audit()] {
            manager.create_table(table).await?;
        }
        for index in indices() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["audit", "ended", "signing_key", "terms_acceptance", "terms"] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}

fn terms() -> TableCreateStatement {
    Table::create()
        .table("terms")
        .col(integer("version").primary_key())
        .col(string_len("sha256", 64))
        .col(text("body"))
        .col(timestamp_with_time_zone("publish_time"))
        .to_owned()
}

fn terms_acceptance() -> TableCreateStatement {
    Table::create()
        .table("terms_acceptance")
        .col(uuid("id").primary_key())
        .col(uuid("user_id"))
        .col(integer("version"))
        .col(string_len("sha256", 64))
        .col(timestamp_with_time_zone("time"))
        .col(string_len("address", 64))
        .to_owned()
}

fn signing_key() -> TableCreateStatement {
    Table::create()
        .table("signing_key")
        // The kid.
        .col(uuid("id").primary_key())
        // 1 standby, 2 current, 3 previous, 4 revoked.
        .col(small_integer("state"))
        .col(blob("sealed_private_key"))
        // 32 bytes.
        .col(blob("public_key"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone("state_time"))
        .to_owned()
}

fn ended() -> TableCreateStatement {
    Table::create()
        .table("ended")
        .col(uuid("id").primary_key())
        .col(timestamp_with_time_zone("end_time"))
        .to_owned()
}

fn audit() -> TableCreateStatement {
    Table::create()
        .table("audit")
        // UUIDv7: grows with time.
        .col(uuid("id").primary_key())
        .col(timestamp_with_time_zone("time"))
        .col(string_len("actor", 128))
        .col(uuid_null("subject"))
        .col(string_len("action", 64))
        .col(boolean("succeeded"))
        // No secret, no address of mail.
        .col(string_len("detail", 512))
        .col(string_len("address", 64))
        .col(string_len("user_agent", 1024))
        .to_owned()
}

fn indices() -> Vec<IndexCreateStatement> {
    vec![
        index("terms_acceptance", &["user_id", "id"]),
        index("ended", &["end_time"]),
        index("audit", &["subject", "id"]),
        index("audit", &["actor", "id"]),
        index("audit", &["action", "id"]),
    ]
}
