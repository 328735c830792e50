//! Campaigns of voucher codes.

use std::collections::HashMap;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::entity::vouchers::{campaign, redemption};
use crate::domain::Time;

/// Adds a campaign. False when its name is taken, or its request was made before; the one that was first has been
/// committed then.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, new: campaign::Model) -> Result<bool, DbErr> {
    // Of either kind: by name, or by request.
    let taken = OnConflict::new().do_nothing().to_owned();
    let inserted = campaign::Entity::insert(new.into_active_model())
        .on_conflict(taken)
        .exec_without_returning(tx)
        .await?;
    Ok(inserted > 0)
}

/// The campaign that a request made.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn of_request(
    db: &impl ConnectionTrait,
    request: &str,
) -> Result<Option<campaign::Model>, DbErr> {
    campaign::Entity::find()
        .filter(campaign::Column::Request.eq(request))
        .one(db)
        .await
}

/// A campaign by name.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find(db: &impl ConnectionTrait, name: &str) -> Result<Option<campaign::Model>, DbErr> {
    campaign::Entity::find_by_id(name).one(db).await
}

/// A campaign that nobody disables until the transaction ends. Any number of redemptions hold it at a time.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn lock_shared(
    tx: &impl ConnectionTrait,
    name: &str,
) -> Result<Option<campaign::Model>, DbErr> {
    campaign::Entity::find_by_id(name)
        .lock_shared()
        .one(tx)
        .await
}

/// Disables a campaign, unless it is disabled. It waits for redemptions under way, and later ones see it.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn disable(tx: &impl ConnectionTrait, name: &str, now: Time) -> Result<(), DbErr> {
    let change = campaign::ActiveModel {
        disable_time: Set(Some(now)),
        ..Default::default()
    };
    campaign::Entity::update_many()
        .set(change)
        .filter(campaign::Column::Name.eq(name))
        .filter(campaign::Column::DisableTime.is_null())
        .exec(tx)
        .await?;
    Ok(())
}

/// Lists campaigns, newest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn newest(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<campaign::Model>, DbErr> {
    campaign::Entity::find()
        .order_by_desc(campaign::Column::CreateTime)
        .order_by_asc(campaign::Column::Name)
        .limit(limit)
        .all(db)
        .await
}

/// Counts the redemptions of campaigns.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn redemptions(
    db: &impl ConnectionTrait,
    names: Vec<String>,
) -> Result<HashMap<String, i64>, DbErr> {
    let counted: Vec<(String, i64)> = redemption::Entity::find()
        .select_only()
        .column(redemption::Column::Campaign)
        .column_as(redemption::Column::Id.count(), "number")
        .filter(redemption::Column::Campaign.is_in(names))
        .group_by(redemption::Column::Campaign)
        .into_tuple()
        .all(db)
        .await?;
    Ok(counted.into_iter().collect())
}
