//! Checkouts: what people set out to buy. A row is there before Stripe is asked, so that nothing is asked twice.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter,
};
use uuid::Uuid;

use super::entity::payments::checkout;
use crate::domain::Time;
use crate::domain::payer::Payer;
use crate::domain::payment::CheckoutState;
use crate::error::Error;

/// Reads a checkout.
///
/// # Errors
/// [`Error::Database`].
pub async fn find(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<checkout::Model>, Error> {
    Ok(checkout::Entity::find_by_id(id).one(conn).await?)
}

/// Reads a checkout of a payer.
///
/// # Errors
/// [`Error::Database`].
pub async fn find_of(
    conn: &impl ConnectionTrait,
    payer: &Payer,
    id: Uuid,
) -> Result<Option<checkout::Model>, Error> {
    let found = find(conn, id).await?;
    Ok(found.filter(|row| row.payer == payer.to_string()))
}

/// How many checkouts a payer has opened after some time.
///
/// # Errors
/// [`Error::Database`].
pub async fn count_after(
    conn: &impl ConnectionTrait,
    payer: &Payer,
    after: Time,
) -> Result<u64, Error> {
    let opened = checkout::Entity::find()
        .filter(checkout::Column::Payer.eq(payer.to_string()))
        .filter(checkout::Column::CreateTime.gt(after));
    Ok(opened.count(conn).await?)
}

/// Adds a checkout. The payer must be locked, and have none of this id.
///
/// # Errors
/// [`Error::Database`].
pub async fn insert(tx: &DatabaseTransaction, row: &checkout::Model) -> Result<(), Error> {
    checkout::Entity::insert(row.clone().into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Notes where a checkout is paid, unless that is known.
///
/// # Errors
/// [`Error::Database`].
pub async fn set_session(
    tx: &DatabaseTransaction,
    id: Uuid,
    session: &str,
    url: &str,
    expire_time: Time,
) -> Result<(), Error> {
    checkout::Entity::update_many()
        .col_expr(checkout::Column::Session, Expr::value(session))
        .col_expr(checkout::Column::Url, Expr::value(url))
        .col_expr(checkout::Column::ExpireTime, Expr::value(expire_time))
        .filter(checkout::Column::Id.eq(id))
        .filter(checkout::Column::Session.is_null())
        .exec(tx)
        .await?;
    Ok(())
}

/// Notes how far a checkout is. One that is paid stays so.
///
/// # Errors
/// [`Error::Database`].
pub async fn set_state(
    tx: &DatabaseTransaction,
    id: Uuid,
    state: CheckoutState,
) -> Result<(), Error> {
    checkout::Entity::update_many()
        .col_expr(checkout::Column::State, Expr::value(state.code()))
        .filter(checkout::Column::Id.eq(id))
        .filter(checkout::Column::State.ne(CheckoutState::Paid.code()))
        .exec(tx)
        .await?;
    Ok(())
}
