//! Who payers are at Stripe.

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
};

use super::entity::payments::customer;
use crate::domain::Time;
use crate::domain::payer::Payer;
use crate::error::Error;

/// The id of a payer's customer at Stripe.
///
/// # Errors
/// [`Error::Database`].
pub async fn find(conn: &impl ConnectionTrait, payer: &Payer) -> Result<Option<String>, Error> {
    let row = customer::Entity::find_by_id(payer.to_string());
    Ok(row.one(conn).await?.map(|row| row.customer))
}

/// Keeps a payer's customer, unless there is one, and answers which one is kept.
///
/// # Errors
/// [`Error::Database`].
pub async fn keep(
    tx: &DatabaseTransaction,
    payer: &Payer,
    customer: &str,
    now: Time,
) -> Result<String, Error> {
    let new = customer::Model {
        payer: payer.to_string(),
        customer: customer.to_owned(),
        create_time: now,
    };
    let there = OnConflict::column(customer::Column::Payer)
        .do_nothing()
        .to_owned();
    customer::Entity::insert(new.into_active_model())
        .on_conflict(there)
        .exec_without_returning(tx)
        .await?;
    let kept = find(tx, payer).await?;
    kept.ok_or_else(|| Error::Broken(format!("the customer of {payer} is not there")))
}

/// Forgets a payer's customer, if it is still this one.
///
/// # Errors
/// [`Error::Database`].
pub async fn forget(tx: &DatabaseTransaction, payer: &Payer, customer: &str) -> Result<(), Error> {
    customer::Entity::delete_many()
        .filter(customer::Column::Payer.eq(payer.to_string()))
        .filter(customer::Column::Customer.eq(customer))
        .exec(tx)
        .await?;
    Ok(())
}
