//! What a token says of its subject, wherever that is kept.

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::entity::people::user;
use super::entity::programs::{membership, organisation, service_account};
use crate::domain::caller::Role;

/// A role as rows have it.
#[must_use]
pub const fn role_code(role: Role) -> i16 {
    match role {
        Role::Member => 1,
        Role::Admin => 2,
        Role::Owner => 3,
    }
}

/// A role from a row. None for one that no version has written.
#[must_use]
pub const fn role_from_code(code: i16) -> Option<Role> {
    match code {
        1 => Some(Role::Member),
        2 => Some(Role::Admin),
        3 => Some(Role::Owner),
        _ => None,
    }
}

/// The role of a user in an organisation that is there. None for who is no member.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn role_in(
    conn: &impl ConnectionTrait,
    organisation: Uuid,
    user: Uuid,
) -> Result<Option<Role>, DbErr> {
    let there = organisation::Entity::find_by_id(organisation)
        .filter(organisation::Column::DeleteTime.is_null());
    if there.one(conn).await?.is_none() {
        return Ok(None);
    }
    let row = membership::Entity::find_by_id((organisation, user))
        .one(conn)
        .await?;
    Ok(row.and_then(|row| role_from_code(row.role)))
}

/// The organisation of a program that is there.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn organisation_of_program(
    conn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<Uuid>, DbErr> {
    let there = service_account::Entity::find_by_id(id)
        .filter(service_account::Column::DeleteTime.is_null())
        .one(conn)
        .await?;
    Ok(there.map(|row| row.organisation_id))
}

/// The members of an organisation that have one of these roles.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn with_roles(
    conn: &impl ConnectionTrait,
    organisation: Uuid,
    roles: &[Role],
) -> Result<Vec<user::Model>, DbErr> {
    let rows = membership::Entity::find()
        .filter(membership::Column::OrganisationId.eq(organisation))
        .filter(membership::Column::Role.is_in(roles.iter().map(|role| role_code(*role))))
        .all(conn)
        .await?;
    user::Entity::find()
        .filter(user::Column::Id.is_in(rows.into_iter().map(|row| row.user_id)))
        .all(conn)
        .await
}
