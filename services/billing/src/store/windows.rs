//! The window that an operator has set for everybody.

use sea_orm::sea_query::OnConflict;
use sea_orm::{DatabaseTransaction, EntityTrait, IntoActiveModel};

use super::entity::rules::operator_window;
use crate::domain::window::Window;
use crate::error::Error;

/// There is one or none.
pub(super) const ID: i16 = 1;

pub(super) const fn from_row(row: operator_window::Model) -> Window {
    Window {
        start: row.start_time,
        end: row.end_time,
    }
}

/// Sets or removes it.
///
/// # Errors
/// [`Error::Database`].
pub async fn set(tx: &DatabaseTransaction, window: Option<Window>) -> Result<(), Error> {
    let Some(window) = window else {
        operator_window::Entity::delete_by_id(ID).exec(tx).await?;
        return Ok(());
    };
    let row = operator_window::Model {
        id: ID,
        start_time: window.start,
        end_time: window.end,
    };
    let again = OnConflict::column(operator_window::Column::Id)
        .update_columns([
            operator_window::Column::StartTime,
            operator_window::Column::EndTime,
        ])
        .to_owned();
    operator_window::Entity::insert(row.into_active_model())
        .on_conflict(again)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}
