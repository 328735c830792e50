//! Counters of tries, and networks from which people have signed in.

use kinora_access::throttle::{Counter, Rule};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, QuerySelect,
};
use uuid::Uuid;

use super::entity::people::{known_address, throttle};
use crate::domain::Time;

/// A counter, which nobody else changes until the transaction ends. Lock several in the order of their keys.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn lock(tx: &impl ConnectionTrait, key: &str, now: Time) -> Result<Counter, DbErr> {
    let new = throttle::Model {
        key: key.to_owned(),
        failures: 0,
        last_time: now,
        blocked_until: None,
    };
    let there = OnConflict::column(throttle::Column::Key)
        .do_nothing()
        .to_owned();
    throttle::Entity::insert(new.into_active_model())
        .on_conflict(there)
        .exec_without_returning(tx)
        .await?;
    let row = throttle::Entity::find_by_id(key).lock_exclusive();
    let row = row.one(tx).await?;
    Ok(row.map_or_else(Counter::default, |row| Counter {
        failures: row.failures,
        last_time: Some(row.last_time),
    }))
}

/// Writes a locked counter.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn set(
    tx: &impl ConnectionTrait,
    key: &str,
    counter: Counter,
    rule: Rule,
) -> Result<(), DbErr> {
    let mut change = throttle::ActiveModel {
        failures: Set(counter.failures),
        blocked_until: Set(counter.blocked_until(rule)),
        ..Default::default()
    };
    if let Some(last_time) = counter.last_time {
        change.last_time = Set(last_time);
    }
    throttle::Entity::update_many()
        .set(change)
        .filter(throttle::Column::Key.eq(key))
        .exec(tx)
        .await?;
    Ok(())
}

/// Forgets a counter.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn clear(tx: &impl ConnectionTrait, key: &str) -> Result<(), DbErr> {
    throttle::Entity::delete_by_id(key).exec(tx).await?;
    Ok(())
}

/// Whether a user has signed in from a network.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn is_known(
    conn: &impl ConnectionTrait,
    user: Uuid,
    network_sha256: Vec<u8>,
) -> Result<bool, DbErr> {
    let row = known_address::Entity::find_by_id((user, network_sha256));
    Ok(row.one(conn).await?.is_some())
}

/// Notes that a user has signed in from a network.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn know(
    tx: &impl ConnectionTrait,
    user: Uuid,
    network_sha256: Vec<u8>,
    now: Time,
) -> Result<(), DbErr> {
    let row = known_address::ActiveModel {
        user_id: Set(user),
        address_sha256: Set(network_sha256),
        last_time: Set(now),
    };
    let columns = [
        known_address::Column::UserId,
        known_address::Column::AddressSha256,
    ];
    let again = OnConflict::columns(columns)
        .update_column(known_address::Column::LastTime)
        .to_owned();
    known_address::Entity::insert(row)
        .on_conflict(again)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}
