//! What payers spent in windows, kept beside the holds.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter,
};

use super::credits;
use super::entity::payers::window_spend;
use crate::domain::Time;
use crate::domain::credits::Credits;
use crate::domain::payer::Payer;
use crate::error::Error;

/// What a payer holds, or has captured and not got back, in the window that begins at `window_start`.
///
/// # Errors
/// [`Error::Database`].
pub async fn spent(
    conn: &impl ConnectionTrait,
    payer: &Payer,
    window_start: Time,
) -> Result<Credits, Error> {
    let row = window_spend::Entity::find_by_id((payer.to_string(), window_start));
    let row = row.one(conn).await?;
    row.map_or(Ok(Credits::ZERO), |row| credits(row.spent))
}

/// More was spent. The payer must be locked.
///
/// # Errors
/// [`Error::Database`].
pub async fn add(
    tx: &DatabaseTransaction,
    payer: &Payer,
    window_start: Time,
    more: Credits,
) -> Result<(), Error> {
    let row = window_spend::ActiveModel {
        payer: Set(payer.to_string()),
        window_start: Set(window_start),
        spent: Set(more.get()),
    };
    let spent = Expr::col((window_spend::Entity, window_spend::Column::Spent));
    let again = OnConflict::columns([
        window_spend::Column::Payer,
        window_spend::Column::WindowStart,
    ])
    .value(window_spend::Column::Spent, spent.add(more.get()))
    .to_owned();
    window_spend::Entity::insert(row)
        .on_conflict(again)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Something was not spent after all. The payer must be locked.
///
/// # Errors
/// [`Error::Database`]; [`Error::Broken`] when less was spent.
pub async fn take_off(
    tx: &DatabaseTransaction,
    payer: &Payer,
    window_start: Time,
    less: Credits,
) -> Result<(), Error> {
    if less.is_zero() {
        return Ok(());
    }
    let spent = Expr::col(window_spend::Column::Spent);
    let changed = window_spend::Entity::update_many()
        .col_expr(window_spend::Column::Spent, spent.sub(less.get()))
        .filter(window_spend::Column::Payer.eq(payer.to_string()))
        .filter(window_spend::Column::WindowStart.eq(window_start))
        .filter(window_spend::Column::Spent.gte(less.get()))
        .exec(tx)
        .await?;
    if changed.rows_affected == 1 {
        return Ok(());
    }
    let problem = format!("{payer} has not spent {less} since {window_start}");
    Err(Error::Broken(problem))
}
