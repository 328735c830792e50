//! Invitations to organisations.

use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::programs::{invitation, membership};
use super::subjects;
use crate::domain::Time;
use crate::domain::caller::Role;

/// Adds one.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, invitation: invitation::Model) -> Result<(), DbErr> {
    invitation::Entity::insert(invitation.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// The one with this code, whatever became of it.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find_by_code(
    conn: &impl ConnectionTrait,
    code_sha256: &[u8],
) -> Result<Option<invitation::Model>, DbErr> {
    invitation::Entity::find()
        .filter(invitation::Column::CodeSha256.eq(code_sha256))
        .one(conn)
        .await
}

/// One of an organisation in which `user` has at least the role of an admin.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find_of_manager(
    conn: &impl ConnectionTrait,
    id: Uuid,
    user: Uuid,
) -> Result<Option<invitation::Model>, DbErr> {
    let organisations = Query::select()
        .column(membership::Column::OrganisationId)
        .from(membership::Entity)
        .and_where(membership::Column::UserId.eq(user))
        .and_where(membership::Column::Role.gte(subjects::role_code(Role::Admin)))
        .to_owned();
    invitation::Entity::find_by_id(id)
        .filter(invitation::Column::OrganisationId.in_subquery(organisations))
        .one(conn)
        .await
}

/// Those of an organisation that wait, newest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn waiting(
    conn: &impl ConnectionTrait,
    organisation: Uuid,
    now: Time,
) -> Result<Vec<invitation::Model>, DbErr> {
    invitation::Entity::find()
        .filter(open(organisation).add(invitation::Column::ExpireTime.gt(now)))
        .order_by_desc(invitation::Column::CreateTime)
        .order_by_desc(invitation::Column::Id)
        .all(conn)
        .await
}

/// When the invitations of an organisation after `since` were made, newest first: all, or those to one address.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn times_since(
    conn: &impl ConnectionTrait,
    organisation: Uuid,
    email_key: Option<&str>,
    since: Time,
) -> Result<Vec<Time>, DbErr> {
    let filter = Condition::all()
        .add(invitation::Column::OrganisationId.eq(organisation))
        .add(invitation::Column::CreateTime.gt(since))
        .add_option(email_key.map(|key| invitation::Column::EmailKey.eq(key)));
    invitation::Entity::find()
        .select_only()
        .column(invitation::Column::CreateTime)
        .filter(filter)
        .order_by_desc(invitation::Column::CreateTime)
        .into_tuple()
        .all(conn)
        .await
}

/// How many of an organisation wait.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn count_waiting(
    conn: &impl ConnectionTrait,
    organisation: Uuid,
    now: Time,
) -> Result<u64, DbErr> {
    invitation::Entity::find()
        .filter(open(organisation).add(invitation::Column::ExpireTime.gt(now)))
        .count(conn)
        .await
}

/// Uses one up. False when it was used or revoked before.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn accept(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<bool, DbErr> {
    let used = invitation::Entity::update_many()
        .col_expr(invitation::Column::AcceptTime, Expr::value(now))
        .filter(invitation::Column::Id.eq(id))
        .filter(invitation::Column::AcceptTime.is_null())
        .filter(invitation::Column::RevokeTime.is_null())
        .exec(tx)
        .await?;
    Ok(used.rows_affected > 0)
}

/// Revokes one. False when it was used or revoked before.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn revoke(
    tx: &impl ConnectionTrait,
    invitation: &invitation::Model,
    now: Time,
) -> Result<bool, DbErr> {
    let only = open(invitation.organisation_id).add(invitation::Column::Id.eq(invitation.id));
    Ok(revoke_where(tx, only, now).await? > 0)
}

/// Revokes all of an organisation.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn revoke_all(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    now: Time,
) -> Result<(), DbErr> {
    revoke_where(tx, open(organisation), now).await?;
    Ok(())
}

/// Revokes those to one address.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn revoke_to(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    email_key: &str,
    now: Time,
) -> Result<(), DbErr> {
    let filter = open(organisation).add(invitation::Column::EmailKey.eq(email_key));
    revoke_where(tx, filter, now).await?;
    Ok(())
}

/// Revokes those that somebody has made.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn revoke_of_inviter(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    user: Uuid,
    now: Time,
) -> Result<(), DbErr> {
    let filter = open(organisation).add(invitation::Column::InvitedBy.eq(user));
    revoke_where(tx, filter, now).await?;
    Ok(())
}

/// Revokes those that somebody has made and could not make with `role`.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn revoke_beyond(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    user: Uuid,
    role: Role,
    now: Time,
) -> Result<(), DbErr> {
    let mut filter = open(organisation).add(invitation::Column::InvitedBy.eq(user));
    if role >= Role::Admin {
        filter = filter.add(invitation::Column::Role.gt(subjects::role_code(role)));
    }
    revoke_where(tx, filter, now).await?;
    Ok(())
}

/// Neither used nor revoked; it may have expired.
fn open(organisation: Uuid) -> Condition {
    Condition::all()
        .add(invitation::Column::OrganisationId.eq(organisation))
        .add(invitation::Column::AcceptTime.is_null())
        .add(invitation::Column::RevokeTime.is_null())
}

async fn revoke_where(
    tx: &impl ConnectionTrait,
    filter: Condition,
    now: Time,
) -> Result<u64, DbErr> {
    let revoked = invitation::Entity::update_many()
        .col_expr(invitation::Column::RevokeTime, Expr::value(now))
        .filter(filter)
        .exec(tx)
        .await?;
    Ok(revoked.rows_affected)
}
