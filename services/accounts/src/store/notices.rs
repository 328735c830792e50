//! Notices that other services had people told.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, IntoActiveModel};
use uuid::Uuid;

use super::entity::people::notice;
use crate::domain::Time;

/// Keeps the id of a notice, in the transaction in which it is told. False when it was told before.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<bool, DbErr> {
    let row = notice::Model {
        id,
        create_time: now,
    };
    let told = OnConflict::column(notice::Column::Id)
        .do_nothing()
        .to_owned();
    let inserted = notice::Entity::insert(row.into_active_model())
        .on_conflict(told)
        .exec_without_returning(tx)
        .await?;
    Ok(inserted > 0)
}
