//! Sessions, keys and subjects that have ended while tokens of theirs may live.

use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait};
use uuid::Uuid;

use super::entity::trust::ended;
use crate::domain::Time;

/// Clocks of replicas differ by less, and a token that is made at this moment is made within it.
const MARGIN: TimeDelta = TimeDelta::seconds(60);

/// Notes that `id` has ended and does not come back: its tokens are refused from now on, also one that another replica
/// makes at this moment, or whose clock is a little ahead.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn note_for_good(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<(), DbErr> {
    note(tx, id, now + MARGIN).await
}

/// Notes that tokens of `id` that were issued until now are refused from now on. Later ones are good.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn note(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<(), DbErr> {
    let row = ended::ActiveModel {
        id: Set(id),
        end_time: Set(now),
    };
    let latest = OnConflict::column(ended::Column::Id)
        .update_column(ended::Column::EndTime)
        .to_owned();
    ended::Entity::insert(row)
        .on_conflict(latest)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}
