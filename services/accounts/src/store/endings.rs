//! How what acts for a user ends: sessions, keys, and the tokens that they got.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::entity::people::session;
use super::entity::programs::api_key;
use super::{ended, sessions};
use crate::domain::Time;

/// Ends all sessions of a user. Tokens that came from them are refused within seconds. Answers how many there were.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn sessions_of(tx: &impl ConnectionTrait, user: Uuid, now: Time) -> Result<usize, DbErr> {
    let live: Vec<Uuid> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(session::Column::UserId.eq(user))
        .filter(session::Column::EndTime.is_null())
        .into_tuple()
        .all(tx)
        .await?;
    sessions::end(tx, &live, now).await?;
    Ok(live.len())
}

/// Ends a key, and the tokens that it got. False when there is no such key.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn key(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<bool, DbErr> {
    if api_key::Entity::find_by_id(id).one(tx).await?.is_none() {
        return Ok(false);
    }
    api_key::Entity::update_many()
        .col_expr(api_key::Column::RevokeTime, Expr::value(now))
        .filter(api_key::Column::Id.eq(id))
        .filter(api_key::Column::RevokeTime.is_null())
        .exec(tx)
        .await?;
    ended::note_for_good(tx, id, now).await?;
    Ok(true)
}

/// Ends all sessions and keys of a user, and every token that names the user.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn everything_of(tx: &impl ConnectionTrait, user: Uuid, now: Time) -> Result<(), DbErr> {
    sessions_of(tx, user, now).await?;
    let live: Vec<Uuid> = api_key::Entity::find()
        .select_only()
        .column(api_key::Column::Id)
        .filter(api_key::Column::UserId.eq(user))
        .filter(api_key::Column::RevokeTime.is_null())
        .into_tuple()
        .all(tx)
        .await?;
    for id in live {
        key(tx, id, now).await?;
    }
    ended::note(tx, user, now).await
}
