//! API keys.

use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, IntoActiveModel,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select, Statement,
};
use uuid::Uuid;

use super::entity::programs::{api_key, membership, service_account};
use super::{ended, subjects, users};
use crate::domain::Time;
use crate::domain::caller::Role;
use crate::domain::scope;

/// So many keys that are not good any more are listed.
const MAX_LISTED_DEAD: u64 = 200;

/// Everything that decides whether a key is good, in one read by primary keys.
const LOOK_UP: &str = "SELECT k.secret_sha256, k.user_id, k.service_account_id, k.organisation_id, k.scopes, \
     k.expire_time, k.last_use_time, k.revoke_time, u.state AS user_state, u.is_operator, \
     s.id AS live_program, o.id AS live_organisation, m.role \
     FROM api_key k \
     LEFT JOIN account_user u ON u.id = k.user_id \
     LEFT JOIN service_account s ON s.id = k.service_account_id AND s.delete_time IS NULL \
     LEFT JOIN organisation o ON o.id = k.organisation_id AND o.delete_time IS NULL \
     LEFT JOIN membership m ON m.organisation_id = k.organisation_id AND m.user_id = k.user_id \
     WHERE k.id = $1";

/// Whose keys are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A person.
    User(Uuid),
    /// A service account.
    Program(Uuid),
}

/// A key, and what is known of its owner. No `Debug`: it holds the hash of a secret.
#[derive(FromQueryResult)]
pub struct Lookup {
    /// Of the secret.
    pub secret_sha256: Vec<u8>,
    /// When it ends by itself.
    pub expire_time: Option<Time>,
    /// To the minute.
    pub last_use_time: Option<Time>,
    /// When it was ended.
    pub revoke_time: Option<Time>,
    user_id: Option<Uuid>,
    service_account_id: Option<Uuid>,
    organisation_id: Option<Uuid>,
    scopes: String,
    user_state: Option<i16>,
    is_operator: Option<bool>,
    live_program: Option<Uuid>,
    live_organisation: Option<Uuid>,
    role: Option<i16>,
}

/// For whom a key acts, and what it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// A user or a service account.
    pub subject: Uuid,
    /// None for a person's own.
    pub organisation: Option<(Uuid, Role)>,
    /// What the key is good for at this moment.
    pub scopes: Vec<String>,
}

impl Lookup {
    /// None when whoever has the key may not act at this moment: the account is disabled or leaves, the program or the
    /// organisation was deleted, or the person is no member any more.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        let organisation = match self.organisation_id {
            Some(id) if self.live_organisation == Some(id) => Some(id),
            Some(_) => return None,
            None => None,
        };
        let (subject, organisation) = if self.service_account_id.is_some() {
            (self.live_program?, Some((organisation?, Role::Member)))
        } else {
            if self.user_state? != users::ACTIVE {
                return None;
            }
            let role = self.role.and_then(subjects::role_from_code);
            let organisation = match organisation {
                Some(id) => Some((id, role?)),
                None => None,
            };
            (self.user_id?, organisation)
        };
        let is_operator = self.is_operator == Some(true);
        let scopes = self.scopes.split_whitespace();
        let scopes = scopes.filter(|&name| name != scope::ADMIN || is_operator);
        Some(Holder {
            subject,
            organisation,
            scopes: scopes.map(str::to_owned).collect(),
        })
    }
}

impl Owner {
    fn filter(self) -> Condition {
        Condition::all().add(match self {
            Self::User(id) => api_key::Column::UserId.eq(id),
            Self::Program(id) => api_key::Column::ServiceAccountId.eq(id),
        })
    }
}

/// Reads a key for its use.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn look_up(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<Lookup>, DbErr> {
    let backend = conn.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, LOOK_UP, [id.into()]);
    Lookup::find_by_statement(statement).one(conn).await
}

/// Adds a key.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, key: api_key::Model) -> Result<(), DbErr> {
    api_key::Entity::insert(key.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// A key that `user` may revoke: an own one, or one of a program that the user administers.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find_of_manager(
    conn: &impl ConnectionTrait,
    id: Uuid,
    user: Uuid,
) -> Result<Option<api_key::Model>, DbErr> {
    let organisations = Query::select()
        .column(membership::Column::OrganisationId)
        .from(membership::Entity)
        .and_where(membership::Column::UserId.eq(user))
        .and_where(membership::Column::Role.gte(subjects::role_code(Role::Admin)))
        .to_owned();
    let programs = Query::select()
        .column(service_account::Column::Id)
        .from(service_account::Entity)
        .and_where(service_account::Column::OrganisationId.in_subquery(organisations))
        .to_owned();
    let is_managed = Condition::any()
        .add(api_key::Column::UserId.eq(user))
        .add(api_key::Column::ServiceAccountId.in_subquery(programs));
    api_key::Entity::find_by_id(id)
        .filter(is_managed)
        .one(conn)
        .await
}

/// How many keys of `owner` are good.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn count_live(
    conn: &impl ConnectionTrait,
    owner: Owner,
    now: Time,
) -> Result<u64, DbErr> {
    live(owner, now).count(conn).await
}

/// Keys of `owner`, newest first: all that are good, and the newest of those that expired, or were revoked after
/// `revoked_after`.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn list(
    conn: &impl ConnectionTrait,
    owner: Owner,
    now: Time,
    revoked_after: Time,
) -> Result<Vec<api_key::Model>, DbErr> {
    let mut keys = live(owner, now).all(conn).await?;
    let has_expired = Condition::all()
        .add(api_key::Column::RevokeTime.is_null())
        .add(api_key::Column::ExpireTime.lte(now));
    let dead = Condition::any()
        .add(has_expired)
        .add(api_key::Column::RevokeTime.gt(revoked_after));
    let dead = api_key::Entity::find()
        .filter(owner.filter().add(dead))
        .order_by_desc(api_key::Column::CreateTime)
        .limit(MAX_LISTED_DEAD);
    keys.extend(dead.all(conn).await?);
    keys.sort_by_key(|key| std::cmp::Reverse((key.create_time, key.id)));
    Ok(keys)
}

fn live(owner: Owner, now: Time) -> Select<api_key::Entity> {
    let lasts = Condition::any()
        .add(api_key::Column::ExpireTime.is_null())
        .add(api_key::Column::ExpireTime.gt(now));
    let filter = owner
        .filter()
        .add(api_key::Column::RevokeTime.is_null())
        .add(lasts);
    api_key::Entity::find().filter(filter)
}

/// Ends a key and the tokens that it got. False when it had been ended before.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn revoke(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<bool, DbErr> {
    let only = Condition::all().add(api_key::Column::Id.eq(id));
    Ok(revoke_all(tx, only, now).await? > 0)
}

/// Ends the keys of `owner` and the tokens that they got. Answers how many.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn revoke_of_owner(
    tx: &impl ConnectionTrait,
    owner: Owner,
    now: Time,
) -> Result<u64, DbErr> {
    revoke_all(tx, owner.filter(), now).await
}

/// Ends the keys with which people or programs act for an organisation: those of `user`, or all.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn revoke_of_organisation(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    user: Option<Uuid>,
    now: Time,
) -> Result<u64, DbErr> {
    let filter = of_organisation(organisation, user);
    revoke_all(tx, filter, now).await
}

/// Ends the tokens that keys of `user` got for an organisation. The keys stay good.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn end_tokens_for(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    user: Uuid,
    now: Time,
) -> Result<(), DbErr> {
    let keys = unrevoked(of_organisation(organisation, Some(user)));
    for key in keys.all(tx).await? {
        ended::note(tx, key.id, now).await?;
    }
    Ok(())
}

/// Notes a use, unless that minute or a later one was noted before.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn note_use(tx: &impl ConnectionTrait, id: Uuid, minute: Time) -> Result<(), DbErr> {
    let is_older = Condition::any()
        .add(api_key::Column::LastUseTime.is_null())
        .add(api_key::Column::LastUseTime.lt(minute));
    api_key::Entity::update_many()
        .col_expr(api_key::Column::LastUseTime, Expr::value(minute))
        .filter(api_key::Column::Id.eq(id))
        .filter(is_older)
        .exec(tx)
        .await?;
    Ok(())
}

fn of_organisation(organisation: Uuid, user: Option<Uuid>) -> Condition {
    Condition::all()
        .add(api_key::Column::OrganisationId.eq(organisation))
        .add_option(user.map(|user| api_key::Column::UserId.eq(user)))
}

fn unrevoked(filter: Condition) -> Select<api_key::Entity> {
    api_key::Entity::find().filter(filter.add(api_key::Column::RevokeTime.is_null()))
}

async fn revoke_all(tx: &impl ConnectionTrait, filter: Condition, now: Time) -> Result<u64, DbErr> {
    // Locked, so that of two who revoke at once only one is told that it was.
    let keys = unrevoked(filter).lock_exclusive().all(tx).await?;
    let ids: Vec<Uuid> = keys.into_iter().map(|key| key.id).collect();
    for &id in &ids {
        ended::note_for_good(tx, id, now).await?;
    }
    let count = api_key::Entity::update_many()
        .col_expr(api_key::Column::RevokeTime, Expr::value(now))
        .filter(api_key::Column::Id.is_in(ids))
        .exec(tx)
        .await?;
    Ok(count.rows_affected)
}
