//! People. One who was erased is nobody any more: only the row stays, so that ids in the audit log name something, and
//! no query here finds it.

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Select, SqlErr,
};
use uuid::Uuid;

use super::entity::people::user;
use super::search::holds;

/// May sign in.
pub const ACTIVE: i16 = 1;

/// An operator has disabled the account.
pub const DISABLED: i16 = 2;

/// To be erased when the grace period ends. Its owner may sign in, to change their mind.
pub const LEAVING: i16 = 3;

/// Nothing personal is left.
pub const ERASED: i16 = 4;

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
    there().filter(user::Column::Id.eq(id)).one(conn).await
}

/// A user by the key of the address.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find_by_email_key(
    conn: &impl ConnectionTrait,
    email_key: &str,
) -> Result<Option<user::Model>, DbErr> {
    there()
        .filter(user::Column::EmailKey.eq(email_key))
        .one(conn)
        .await
}

/// A user by id, whom nobody else changes until the transaction ends.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn lock(tx: &impl ConnectionTrait, id: Uuid) -> Result<Option<user::Model>, DbErr> {
    there()
        .filter(user::Column::Id.eq(id))
        .lock_exclusive()
        .one(tx)
        .await
}

/// Adds a user. False when the address has an account already.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, user: user::Model) -> Result<bool, DbErr> {
    let taken = OnConflict::column(user::Column::EmailKey)
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
        Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Whether there is anybody who administers the platform.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn has_operator(conn: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let operator = there().filter(user::Column::IsOperator.eq(true));
    Ok(operator.one(conn).await?.is_some())
}

/// Counts operators who may sign in, but for one.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn operators_beside(tx: &impl ConnectionTrait, id: Uuid) -> Result<u64, DbErr> {
    user::Entity::find()
        .filter(user::Column::IsOperator.eq(true))
        .filter(user::Column::State.eq(ACTIVE))
        .filter(user::Column::Id.ne(id))
        .count(tx)
        .await
}

/// Lists users who fit `query` (part of address or name, or an id; empty for all), newest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn page(
    conn: &impl ConnectionTrait,
    query: &str,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<user::Model>, DbErr> {
    let mut found = there();
    if let Ok(id) = query.parse::<Uuid>() {
        found = found.filter(user::Column::Id.eq(id));
    } else if !query.is_empty() {
        let fits = Condition::any()
            .add(holds(user::Column::EmailKey, query))
            .add(holds(user::Column::DisplayName, query));
        found = found.filter(fits);
    }
    if let Some(before) = before {
        found = found.filter(user::Column::Id.lt(before));
    }
    found
        .order_by_desc(user::Column::Id)
        .limit(limit)
        .all(conn)
        .await
}

fn there() -> Select<user::Entity> {
    user::Entity::find().filter(user::Column::State.ne(ERASED))
}
