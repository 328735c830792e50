//! What is left of a user who leaves: nothing personal.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, LockBehavior, LockType, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use super::entity::people::{
    code, flow, identity, known_address, mail, passkey, recovery_code, session, totp, user,
};
use super::entity::programs::{api_key, invitation, membership, organisation};
use super::{endings, users};
use crate::domain::Time;

/// How rows name an owner.
const OWNER: i16 = 3;

/// Locks the organisations of a user, or those that the user owns, and answers which they are.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn lock_organisations_of(
    tx: &impl ConnectionTrait,
    user: Uuid,
    only_owned: bool,
) -> Result<Vec<Uuid>, DbErr> {
    let mut joined = membership::Entity::find()
        .select_only()
        .column(membership::Column::OrganisationId)
        .filter(membership::Column::UserId.eq(user));
    if only_owned {
        joined = joined.filter(membership::Column::Role.eq(OWNER));
    }
    let ids: Vec<Uuid> = joined.into_tuple().all(tx).await?;
    let rows = organisation::Entity::find()
        .filter(organisation::Column::Id.is_in(ids))
        .filter(organisation::Column::DeleteTime.is_null())
        // In one order, so that nobody waits in a circle.
        .order_by_asc(organisation::Column::Id)
        .lock_exclusive()
        .all(tx)
        .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Lists users whose grace has ended.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn due(db: &impl ConnectionTrait, now: Time, limit: u64) -> Result<Vec<Uuid>, DbErr> {
    is_due(now)
        .select_only()
        .column(user::Column::Id)
        .order_by_asc(user::Column::EraseTime)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// Reads a user whose grace has ended, unless another replica is at it or was.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn lock_due(
    tx: &impl ConnectionTrait,
    id: Uuid,
    now: Time,
) -> Result<Option<user::Model>, DbErr> {
    is_due(now)
        .filter(user::Column::Id.eq(id))
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .one(tx)
        .await
}

fn is_due(now: Time) -> sea_orm::Select<user::Entity> {
    user::Entity::find()
        .filter(user::Column::EraseTime.lte(now))
        .filter(user::Column::State.ne(users::ERASED))
}

/// Removes what is kept of a user, and leaves a row without anything personal. Lines of the audit log and of accepted
/// terms stay: they hold the id, and addresses of the network.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn erase(tx: &impl ConnectionTrait, row: &user::Model, now: Time) -> Result<(), DbErr> {
    endings::everything_of(tx, row.id, now).await?;
    remove_credentials(tx, row).await?;
    remove_traces(tx, row).await?;
    let name = format!("erased:{}", row.id);
    let erased = user::ActiveModel {
        email: Set(name.clone()),
        email_key: Set(name),
        display_name: Set(String::new()),
        password_hash: Set(None),
        password_time: Set(None),
        password_is_initial: Set(false),
        state: Set(users::ERASED),
        is_operator: Set(false),
        age_assurance: Set(1),
        age_method: Set(String::new()),
        age_is_adult: Set(false),
        age_time: Set(None),
        ..Default::default()
    };
    users::update(tx, row.id, erased).await
}

async fn remove_credentials(tx: &impl ConnectionTrait, row: &user::Model) -> Result<(), DbErr> {
    let id = row.id;
    totp::Entity::delete_many()
        .filter(totp::Column::UserId.eq(id))
        .exec(tx)
        .await?;
    recovery_code::Entity::delete_many()
        .filter(recovery_code::Column::UserId.eq(id))
        .exec(tx)
        .await?;
    passkey::Entity::delete_many()
        .filter(passkey::Column::UserId.eq(id))
        .exec(tx)
        .await?;
    identity::Entity::delete_many()
        .filter(identity::Column::UserId.eq(id))
        .exec(tx)
        .await?;
    session::Entity::delete_many()
        .filter(session::Column::UserId.eq(id))
        .exec(tx)
        .await?;
    api_key::Entity::delete_many()
        .filter(api_key::Column::UserId.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

async fn remove_traces(tx: &impl ConnectionTrait, row: &user::Model) -> Result<(), DbErr> {
    let by_user_or_address = Condition::any()
        .add(code::Column::UserId.eq(row.id))
        .add(code::Column::EmailKey.eq(&row.email_key));
    code::Entity::delete_many()
        .filter(by_user_or_address)
        .exec(tx)
        .await?;
    flow::Entity::delete_many()
        .filter(flow::Column::UserId.eq(row.id))
        .exec(tx)
        .await?;
    known_address::Entity::delete_many()
        .filter(known_address::Column::UserId.eq(row.id))
        .exec(tx)
        .await?;
    invitation::Entity::delete_many()
        .filter(invitation::Column::EmailKey.eq(&row.email_key))
        .exec(tx)
        .await?;
    mail::Entity::delete_many()
        .filter(mail::Column::Recipient.eq(&row.email))
        .exec(tx)
        .await?;
    membership::Entity::delete_many()
        .filter(membership::Column::UserId.eq(row.id))
        .exec(tx)
        .await?;
    Ok(())
}

/// Sees to it that a locked organisation has an owner who can act after one has gone: the member of the highest role who
/// is there longest, of those who can act if there are any. One without members ends. Answers who became owner.
///
/// Asking for erasure is refused while an organisation would be left without an owner, so this happens only when the
/// other owners have left or were disabled during the grace.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn succeed(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    now: Time,
) -> Result<Option<Uuid>, DbErr> {
    let active = Query::select()
        .column(user::Column::Id)
        .from(user::Entity)
        .and_where(user::Column::State.eq(users::ACTIVE))
        .to_owned();
    let by_rank = membership::Entity::find()
        .filter(membership::Column::OrganisationId.eq(organisation))
        .order_by_desc(membership::Column::Role)
        .order_by_asc(membership::Column::JoinTime)
        .order_by_asc(membership::Column::UserId);
    let can_act = membership::Column::UserId.in_subquery(active);
    let first = match by_rank.clone().filter(can_act).one(tx).await? {
        Some(first) => Some(first),
        None => by_rank.one(tx).await?,
    };
    let Some(first) = first else {
        end_organisation(tx, organisation, now).await?;
        return Ok(None);
    };
    if first.role == OWNER {
        return Ok(None);
    }
    membership::Entity::update_many()
        .col_expr(membership::Column::Role, Expr::value(OWNER))
        .filter(membership::Column::OrganisationId.eq(organisation))
        .filter(membership::Column::UserId.eq(first.user_id))
        .exec(tx)
        .await?;
    Ok(Some(first.user_id))
}

async fn end_organisation(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    now: Time,
) -> Result<(), DbErr> {
    organisation::Entity::update_many()
        .col_expr(organisation::Column::DeleteTime, Expr::value(now))
        .filter(organisation::Column::Id.eq(organisation))
        .exec(tx)
        .await?;
    let keys: Vec<Uuid> = api_key::Entity::find()
        .select_only()
        .column(api_key::Column::Id)
        .filter(api_key::Column::OrganisationId.eq(organisation))
        .into_tuple()
        .all(tx)
        .await?;
    for id in keys {
        endings::key(tx, id, now).await?;
    }
    Ok(())
}
