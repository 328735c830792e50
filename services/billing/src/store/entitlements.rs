//! What lets people generate where that is not for everybody.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel,
    QueryFilter,
};
use uuid::Uuid;

use super::entity::payers::entitlement;
use crate::domain::Time;
use crate::error::Error;

/// Lets a person generate from now on.
///
/// # Errors
/// [`Error::Database`].
pub async fn give(
    tx: &DatabaseTransaction,
    user_id: Uuid,
    source: &str,
    ends_at: Option<Time>,
    now: Time,
) -> Result<(), Error> {
    let row = entitlement::Model {
        id: Uuid::now_v7(),
        user_id,
        source: source.to_owned(),
        start_time: now,
        expire_time: ends_at,
        end_time: None,
    };
    entitlement::Entity::insert(row.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Ends what a source gave, and answers how many entitlements these were.
///
/// # Errors
/// [`Error::Database`].
pub async fn end(tx: &DatabaseTransaction, source: &str, now: Time) -> Result<u64, Error> {
    let ended = entitlement::Entity::update_many()
        .col_expr(entitlement::Column::EndTime, Expr::value(now))
        .filter(entitlement::Column::Source.eq(source))
        .filter(entitlement::Column::EndTime.is_null())
        .exec(tx)
        .await?;
    Ok(ended.rows_affected)
}

/// Whether something lets a person generate.
///
/// # Errors
/// [`Error::Database`].
pub async fn has(conn: &impl ConnectionTrait, user_id: Uuid, now: Time) -> Result<bool, Error> {
    let goes_on = Condition::any()
        .add(entitlement::Column::ExpireTime.is_null())
        .add(entitlement::Column::ExpireTime.gt(now));
    let row = entitlement::Entity::find()
        .filter(entitlement::Column::UserId.eq(user_id))
        .filter(entitlement::Column::StartTime.lte(now))
        .filter(entitlement::Column::EndTime.is_null())
        .filter(goes_on);
    Ok(row.one(conn).await?.is_some())
}
