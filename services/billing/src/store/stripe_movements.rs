//! The mirror of what moved in the account's balance at Stripe.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, IntoActiveModel, PaginatorTrait,
    QueryFilter, QuerySelect,
};

use super::entity::payments::movement;
use crate::error::Error;

/// What moved for one receipt in one currency.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Moved {
    /// Which receipt.
    pub receipt: String,
    /// ISO 4217, lower case.
    pub currency: String,
    /// In its smallest unit; what came less what went.
    pub total: i64,
}

/// Keeps movements; those that are there stay as they are.
///
/// # Errors
/// [`Error::Database`].
pub async fn insert(conn: &impl ConnectionTrait, rows: Vec<movement::Model>) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let there = OnConflict::column(movement::Column::Id)
        .do_nothing()
        .to_owned();
    movement::Entity::insert_many(rows.into_iter().map(IntoActiveModel::into_active_model))
        .on_conflict(there)
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

/// Those of these movements of which no receipt is known.
///
/// # Errors
/// [`Error::Database`].
pub async fn unmatched(
    conn: &impl ConnectionTrait,
    ids: &[String],
) -> Result<Vec<movement::Model>, Error> {
    let found = movement::Entity::find()
        .filter(movement::Column::Id.is_in(ids))
        .filter(movement::Column::Receipt.is_null())
        .filter(movement::Column::Source.is_not_null());
    Ok(found.all(conn).await?)
}

/// Notes the receipt that a movement belongs to.
///
/// # Errors
/// [`Error::Database`].
pub async fn set_receipt(
    conn: &impl ConnectionTrait,
    id: &str,
    receipt: &str,
) -> Result<(), Error> {
    movement::Entity::update_many()
        .col_expr(movement::Column::Receipt, Expr::value(receipt))
        .filter(movement::Column::Id.eq(id))
        .exec(conn)
        .await?;
    Ok(())
}

/// How many movements belong to receipts.
///
/// # Errors
/// [`Error::Database`].
pub async fn matched(conn: &impl ConnectionTrait) -> Result<u64, Error> {
    let found = movement::Entity::find().filter(movement::Column::Receipt.is_not_null());
    Ok(found.count(conn).await?)
}

/// What moved for these receipts.
///
/// # Errors
/// [`Error::Database`].
pub async fn of_receipts(
    conn: &impl ConnectionTrait,
    receipts: &[String],
) -> Result<Vec<Moved>, Error> {
    let found = movement::Entity::find()
        .select_only()
        .columns([movement::Column::Receipt, movement::Column::Currency])
        .column_as(Expr::cust("CAST(SUM(amount) AS BIGINT)"), "total")
        .filter(movement::Column::Receipt.is_in(receipts))
        .group_by(movement::Column::Receipt)
        .group_by(movement::Column::Currency);
    Ok(found.into_model::<Moved>().all(conn).await?)
}
