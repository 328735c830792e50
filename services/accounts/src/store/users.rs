//! People.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    SqlErr,
};
use uuid::Uuid;

use super::entity::people::user;

/// May sign in.
pub const ACTIVE: i16 = 1;

/// An operator has disabled the account.
pub const DISABLED: i16 = 2;

/// To be erased when the grace period ends.
pub const LEAVING: i16 = 3;

/// Whether an account in a state lets its owner in.
#[must_use]
pub const fn may_sign_in(state: i16) -> bool {
    matches!(state, ACTIVE | LEAVING)
}

/// A user by id.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find_by_id(id).one(conn).await
}

/// A user by the key of the address.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find_by_email_key(
    conn: &impl ConnectionTrait,
    email_key: &str,
) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find()
        .filter(user::Column::EmailKey.eq(email_key))
        .one(conn)
        .await
}

/// A user by id, whom nobody else changes until the transaction ends.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn lock(tx: &impl ConnectionTrait, id: Uuid) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find_by_id(id).lock_exclusive().one(tx).await
}

/// Adds a user. False when the address has an account already.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, user: user::Model) -> Result<bool, DbErr> {
    let taken = sea_orm::sea_query::OnConflict::column(user::Column::EmailKey)
        .do_nothing()
        .to_owned();
    let inserted = user::Entity::insert(user.into_active_model())
        .on_conflict(taken)
        .exec_without_returning(tx)
        .await?;
    Ok(inserted > 0)
}

/// Changes what is set of a user.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn update(
    tx: &impl ConnectionTrait,
    id: Uuid,
    change: user::ActiveModel,
) -> Result<(), DbErr> {
    user::Entity::update_many()
        .set(change)
        .filter(user::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

/// As [`update`]. False when somebody else has taken the address at the same moment; the transaction is then to be given up.
///
/// # Errors
/// [`DbErr`] when the database refuses it for another reason.
pub async fn change_address(
    tx: &impl ConnectionTrait,
    id: Uuid,
    change: user::ActiveModel,
) -> Result<bool, DbErr> {
    match update(tx, id, change).await {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether there is anybody who administers the platform.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn has_operator(conn: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let operator = user::Entity::find().filter(user::Column::IsOperator.eq(true));
    Ok(operator.one(conn).await?.is_some())
}
