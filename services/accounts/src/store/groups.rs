//! Organisations and keys as operators see them.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use super::entity::programs::{api_key, membership, organisation};
use super::search::holds;

/// No owner is shown more keys.
const MAX_KEYS: u64 = 1000;

/// Lists organisations that were not deleted and fit `query` (part of the name, or an id; empty for all), newest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn page(
    db: &impl ConnectionTrait,
    query: &str,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<organisation::Model>, DbErr> {
    let there = organisation::Column::DeleteTime.is_null();
    let mut found = organisation::Entity::find().filter(there);
    if let Ok(id) = query.parse::<Uuid>() {
        found = found.filter(organisation::Column::Id.eq(id));
    } else if !query.is_empty() {
        found = found.filter(holds(organisation::Column::Name, query));
    }
    if let Some(before) = before {
        found = found.filter(organisation::Column::Id.lt(before));
    }
    found
        .order_by_desc(organisation::Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// Counts the members of organisations.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn members(
    db: &impl ConnectionTrait,
    organisations: impl IntoIterator<Item = Uuid>,
) -> Result<HashMap<Uuid, i64>, DbErr> {
    let counted: Vec<(Uuid, i64)> = membership::Entity::find()
        .select_only()
        .column(membership::Column::OrganisationId)
        .column_as(membership::Column::UserId.count(), "number")
        .filter(membership::Column::OrganisationId.is_in(organisations))
        .group_by(membership::Column::OrganisationId)
        .into_tuple()
        .all(db)
        .await?;
    Ok(counted.into_iter().collect())
}

/// Lists the keys of a user or service account, newest first, revoked ones too.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn keys_of(db: &impl ConnectionTrait, owner: Uuid) -> Result<Vec<api_key::Model>, DbErr> {
    let owned = Condition::any()
        .add(api_key::Column::UserId.eq(owner))
        .add(api_key::Column::ServiceAccountId.eq(owner));
    api_key::Entity::find()
        .filter(owned)
        .order_by_desc(api_key::Column::Id)
        .limit(MAX_KEYS)
        .all(db)
        .await
}
