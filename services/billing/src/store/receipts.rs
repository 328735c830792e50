//! Receipts: what was paid, and what credits it gave.

use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::payments::receipt;
use crate::domain::payer::Payer;
use crate::error::Error;

/// Reads a receipt by its id, that of a pack's payment or of a plan's invoice.
///
/// # Errors
/// [`Error::Database`].
pub async fn find(conn: &impl ConnectionTrait, id: &str) -> Result<Option<receipt::Model>, Error> {
    Ok(receipt::Entity::find_by_id(id).one(conn).await?)
}

/// Reads the receipt that a payment belongs to.
///
/// # Errors
/// [`Error::Database`].
pub async fn of_payment(
    conn: &impl ConnectionTrait,
    payment: &str,
) -> Result<Option<receipt::Model>, Error> {
    let found = receipt::Entity::find().filter(receipt::Column::Payment.eq(payment));
    Ok(found.one(conn).await?)
}

/// Reads receipts of a payer, or of everybody, newest first.
///
/// # Errors
/// [`Error::Database`].
pub async fn newest(
    conn: &impl ConnectionTrait,
    payer: Option<&Payer>,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<receipt::Model>, Error> {
    let mut found = receipt::Entity::find();
    if let Some(payer) = payer {
        found = found.filter(receipt::Column::Payer.eq(payer.to_string()));
    }
    if let Some(before) = before {
        found = found.filter(receipt::Column::Seq.lt(before));
    }
    let rows = found.order_by_desc(receipt::Column::Seq).limit(limit);
    Ok(rows.all(conn).await?)
}

/// Adds a receipt. The payer must be locked.
///
/// # Errors
/// [`Error::Database`], also when it is there.
pub async fn insert(tx: &DatabaseTransaction, row: receipt::Model) -> Result<(), Error> {
    receipt::Entity::insert(row.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Writes what may change of a receipt: what was paid and went back, what credits were taken, and how people find it. The
/// payer must be locked.
///
/// # Errors
/// [`Error::Database`]; [`Error::Broken`] when there is none.
pub async fn update(tx: &DatabaseTransaction, row: &receipt::Model) -> Result<(), Error> {
    let change = receipt::ActiveModel {
        paid: Set(row.paid),
        refunded: Set(row.refunded),
        disputed: Set(row.disputed),
        taken: Set(row.taken),
        turns: Set(row.turns),
        payment: Set(row.payment.clone()),
        invoice_number: Set(row.invoice_number.clone()),
        invoice_url: Set(row.invoice_url.clone()),
        ..Default::default()
    };
    let changed = receipt::Entity::update_many()
        .set(change)
        .filter(receipt::Column::Id.eq(row.id.as_str()))
        .exec(tx)
        .await?;
    if changed.rows_affected == 1 {
        return Ok(());
    }
    let id = &row.id;
    Err(Error::Broken(format!("the receipt {id} is not there")))
}
