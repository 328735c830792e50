//! WebAuthn credentials.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder,
};
use uuid::Uuid;

use super::entity::people::passkey;
use crate::domain::Time;

/// Keeps a new one. False when its credential is known already.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, row: passkey::Model) -> Result<bool, DbErr> {
    let known = OnConflict::column(passkey::Column::CredentialId)
        .do_nothing()
        .to_owned();
    let inserted = passkey::Entity::insert(row.into_active_model())
        .on_conflict(known)
        .exec_without_returning(tx)
        .await?;
    Ok(inserted > 0)
}

/// All of a user, oldest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn of_user(tx: &impl ConnectionTrait, user: Uuid) -> Result<Vec<passkey::Model>, DbErr> {
    passkey::Entity::find()
        .filter(passkey::Column::UserId.eq(user))
        .order_by_asc(passkey::Column::Id)
        .all(tx)
        .await
}

/// How many a user has.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn count(tx: &impl ConnectionTrait, user: Uuid) -> Result<u64, DbErr> {
    passkey::Entity::find()
        .filter(passkey::Column::UserId.eq(user))
        .count(tx)
        .await
}

/// A user's, by the id that its authenticator gave it.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find(
    tx: &impl ConnectionTrait,
    user: Uuid,
    credential_id: &[u8],
) -> Result<Option<passkey::Model>, DbErr> {
    passkey::Entity::find()
        .filter(passkey::Column::UserId.eq(user))
        .filter(passkey::Column::CredentialId.eq(credential_id))
        .one(tx)
        .await
}

/// Notes that it was used, with what the library wants to remember of that.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn note_use(
    tx: &impl ConnectionTrait,
    id: Uuid,
    credential: String,
    now: Time,
) -> Result<(), DbErr> {
    let change = passkey::ActiveModel {
        credential: Set(credential),
        last_use_time: Set(Some(now)),
        ..Default::default()
    };
    passkey::Entity::update_many()
        .set(change)
        .filter(passkey::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

/// Forgets all of a user.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn remove_all(tx: &impl ConnectionTrait, user: Uuid) -> Result<(), DbErr> {
    passkey::Entity::delete_many()
        .filter(passkey::Column::UserId.eq(user))
        .exec(tx)
        .await?;
    Ok(())
}

/// Forgets one of a user. False when there is none.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn remove(tx: &impl ConnectionTrait, user: Uuid, id: Uuid) -> Result<bool, DbErr> {
    let removed = passkey::Entity::delete_many()
        .filter(passkey::Column::Id.eq(id))
        .filter(passkey::Column::UserId.eq(user))
        .exec(tx)
        .await?;
    Ok(removed.rows_affected == 1)
}
