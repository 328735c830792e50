//! Who redeemed which voucher, and how much of a campaign.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use super::entity::vouchers::{redemption, share};
use crate::domain::Time;

/// What was redeemed of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// Everything.
    All,
    /// A campaign, by name.
    Campaign(String),
    /// One voucher.
    Voucher(Uuid),
}

/// How much of a campaign a person has redeemed. Nobody else counts on until the transaction ends.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn lock_share(
    tx: &impl ConnectionTrait,
    campaign: &str,
    user: Uuid,
) -> Result<i32, DbErr> {
    let new = share::ActiveModel {
        campaign: Set(campaign.to_owned()),
        user_id: Set(user),
        redemptions: Set(0),
    };
    let there = OnConflict::columns([share::Column::Campaign, share::Column::UserId])
        .do_nothing()
        .to_owned();
    share::Entity::insert(new)
        .on_conflict(there)
        .exec_without_returning(tx)
        .await?;
    let row = share::Entity::find_by_id((campaign.to_owned(), user)).lock_exclusive();
    let row = row.one(tx).await?;
    Ok(row.map_or(0, |row| row.redemptions))
}

/// Sets how much it is, of a locked one.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn set_share(
    tx: &impl ConnectionTrait,
    campaign: &str,
    user: Uuid,
    redemptions: i32,
) -> Result<(), DbErr> {
    share::Entity::update_many()
        .col_expr(share::Column::Redemptions, Expr::value(redemptions))
        .filter(share::Column::Campaign.eq(campaign))
        .filter(share::Column::UserId.eq(user))
        .exec(tx)
        .await?;
    Ok(())
}

/// Adds a redemption.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, new: redemption::Model) -> Result<(), DbErr> {
    redemption::Entity::insert(new.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// What a person redeemed of a voucher last.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn last_of(
    tx: &impl ConnectionTrait,
    voucher: Uuid,
    user: Uuid,
) -> Result<Option<redemption::Model>, DbErr> {
    redemption::Entity::find()
        .filter(redemption::Column::VoucherId.eq(voucher))
        .filter(redemption::Column::UserId.eq(user))
        .order_by_desc(redemption::Column::Ordinal)
        .one(tx)
        .await
}

/// Lists what a person redeemed, newest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn of_user(
    db: &impl ConnectionTrait,
    user: Uuid,
    limit: u64,
) -> Result<Vec<redemption::Model>, DbErr> {
    redemption::Entity::find()
        .filter(redemption::Column::UserId.eq(user))
        .order_by_desc(redemption::Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// Lists redemptions, oldest first, of those after `after` up to and with `last`.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn oldest(
    db: &impl ConnectionTrait,
    of: &Of,
    after: Option<Uuid>,
    last: Uuid,
    limit: u64,
) -> Result<Vec<redemption::Model>, DbErr> {
    let found = after_that(of, after).filter(redemption::Column::Id.lte(last));
    found.limit(limit).all(db).await
}

/// Lists redemptions that were not taken back, oldest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn standing(
    db: &impl ConnectionTrait,
    of: &Of,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<redemption::Model>, DbErr> {
    let found = after_that(of, after).filter(redemption::Column::ClawBackTime.is_null());
    found.limit(limit).all(db).await
}

/// Marks a redemption as taken back. False when it was before: of two who do so at once, one does.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn claw_back(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<bool, DbErr> {
    let marked = redemption::Entity::update_many()
        .col_expr(redemption::Column::ClawBackTime, Expr::value(now))
        .filter(redemption::Column::Id.eq(id))
        .filter(redemption::Column::ClawBackTime.is_null())
        .exec(tx)
        .await?;
    Ok(marked.rows_affected == 1)
}

/// Notes what was left of it.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn set_clawed_back(
    tx: &impl ConnectionTrait,
    id: Uuid,
    credits: i64,
) -> Result<(), DbErr> {
    redemption::Entity::update_many()
        .col_expr(redemption::Column::ClawedBack, Expr::value(credits))
        .filter(redemption::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

fn after_that(of: &Of, after: Option<Uuid>) -> Select<redemption::Entity> {
    let mut found = redemption::Entity::find().order_by_asc(redemption::Column::Id);
    match of {
        Of::All => {}
        Of::Campaign(name) => found = found.filter(redemption::Column::Campaign.eq(name)),
        Of::Voucher(id) => found = found.filter(redemption::Column::VoucherId.eq(*id)),
    }
    if let Some(after) = after {
        found = found.filter(redemption::Column::Id.gt(after));
    }
    found
}
