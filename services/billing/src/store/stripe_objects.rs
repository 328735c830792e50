//! How often what is kept of one of Stripe's objects was changed.
//!
//! Stripe is asked outside of transactions, so between the answer and the transaction somebody else may have asked later
//! and written sooner. Who writes therefore reads the revision before asking, and writes only if it is still the same: what
//! is older never replaces what is newer.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use super::entity::payments::object;
use crate::error::Error;

/// The present revision of an object; 0 of one of which nothing was kept yet. Read before Stripe is asked.
///
/// # Errors
/// [`Error::Database`].
pub async fn revision(conn: &impl ConnectionTrait, id: &str) -> Result<i64, Error> {
    let row = object::Entity::find_by_id(id).one(conn).await?;
    Ok(row.map_or(0, |row| row.revision))
}

/// Counts a change, if the revision is still the one that was `read`; false when it is not, and nothing may be committed.
/// The payer must be locked.
///
/// # Errors
/// [`Error::Database`].
pub async fn advance(tx: &DatabaseTransaction, id: &str, read: i64) -> Result<bool, Error> {
    if read > 0 {
        let changed = object::Entity::update_many()
            .col_expr(object::Column::Revision, Expr::value(read + 1))
            .filter(object::Column::Id.eq(id))
            .filter(object::Column::Revision.eq(read))
            .exec(tx)
            .await?;
        return Ok(changed.rows_affected == 1);
    }
    let first = object::ActiveModel {
        id: Set(id.to_owned()),
        revision: Set(1),
    };
    let there = OnConflict::column(object::Column::Id)
        .do_nothing()
        .to_owned();
    let made = object::Entity::insert(first)
        .on_conflict(there)
        .exec_without_returning(tx)
        .await?;
    Ok(made == 1)
}

#[cfg(test)]
mod tests;
