//! Voucher codes, as their keyed hashes.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use super::entity::vouchers::voucher;
use crate::domain::Time;

/// Adds codes. A statement of a database takes the columns of some thousands of rows at most.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, codes: Vec<voucher::Model>) -> Result<(), DbErr> {
    voucher::Entity::insert_many(codes.into_iter().map(IntoActiveModel::into_active_model))
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// A voucher by the hash of its code.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn of_code(
    db: &impl ConnectionTrait,
    code_hmac: Vec<u8>,
) -> Result<Option<voucher::Model>, DbErr> {
    voucher::Entity::find()
        .filter(voucher::Column::CodeHmac.eq(code_hmac))
        .one(db)
        .await
}

/// A voucher by id.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<voucher::Model>, DbErr> {
    voucher::Entity::find_by_id(id).one(db).await
}

/// Uses a voucher once. False when it is disabled, or has no use left.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn use_once(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<bool, DbErr> {
    let uses = Expr::col(voucher::Column::Uses);
    let used = voucher::Entity::update_many()
        .col_expr(voucher::Column::Uses, uses.clone().add(1))
        .col_expr(voucher::Column::LastUseTime, Expr::value(now))
        .filter(voucher::Column::Id.eq(id))
        .filter(voucher::Column::DisableTime.is_null())
        .filter(uses.lt(Expr::col(voucher::Column::MaxUses)))
        .exec(tx)
        .await?;
    Ok(used.rows_affected == 1)
}

/// Disables a voucher, unless it is disabled. It waits for redemptions of it under way, and later ones see it.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn disable(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<(), DbErr> {
    let change = voucher::ActiveModel {
        disable_time: Set(Some(now)),
        ..Default::default()
    };
    voucher::Entity::update_many()
        .set(change)
        .filter(voucher::Column::Id.eq(id))
        .filter(voucher::Column::DisableTime.is_null())
        .exec(tx)
        .await?;
    Ok(())
}

/// Lists codes of a campaign in the order in which they were made.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn of_campaign(
    db: &impl ConnectionTrait,
    campaign: &str,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<voucher::Model>, DbErr> {
    let mut found = voucher::Entity::find().filter(voucher::Column::Campaign.eq(campaign));
    if let Some(after) = after {
        found = found.filter(voucher::Column::Id.gt(after));
    }
    found
        .order_by_asc(voucher::Column::Id)
        .limit(limit)
        .all(db)
        .await
}
