//! Parts of soft caps that were reached: each once a window.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::credits;
use super::entity::payers::spend_alert;
use crate::domain::Time;
use crate::domain::cap::SpendAlert;
use crate::domain::payer::Payer;
use crate::error::Error;

/// Notes alerts of a window that are not there yet, and answers how many these are. The payer must be locked.
///
/// # Errors
/// [`Error::Database`].
pub async fn insert(
    tx: &DatabaseTransaction,
    payer: &Payer,
    window_start: Time,
    alerts: Vec<SpendAlert>,
) -> Result<u64, Error> {
    if alerts.is_empty() {
        return Ok(0);
    }
    let rows = alerts.into_iter().map(|alert| spend_alert::ActiveModel {
        payer: Set(payer.to_string()),
        window_start: Set(window_start),
        percent: Set(i16::try_from(alert.percent).unwrap_or(i16::MAX)),
        soft_credits: Set(alert.soft.get()),
        spent: Set(alert.spent.get()),
        create_time: Set(alert.create_time),
    });
    let there = OnConflict::columns([
        spend_alert::Column::Payer,
        spend_alert::Column::WindowStart,
        spend_alert::Column::Percent,
    ])
    .do_nothing()
    .to_owned();
    let insert = spend_alert::Entity::insert_many(rows).on_conflict(there);
    Ok(insert.exec_without_returning(tx).await?)
}

/// Reads a payer's alerts since some time, newest first.
///
/// # Errors
/// [`Error::Database`].
pub async fn newest(
    conn: &impl ConnectionTrait,
    payer: &Payer,
    since: Time,
    limit: u64,
) -> Result<Vec<SpendAlert>, Error> {
    let rows = spend_alert::Entity::find()
        .filter(spend_alert::Column::Payer.eq(payer.to_string()))
        .filter(spend_alert::Column::CreateTime.gte(since))
        .order_by_desc(spend_alert::Column::CreateTime)
        .order_by_desc(spend_alert::Column::Percent)
        .limit(limit)
        .all(conn)
        .await?;
    let alert = |row: spend_alert::Model| {
        Ok(SpendAlert {
            percent: u32::try_from(row.percent).unwrap_or_default(),
            soft: credits(row.soft_credits)?,
            spent: credits(row.spent)?,
            create_time: row.create_time,
        })
    };
    rows.into_iter().map(alert).collect()
}
