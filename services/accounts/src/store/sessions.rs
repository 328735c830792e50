//! Sessions of people.

use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use super::ended;
use super::entity::people::session;
use crate::domain::Time;
use crate::domain::session::IDLE;

/// Adds a session.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, session: session::Model) -> Result<(), DbErr> {
    session::Entity::insert(session.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// A session by id, which nobody else changes until the transaction ends.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn lock(tx: &impl ConnectionTrait, id: Uuid) -> Result<Option<session::Model>, DbErr> {
    session::Entity::find_by_id(id)
        .lock_exclusive()
        .one(tx)
        .await
}

/// A session by id.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<session::Model>, DbErr> {
    session::Entity::find_by_id(id).one(conn).await
}

/// Changes what is set of a session.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn update(
    tx: &impl ConnectionTrait,
    id: Uuid,
    change: session::ActiveModel,
) -> Result<(), DbErr> {
    session::Entity::update_many()
        .set(change)
        .filter(session::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

/// The sessions of a user that go on, the one used last first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn live_of(
    conn: &impl ConnectionTrait,
    user: Uuid,
    now: Time,
) -> Result<Vec<session::Model>, DbErr> {
    session::Entity::find()
        .filter(session::Column::UserId.eq(user))
        .filter(session::Column::EndTime.is_null())
        .filter(session::Column::ExpireTime.gt(now))
        .filter(session::Column::LastUseTime.gt(now - IDLE))
        .order_by_desc(session::Column::LastUseTime)
        .order_by_desc(session::Column::Id)
        .all(conn)
        .await
}

/// Ends sessions, and with them their tokens. Locks them in the order of their ids, as everybody does.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn end(tx: &impl ConnectionTrait, ids: &[Uuid], now: Time) -> Result<(), DbErr> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    // An update alone locks rows in whichever order it finds them.
    session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(session::Column::Id.is_in(ids.iter().copied()))
        .order_by_asc(session::Column::Id)
        .lock_exclusive()
        .into_tuple::<Uuid>()
        .all(tx)
        .await?;
    let change = session::ActiveModel {
        end_time: Set(Some(now)),
        ..Default::default()
    };
    session::Entity::update_many()
        .set(change)
        .filter(session::Column::Id.is_in(ids.iter().copied()))
        .filter(session::Column::EndTime.is_null())
        .exec(tx)
        .await?;
    for id in ids {
        ended::note_for_good(tx, id, now).await?;
    }
    Ok(())
}
