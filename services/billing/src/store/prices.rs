//! Price books. They are never changed; the one with the highest version holds.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryOrder};

use super::entity::rules::price_book;
use crate::domain::Time;
use crate::domain::price::{PriceBook, Prices};
use crate::error::Error;

/// Reads the present prices.
///
/// # Errors
/// [`Error::Broken`] when there are none, or they cannot be read; [`Error::Database`].
pub async fn present(conn: &impl ConnectionTrait) -> Result<PriceBook, Error> {
    let query = price_book::Entity::find().order_by_desc(price_book::Column::Version);
    let row = query.one(conn).await?;
    from_row(row.ok_or_else(none)?)
}

/// A service without prices was never prepared.
pub(super) fn none() -> Error {
    Error::Broken("there are no prices".to_owned())
}

pub(super) fn from_row(row: price_book::Model) -> Result<PriceBook, Error> {
    let broken = |error: serde_json::Error| Error::Broken(format!("a price book: {error}"));
    Ok(PriceBook {
        version: u32::try_from(row.version).unwrap_or_default(),
        create_time: row.create_time,
        prices: serde_json::from_str(&row.body).map_err(broken)?,
    })
}

/// Adds a price book, and answers whether its version was free.
///
/// # Errors
/// [`Error::Database`].
pub async fn insert(
    tx: &DatabaseTransaction,
    version: u32,
    prices: &Prices,
    now: Time,
) -> Result<bool, Error> {
    let broken = |error: serde_json::Error| Error::Broken(format!("a price book: {error}"));
    let too_many = |_| Error::Broken("there are too many price books".to_owned());
    let row = price_book::Model {
        version: i32::try_from(version).map_err(too_many)?,
        create_time: now,
        body: serde_json::to_string(prices).map_err(broken)?,
    };
    let there = OnConflict::column(price_book::Column::Version)
        .do_nothing()
        .to_owned();
    let insert = price_book::Entity::insert(row.into_active_model()).on_conflict(there);
    Ok(insert.exec_without_returning(tx).await? == 1)
}
