//! Counters of wrong voucher codes.

use kinora_access::throttle::{Counter, FORGET};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect,
};

use super::entity::vouchers::tries;
use crate::domain::Time;

/// A counter, which nobody else changes until the transaction ends. Lock several in the order of their keys.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn lock(tx: &impl ConnectionTrait, key: &str, now: Time) -> Result<Counter, DbErr> {
    let new = tries::ActiveModel {
        key: Set(key.to_owned()),
        failures: Set(0),
        last_time: Set(now),
    };
    let there = OnConflict::column(tries::Column::Key)
        .do_nothing()
        .to_owned();
    tries::Entity::insert(new)
        .on_conflict(there)
        .exec_without_returning(tx)
        .await?;
    let row = tries::Entity::find_by_id(key).lock_exclusive();
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
    now: Time,
) -> Result<(), DbErr> {
    let change = tries::ActiveModel {
        failures: Set(counter.failures),
        last_time: Set(counter.last_time.unwrap_or(now)),
        ..Default::default()
    };
    tries::Entity::update_many()
        .set(change)
        .filter(tries::Column::Key.eq(key))
        .exec(tx)
        .await?;
    Ok(())
}

/// Removes counters that begin anew anyway, and answers how many they were.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn sweep(tx: &impl ConnectionTrait, now: Time) -> Result<u64, DbErr> {
    let removed = tries::Entity::delete_many()
        .filter(tries::Column::LastTime.lt(now - FORGET))
        .exec(tx)
        .await?;
    Ok(removed.rows_affected)
}
