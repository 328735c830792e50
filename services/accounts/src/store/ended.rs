//! Sessions, keys and subjects that have ended while tokens of theirs may live.

use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, ExprTrait};
use uuid::Uuid;

use super::entity::trust::ended;
use crate::domain::Time;

/// How much later than a transaction that ends something another one may still sign a token that it has not seen ended.
const RACE: TimeDelta = TimeDelta::minutes(1);

/// Notes that every token of `id` is refused from now on: it never goes on.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn note_for_good(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<(), DbErr> {
    note(tx, id, now + RACE).await
}

/// Notes that tokens of `id` that were issued until now are refused from now on.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn note(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<(), DbErr> {
    let row = ended::ActiveModel {
        id: Set(id),
        end_time: Set(now),
    };
    // Another transaction may have noted a later time.
    let is_later =
        Expr::cust("excluded.end_time").gt(Expr::col((ended::Entity, ended::Column::EndTime)));
    let latest = OnConflict::column(ended::Column::Id)
        .update_column(ended::Column::EndTime)
        .action_and_where(is_later)
        .to_owned();
    ended::Entity::insert(row)
        .on_conflict(latest)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}
