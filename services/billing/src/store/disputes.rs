//! Disputes, as they were fetched last, and what an operator has settled of them.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    Select,
};

use super::entity::payments::dispute;
use crate::domain::payer::Payer;
use crate::domain::payment::DisputeStanding;
use crate::error::Error;

/// Where the money is not here.
const AWAY: [i16; 2] = [DisputeStanding::AtBank.code(), DisputeStanding::Lost.code()];

/// Reads a dispute.
///
/// # Errors
/// [`Error::Database`].
pub async fn find(conn: &impl ConnectionTrait, id: &str) -> Result<Option<dispute::Model>, Error> {
    Ok(dispute::Entity::find_by_id(id).one(conn).await?)
}

/// Writes a dispute as it stands; what an operator has settled stays so. The payer must be locked.
///
/// # Errors
/// [`Error::Database`].
pub async fn put(tx: &DatabaseTransaction, row: dispute::Model) -> Result<(), Error> {
    let there = OnConflict::column(dispute::Column::Id)
        .update_columns([
            dispute::Column::State,
            dispute::Column::Amount,
            dispute::Column::Reason,
        ])
        .to_owned();
    dispute::Entity::insert(row.into_active_model())
        .on_conflict(there)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// How much of the money of a receipt is not here, for all its disputes.
///
/// # Errors
/// [`Error::Database`].
pub async fn away(conn: &impl ConnectionTrait, receipt: &str) -> Result<i64, Error> {
    let rows = those_away().filter(dispute::Column::Receipt.eq(receipt));
    let amounts = rows.all(conn).await?.into_iter().map(|row| row.amount);
    Ok(amounts.fold(0, i64::saturating_add))
}

/// Whether a dispute stops a payer.
///
/// # Errors
/// [`Error::Database`].
pub async fn stop(conn: &impl ConnectionTrait, payer: &Payer) -> Result<bool, Error> {
    let found = of_payer(payer).filter(dispute::Column::IsSettled.eq(false));
    Ok(found.one(conn).await?.is_some())
}

/// Notes that an operator lets a payer go on, whatever stopped it so far. The payer must be locked.
///
/// # Errors
/// [`Error::Database`].
pub async fn settle(tx: &DatabaseTransaction, payer: &Payer) -> Result<(), Error> {
    dispute::Entity::update_many()
        .col_expr(dispute::Column::IsSettled, Expr::value(true))
        .filter(dispute::Column::Payer.eq(payer.to_string()))
        // A bank that only asks may still take the money; that would be news.
        .filter(dispute::Column::State.is_in(AWAY))
        .exec(tx)
        .await?;
    Ok(())
}

fn of_payer(payer: &Payer) -> Select<dispute::Entity> {
    those_away().filter(dispute::Column::Payer.eq(payer.to_string()))
}

fn those_away() -> Select<dispute::Entity> {
    dispute::Entity::find().filter(dispute::Column::State.is_in(AWAY))
}

#[cfg(test)]
mod tests;
