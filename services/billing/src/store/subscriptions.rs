//! Subscriptions, as they were fetched last.

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder,
};

use super::entity::payments::subscription;
use crate::domain::payer::Payer;
use crate::error::Error;

/// Reads a subscription.
///
/// # Errors
/// [`Error::Database`].
pub async fn find(
    conn: &impl ConnectionTrait,
    id: &str,
) -> Result<Option<subscription::Model>, Error> {
    Ok(subscription::Entity::find_by_id(id).one(conn).await?)
}

/// Writes a subscription as it stands. The payer must be locked.
///
/// # Errors
/// [`Error::Database`].
pub async fn put(tx: &DatabaseTransaction, row: subscription::Model) -> Result<(), Error> {
    let there = OnConflict::column(subscription::Column::Id)
        .update_columns([
            subscription::Column::Plan,
            subscription::Column::Status,
            subscription::Column::PeriodStart,
            subscription::Column::PeriodEnd,
            subscription::Column::EndsWithPeriod,
        ])
        .to_owned();
    subscription::Entity::insert(row.into_active_model())
        .on_conflict(there)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Reads a payer's subscriptions, the last to end first.
///
/// # Errors
/// [`Error::Database`].
pub async fn of_payer(
    conn: &impl ConnectionTrait,
    payer: &Payer,
) -> Result<Vec<subscription::Model>, Error> {
    let rows = subscription::Entity::find()
        .filter(subscription::Column::Payer.eq(payer.to_string()))
        .order_by_desc(subscription::Column::PeriodEnd)
        .order_by_asc(subscription::Column::Id);
    Ok(rows.all(conn).await?)
}
