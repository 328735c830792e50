//! Who is in which organisation, and with which role.

use std::collections::HashMap;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::people::{session, user};
use super::entity::programs::membership;
use super::{ended, subjects, users};
use crate::domain::Time;
use crate::domain::caller::Role;

/// A member, and the person behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// In the organisation.
    pub role: Role,
    /// Since when.
    pub join_time: Time,
    /// The person.
    pub user: user::Model,
}

/// Adds a member.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    user: Uuid,
    role: Role,
    now: Time,
) -> Result<(), DbErr> {
    let row = membership::ActiveModel {
        organisation_id: Set(organisation),
        user_id: Set(user),
        role: Set(subjects::role_code(role)),
        join_time: Set(now),
    };
    membership::Entity::insert(row)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// One member.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find(
    conn: &impl ConnectionTrait,
    organisation: Uuid,
    user: Uuid,
) -> Result<Option<Member>, DbErr> {
    let row = membership::Entity::find_by_id((organisation, user))
        .one(conn)
        .await?;
    let found = users::find(conn, user).await?;
    Ok(row.zip(found).and_then(|(row, user)| member(&row, user)))
}

/// Up to `limit` members after the one with the id `after`, by their ids; and the id after which the next page begins.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn page(
    conn: &impl ConnectionTrait,
    organisation: Uuid,
    after: Option<Uuid>,
    limit: u64,
) -> Result<(Vec<Member>, Option<Uuid>), DbErr> {
    let filter = Condition::all()
        .add(membership::Column::OrganisationId.eq(organisation))
        .add_option(after.map(|after| membership::Column::UserId.gt(after)));
    let mut rows = membership::Entity::find()
        .filter(filter)
        .order_by_asc(membership::Column::UserId)
        .limit(limit + 1)
        .all(conn)
        .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().map(|row| row.user_id).filter(|_| has_more);
    let people = user::Entity::find()
        .filter(user::Column::Id.is_in(rows.iter().map(|row| row.user_id)))
        .all(conn)
        .await?;
    let mut people: HashMap<Uuid, user::Model> =
        people.into_iter().map(|user| (user.id, user)).collect();
    let members = rows
        .iter()
        .filter_map(|row| member(row, people.remove(&row.user_id)?));
    Ok((members.collect(), next))
}

/// Of how many organisations a user is a member.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn count_of_user(conn: &impl ConnectionTrait, user: Uuid) -> Result<u64, DbErr> {
    membership::Entity::find()
        .filter(membership::Column::UserId.eq(user))
        .count(conn)
        .await
}

/// Whether somebody other than `user` owns the organisation and can act.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn has_other_owner(
    conn: &impl ConnectionTrait,
    organisation: Uuid,
    user: Uuid,
) -> Result<bool, DbErr> {
    let active = Query::select()
        .column(user::Column::Id)
        .from(user::Entity)
        .and_where(user::Column::State.eq(users::ACTIVE))
        .to_owned();
    let owners = membership::Entity::find()
        .filter(membership::Column::OrganisationId.eq(organisation))
        .filter(membership::Column::Role.eq(subjects::role_code(Role::Owner)))
        .filter(membership::Column::UserId.ne(user))
        .filter(membership::Column::UserId.in_subquery(active));
    Ok(owners.count(conn).await? > 0)
}

/// Gives a member another role.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn set_role(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    user: Uuid,
    role: Role,
) -> Result<(), DbErr> {
    membership::Entity::update_many()
        .col_expr(
            membership::Column::Role,
            Expr::value(subjects::role_code(role)),
        )
        .filter(of(organisation, Some(user)))
        .exec(tx)
        .await?;
    Ok(())
}

/// Removes a member, or all.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn remove(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    user: Option<Uuid>,
) -> Result<(), DbErr> {
    membership::Entity::delete_many()
        .filter(of(organisation, user))
        .exec(tx)
        .await?;
    Ok(())
}

/// Sessions of `user`, or of all, that act for the organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// Get tokens with the role of this moment.
    Renewed,
    /// Act for their person alone from now on.
    Unbound,
}

/// Locks the sessions of `user`, or of all, that act for an organisation. The time of what is done to them is taken after
/// that: no token of before is younger.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn lock_sessions(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    user: Option<Uuid>,
) -> Result<(), DbErr> {
    session::Entity::find()
        .filter(bound_sessions(organisation, user))
        .order_by_asc(session::Column::Id)
        .lock_exclusive()
        .all(tx)
        .await?;
    Ok(())
}

/// Ends the tokens of sessions that act for an organisation, which are locked. The sessions go on.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn change_sessions(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    user: Option<Uuid>,
    change: SessionChange,
    now: Time,
) -> Result<(), DbErr> {
    let filter = bound_sessions(organisation, user);
    let bound = session::Entity::find()
        .filter(filter.clone())
        .all(tx)
        .await?;
    for session in bound {
        ended::note(tx, session.id, now).await?;
    }
    if change == SessionChange::Unbound {
        session::Entity::update_many()
            .col_expr(
                session::Column::OrganisationId,
                Expr::value(Option::<Uuid>::None),
            )
            .filter(filter)
            .exec(tx)
            .await?;
    }
    Ok(())
}

fn bound_sessions(organisation: Uuid, user: Option<Uuid>) -> Condition {
    Condition::all()
        .add(session::Column::OrganisationId.eq(organisation))
        .add(session::Column::EndTime.is_null())
        .add_option(user.map(|user| session::Column::UserId.eq(user)))
}

fn of(organisation: Uuid, user: Option<Uuid>) -> Condition {
    Condition::all()
        .add(membership::Column::OrganisationId.eq(organisation))
        .add_option(user.map(|user| membership::Column::UserId.eq(user)))
}

fn member(row: &membership::Model, user: user::Model) -> Option<Member> {
    Some(Member {
        role: subjects::role_from_code(row.role)?,
        join_time: row.join_time,
        user,
    })
}
