//! People, how they sign in, and what they are told.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, blob, boolean, integer, small_integer, string_len, text, text_null,
    timestamp_with_time_zone, timestamp_with_time_zone_null, uuid, uuid_null,
};

use super::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            user(),
            code(),
            session(),
            flow(),
            totp(),
            recovery_code(),
            passkey(),
            identity(),
            mail(),
            throttle(),
            known_address(),
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
            "known_address",
            "throttle",
            "mail",
            "identity",
            "passkey",
            "recovery_code",
            "totp",
            "flow",
            "session",
            "code",
            "account_user",
        ] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}

fn user() -> TableCreateStatement {
    Table::create()
        .table("account_user")
        .col(uuid("id").primary_key())
        // As it is shown.
        .col(string_len("email", 254))
        // Lower case, punycode; unique.
        .col(string_len("email_key", 254))
        .col(string_len("display_name", 400))
        // PHC string of argon2id.
        .col(text_null("password_hash"))
        .col(timestamp_with_time_zone_null("password_time"))
        // 1 active, 2 disabled, 3 leaving.
        .col(small_integer("state"))
        .col(boolean("is_operator"))
        // Accepted last; 0 for none.
        .col(integer("terms_version"))
        // 1 unverified, 2 declared, 3 verified.
        .col(small_integer("age_assurance"))
        .col(string_len("age_method", 100))
        .col(boolean("age_is_adult"))
        .col(timestamp_with_time_zone_null("age_time"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone_null("erase_time"))
        .to_owned()
}

fn code() -> TableCreateStatement {
    Table::create()
        .table("code")
        .col(uuid("id").primary_key())
        // Of the code; unique.
        .col(blob("sha256"))
        // 1 sign-up, 2 reset, 3 change of address.
        .col(small_integer("purpose"))
        // None for a sign-up.
        .col(uuid_null("user_id"))
        .col(string_len("email_key", 254))
        // JSON: what takes effect with the code.
        .col(text_null("payload"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone("expire_time"))
        .col(timestamp_with_time_zone_null("use_time"))
        .to_owned()
}

fn session() -> TableCreateStatement {
    Table::create()
        .table("session")
        .col(uuid("id").primary_key())
        .col(uuid("user_id"))
        // For which it acts.
        .col(uuid_null("organisation_id"))
        // HMAC key of its refresh tokens.
        .col(blob("refresh_key"))
        // Of the newest refresh token.
        .col(big_integer("counter"))
        // When the counter grew last.
        .col(timestamp_with_time_zone("rotate_time"))
        // 1 or 2 factors.
        .col(small_integer("assurance"))
        // Space-separated amr values.
        .col(string_len("methods", 64))
        // When a credential was shown last.
        .col(timestamp_with_time_zone("auth_time"))
        .col(string_len("user_agent", 1024))
        .col(string_len("address", 64))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone("last_use_time"))
        // However much it is used.
        .col(timestamp_with_time_zone("expire_time"))
        .col(timestamp_with_time_zone_null("end_time"))
        .foreign_key(&mut belongs_to_user("session"))
        .to_owned()
}

fn flow() -> TableCreateStatement {
    Table::create()
        .table("flow")
        .col(uuid("id").primary_key())
        // Of the token that completes it; unique.
        .col(blob("sha256"))
        // 1 second step, 2 passkey sign-in, 3 passkey registration, 4 provider sign-in, 5 provider link, 6 age verification.
        .col(small_integer("purpose"))
        .col(uuid_null("user_id"))
        // JSON.
        .col(text("payload"))
        .col(integer("tries"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone("expire_time"))
        .col(timestamp_with_time_zone_null("use_time"))
        .to_owned()
}

fn totp() -> TableCreateStatement {
    Table::create()
        .table("totp")
        .col(uuid("user_id").primary_key())
        .col(blob("sealed_secret"))
        .col(boolean("is_confirmed"))
        // No code of this step or before is taken.
        .col(big_integer("last_step"))
        .col(timestamp_with_time_zone("create_time"))
        .foreign_key(&mut belongs_to_user("totp"))
        .to_owned()
}

fn recovery_code() -> TableCreateStatement {
    Table::create()
        .table("recovery_code")
        .col(uuid("id").primary_key())
        .col(uuid("user_id"))
        .col(blob("sha256"))
        .col(timestamp_with_time_zone_null("use_time"))
        .foreign_key(&mut belongs_to_user("recovery_code"))
        .to_owned()
}

fn passkey() -> TableCreateStatement {
    Table::create()
        .table("passkey")
        .col(uuid("id").primary_key())
        .col(uuid("user_id"))
        // Unique.
        .col(blob("credential_id"))
        // JSON of the library.
        .col(text("credential"))
        .col(string_len("name", 400))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone_null("last_use_time"))
        .foreign_key(&mut belongs_to_user("passkey"))
        .to_owned()
}

fn identity() -> TableCreateStatement {
    Table::create()
        .table("identity")
        .col(uuid("id").primary_key())
        .col(uuid("user_id"))
        .col(string_len("provider", 64))
        .col(string_len("issuer", 512))
        // Unique with the issuer.
        .col(string_len("subject", 255))
        // For display only.
        .col(string_len("email", 254))
        .col(timestamp_with_time_zone("create_time"))
        .foreign_key(&mut belongs_to_user("identity"))
        .to_owned()
}

fn mail() -> TableCreateStatement {
    Table::create()
        .table("mail")
        .col(uuid("id").primary_key())
        .col(string_len("recipient", 254))
        .col(string_len("subject", 255))
        .col(text("body"))
        .col(integer("attempts"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone("next_attempt_time"))
        .col(timestamp_with_time_zone("give_up_time"))
        .to_owned()
}

fn throttle() -> TableCreateStatement {
    Table::create()
        .table("throttle")
        // What is counted, hashed.
        .col(string_len("key", 128).primary_key())
        .col(integer("failures"))
        .col(timestamp_with_time_zone("last_time"))
        .col(timestamp_with_time_zone_null("blocked_until"))
        .to_owned()
}

fn known_address() -> TableCreateStatement {
    Table::create()
        .table("known_address")
        .col(uuid("user_id"))
        .col(blob("address_sha256"))
        .col(timestamp_with_time_zone("last_time"))
        .primary_key(Index::create().col("user_id").col("address_sha256"))
        .foreign_key(&mut belongs_to_user("known_address"))
        .to_owned()
}

fn belongs_to_user(table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from(table, "user_id")
        .to("account_user", "id")
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}

fn indices() -> Vec<IndexCreateStatement> {
    vec![
        index("account_user", &["email_key"]).unique().to_owned(),
        index("account_user", &["create_time", "id"]),
        index("code", &["sha256"]).unique().to_owned(),
        index("code", &["user_id", "purpose"]),
        index("code", &["email_key", "purpose"]),
        index("code", &["expire_time"]),
        index("session", &["user_id", "id"]),
        index("session", &["expire_time"]),
        index("flow", &["sha256"]).unique().to_owned(),
        index("flow", &["expire_time"]),
        index("recovery_code", &["user_id"]),
        index("passkey", &["credential_id"]).unique().to_owned(),
        index("passkey", &["user_id"]),
        index("identity", &["issuer", "subject"])
            .unique()
            .to_owned(),
        index("identity", &["user_id"]),
        index("mail", &["next_attempt_time"]),
        index("throttle", &["last_time"]),
    ]
}
