//! Accounts at other providers.

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
};
use uuid::Uuid;

use super::entity::people::identity;

/// Keeps a new one. False when it is linked already, to whomever.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, row: identity::Model) -> Result<bool, DbErr> {
    let known = OnConflict::columns([identity::Column::Issuer, identity::Column::Subject])
        .do_nothing()
        .to_owned();
    let inserted = identity::Entity::insert(row.into_active_model())
        .on_conflict(known)
        .exec_without_returning(tx)
        .await?;
    Ok(inserted > 0)
}

/// By issuer and subject.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find(
    tx: &impl ConnectionTrait,
    issuer: &str,
    subject: &str,
) -> Result<Option<identity::Model>, DbErr> {
    identity::Entity::find()
        .filter(identity::Column::Issuer.eq(issuer))
        .filter(identity::Column::Subject.eq(subject))
        .one(tx)
        .await
}

/// How many a user has at these issuers.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn count(
    tx: &impl ConnectionTrait,
    user: Uuid,
    issuers: impl Iterator<Item = &str>,
) -> Result<u64, DbErr> {
    identity::Entity::find()
        .filter(identity::Column::UserId.eq(user))
        .filter(identity::Column::Issuer.is_in(issuers))
        .count(tx)
        .await
}

/// Forgets what a user has at a provider. False when there is nothing.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn remove(tx: &impl ConnectionTrait, user: Uuid, provider: &str) -> Result<bool, DbErr> {
    let removed = identity::Entity::delete_many()
        .filter(identity::Column::UserId.eq(user))
        .filter(identity::Column::Provider.eq(provider))
        .exec(tx)
        .await?;
    Ok(removed.rows_affected > 0)
}
