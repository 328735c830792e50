//! Versions of the terms, and who accepted which. Acceptances are never changed.

use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::people::user;
use super::entity::trust::{terms, terms_acceptance};
use super::users;
use crate::domain::terms::{Acceptance, Terms};

/// Reads the version in force.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn in_force(db: &impl ConnectionTrait) -> Result<Option<Terms>, DbErr> {
    let latest = terms::Entity::find().order_by_desc(terms::Column::Version);
    Ok(latest.one(db).await?.map(from_row))
}

/// Reads the number of the version in force; 0 for none.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn version_in_force(db: &impl ConnectionTrait) -> Result<i32, DbErr> {
    let version: Option<Option<i32>> = terms::Entity::find()
        .select_only()
        .column_as(terms::Column::Version.max(), "version")
        .into_tuple()
        .one(db)
        .await?;
    Ok(version.flatten().unwrap_or_default())
}

/// Lists all versions, newest first, without their texts.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn list(db: &impl ConnectionTrait) -> Result<Vec<Terms>, DbErr> {
    let rows: Vec<(i32, String, crate::domain::Time)> = terms::Entity::find()
        .select_only()
        .columns([
            terms::Column::Version,
            terms::Column::Sha256,
            terms::Column::PublishTime,
        ])
        .order_by_desc(terms::Column::Version)
        .into_tuple()
        .all(db)
        .await?;
    let without_text = |(version, sha256, publish_time)| Terms {
        version,
        sha256,
        text: String::new(),
        publish_time,
    };
    Ok(rows.into_iter().map(without_text).collect())
}

/// Puts a version into force.
///
/// # Errors
/// [`DbErr`] when the database refuses it, as for a version that there is.
pub async fn insert(tx: &impl ConnectionTrait, made: &Terms) -> Result<(), DbErr> {
    let row = terms::ActiveModel {
        version: Set(made.version),
        sha256: Set(made.sha256.clone()),
        body: Set(made.text.clone()),
        publish_time: Set(made.publish_time),
    };
    terms::Entity::insert(row)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Appends to the history, and lets the user's tokens say so from now on.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn accept(
    tx: &impl ConnectionTrait,
    user: Uuid,
    acceptance: Acceptance,
) -> Result<(), DbErr> {
    let version = acceptance.version;
    let row = terms_acceptance::ActiveModel {
        id: Set(Uuid::now_v7()),
        user_id: Set(user),
        version: Set(version),
        sha256: Set(acceptance.sha256),
        time: Set(acceptance.time),
        address: Set(acceptance.address),
    };
    terms_acceptance::Entity::insert(row)
        .exec_without_returning(tx)
        .await?;
    let changed = user::ActiveModel {
        terms_version: Set(version),
        ..Default::default()
    };
    users::update(tx, user, changed).await
}

/// Lists what a user accepted, newest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn acceptances(db: &impl ConnectionTrait, user: Uuid) -> Result<Vec<Acceptance>, DbErr> {
    let rows = terms_acceptance::Entity::find()
        .filter(terms_acceptance::Column::UserId.eq(user))
        .order_by_desc(terms_acceptance::Column::Id)
        .all(db)
        .await?;
    let from_row = |row: terms_acceptance::Model| Acceptance {
        version: row.version,
        sha256: row.sha256,
        time: row.time,
        address: row.address,
    };
    Ok(rows.into_iter().map(from_row).collect())
}

fn from_row(row: terms::Model) -> Terms {
    Terms {
        version: row.version,
        sha256: row.sha256,
        text: row.body,
        publish_time: row.publish_time,
    }
}
