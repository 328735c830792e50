//! Sessions, keys and subjects that have ended while tokens of theirs may live.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait};
use uuid::Uuid;

use super::entity::trust::ended;
use crate::domain::Time;

/// Notes that tokens of `id` that were issued until now are refused from now on.
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
