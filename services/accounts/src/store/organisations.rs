//! Organisations, and who may do what in them.

use std::collections::HashMap;

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
};
use uuid::Uuid;

use super::entity::programs::{membership, organisation};
use super::subjects;
use crate::domain::Time;
use crate::domain::caller::Role;
use crate::domain::refusal::Refusal;
use crate::error::Error;

/// An organisation as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The row.
    pub organisation: organisation::Model,
    /// Of who looks.
    pub role: Role,
    /// How many members it has.
    pub members: u64,
}

/// The role of a user who may do what needs `at_least`.
///
/// # Errors
/// [`Refusal::NotFound`] for who is no member, [`Refusal::RoleInsufficient`] for a lesser role; [`Error::Database`].
pub async fn must_have(
    conn: &impl ConnectionTrait,
    id: Uuid,
    user: Uuid,
    at_least: Role,
) -> Result<Role, Error> {
    let role = subjects::role_in(conn, id, user).await?;
    let role = role.ok_or(Refusal::NotFound)?;
    if role < at_least {
        return Err(Refusal::RoleInsufficient.into());
    }
    Ok(role)
}

/// The same, and nobody else changes the organisation, its members, programs, keys or invitations until the transaction
/// ends.
///
/// # Errors
/// As [`must_have`].
pub async fn lock_as(
    tx: &impl ConnectionTrait,
    id: Uuid,
    user: Uuid,
    at_least: Role,
) -> Result<Role, Error> {
    // The role is read under the lock: it may have changed while that was waited for.
    lock(tx, id).await?.ok_or(Refusal::NotFound)?;
    must_have(tx, id, user, at_least).await
}

/// Locks one that has not been deleted.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn lock(
    tx: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<organisation::Model>, DbErr> {
    let row = organisation::Entity::find_by_id(id)
        .lock_exclusive()
        .one(tx)
        .await?;
    Ok(row.filter(|row| row.delete_time.is_none()))
}

/// Adds one.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(
    tx: &impl ConnectionTrait,
    organisation: organisation::Model,
) -> Result<(), DbErr> {
    organisation::Entity::insert(organisation.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Gives it another name.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn rename(tx: &impl ConnectionTrait, id: Uuid, name: &str) -> Result<(), DbErr> {
    organisation::Entity::update_many()
        .col_expr(organisation::Column::Name, Expr::value(name))
        .filter(organisation::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

/// Marks it as deleted.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn delete(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<(), DbErr> {
    organisation::Entity::update_many()
        .col_expr(organisation::Column::DeleteTime, Expr::value(now))
        .filter(organisation::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

/// Those that `user` is a member of, oldest first; of these only `id` when one is named.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn seen_by(
    conn: &impl ConnectionTrait,
    user: Uuid,
    id: Option<Uuid>,
) -> Result<Vec<Seen>, DbErr> {
    let mut memberships = membership::Entity::find().filter(membership::Column::UserId.eq(user));
    if let Some(id) = id {
        memberships = memberships.filter(membership::Column::OrganisationId.eq(id));
    }
    let memberships = memberships.all(conn).await?;
    let roles: HashMap<Uuid, i16> = memberships
        .into_iter()
        .map(|row| (row.organisation_id, row.role))
        .collect();
    let rows = organisation::Entity::find()
        .filter(organisation::Column::Id.is_in(roles.keys().copied()))
        .filter(organisation::Column::DeleteTime.is_null())
        .all(conn)
        .await?;
    let members = count_members(conn, roles.keys().copied()).await?;
    let mut seen: Vec<Seen> = rows
        .into_iter()
        .filter_map(|row| {
            let role = subjects::role_from_code(*roles.get(&row.id)?)?;
            let members = members.get(&row.id).copied().unwrap_or_default();
            Some(Seen {
                members: u64::try_from(members).unwrap_or_default(),
                organisation: row,
                role,
            })
        })
        .collect();
    seen.sort_by_key(|seen| (seen.organisation.create_time, seen.organisation.id));
    Ok(seen)
}

async fn count_members(
    conn: &impl ConnectionTrait,
    organisations: impl Iterator<Item = Uuid>,
) -> Result<HashMap<Uuid, i64>, DbErr> {
    let counts: Vec<(Uuid, i64)> = membership::Entity::find()
        .select_only()
        .column(membership::Column::OrganisationId)
        .column_as(membership::Column::UserId.count(), "members")
        .filter(membership::Column::OrganisationId.is_in(organisations))
        .group_by(membership::Column::OrganisationId)
        .into_tuple()
        .all(conn)
        .await?;
    Ok(counts.into_iter().collect())
}
