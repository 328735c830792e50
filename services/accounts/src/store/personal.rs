//! Everything that is kept of a user, as JSON, a page at a time. Secrets are left out.

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::entity::people::{identity, passkey, session, user};
use super::entity::programs::{api_key, membership, organisation};
use super::entity::trust::{audit, terms_acceptance};

/// Rows read at once.
pub const PAGE: u64 = 200;

/// By their numbers in rows, from 1 on.
const ASSURANCES: [&str; 3] = ["unverified", "declared", "verified"];

/// By their numbers in rows, from 1 on.
const ROLES: [&str; 3] = ["member", "admin", "owner"];

/// A part of what is kept of a user: a file of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Address, name, terms and age.
    Profile,
    /// Accounts at other providers.
    Identities,
    /// Passkeys, without what proves them.
    Passkeys,
    /// Also those that have ended.
    Sessions,
    /// Without their secrets; also revoked ones.
    Keys,
    /// With the user's role.
    Organisations,
    /// Of terms of use.
    Acceptances,
    /// What the user did, and what was done to the account.
    Activity,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Profile,
        Self::Identities,
        Self::Passkeys,
        Self::Sessions,
        Self::Keys,
        Self::Organisations,
        Self::Acceptances,
        Self::Activity,
    ];

    /// The name of its file.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Profile => "profile.json",
            Self::Identities => "identities.json",
            Self::Passkeys => "passkeys.json",
            Self::Sessions => "sessions.json",
            Self::Keys => "keys.json",
            Self::Organisations => "organisations.json",
            Self::Acceptances => "terms.json",
            Self::Activity => "activity.json",
        }
    }
}

/// Reads at most [`PAGE`] rows of a part, after the row with the id `after`, each with its id.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn page(
    db: &impl ConnectionTrait,
    part: Part,
    user: Uuid,
    after: Uuid,
) -> Result<Vec<(Uuid, Value)>, DbErr> {
    match part {
        Part::Profile => profile(db, user, after).await,
        Part::Identities => identities(db, user, after).await,
        Part::Passkeys => passkeys(db, user, after).await,
        Part::Sessions => sessions(db, user, after).await,
        Part::Keys => keys(db, user, after).await,
        Part::Organisations => organisations(db, user, after).await,
        Part::Acceptances => acceptances(db, user, after).await,
        Part::Activity => activity(db, user, after).await,
    }
}

type Rows = Result<Vec<(Uuid, Value)>, DbErr>;

async fn profile(db: &impl ConnectionTrait, user: Uuid, after: Uuid) -> Rows {
    let row = user::Entity::find_by_id(user)
        .filter(user::Column::Id.gt(after))
        .one(db)
        .await?;
    let shown = |row: user::Model| {
        let value = json!({
            "id": row.id, "email": row.email, "display_name": row.display_name,
            "has_password": row.password_hash.is_some(), "password_time": row.password_time,
            "is_operator": row.is_operator, "terms_version": row.terms_version,
            "age": {
                "assurance": word(ASSURANCES, row.age_assurance),
                "method": row.age_method, "is_adult": row.age_is_adult, "time": row.age_time,
            },
            "create_time": row.create_time, "erase_time": row.erase_time,
        });
        (row.id, value)
    };
    Ok(row.into_iter().map(shown).collect())
}

async fn identities(db: &impl ConnectionTrait, user: Uuid, after: Uuid) -> Rows {
    let rows = identity::Entity::find()
        .filter(identity::Column::UserId.eq(user))
        .filter(identity::Column::Id.gt(after))
        .order_by_asc(identity::Column::Id)
        .limit(PAGE)
        .all(db)
        .await?;
    let shown = |row: identity::Model| {
        let value = json!({
            "provider": row.provider, "issuer": row.issuer, "subject": row.subject,
            "email": row.email, "create_time": row.create_time,
        });
        (row.id, value)
    };
    Ok(rows.into_iter().map(shown).collect())
}

async fn passkeys(db: &impl ConnectionTrait, user: Uuid, after: Uuid) -> Rows {
    let rows = passkey::Entity::find()
        .filter(passkey::Column::UserId.eq(user))
        .filter(passkey::Column::Id.gt(after))
        .order_by_asc(passkey::Column::Id)
        .limit(PAGE)
        .all(db)
        .await?;
    let shown = |row: passkey::Model| {
        let value = json!({
            "id": row.id, "name": row.name, "create_time": row.create_time,
            "last_use_time": row.last_use_time,
        });
        (row.id, value)
    };
    Ok(rows.into_iter().map(shown).collect())
}

async fn sessions(db: &impl ConnectionTrait, user: Uuid, after: Uuid) -> Rows {
    let rows = session::Entity::find()
        .filter(session::Column::UserId.eq(user))
        .filter(session::Column::Id.gt(after))
        .order_by_asc(session::Column::Id)
        .limit(PAGE)
        .all(db)
        .await?;
    let shown = |row: session::Model| {
        let value = json!({
            "id": row.id, "methods": row.methods, "user_agent": row.user_agent,
            "address": row.address, "create_time": row.create_time,
            "last_use_time": row.last_use_time, "expire_time": row.expire_time,
            "end_time": row.end_time,
        });
        (row.id, value)
    };
    Ok(rows.into_iter().map(shown).collect())
}

async fn keys(db: &impl ConnectionTrait, user: Uuid, after: Uuid) -> Rows {
    let rows = api_key::Entity::find()
        .filter(api_key::Column::UserId.eq(user))
        .filter(api_key::Column::Id.gt(after))
        .order_by_asc(api_key::Column::Id)
        .limit(PAGE)
        .all(db)
        .await?;
    let shown = |row: api_key::Model| {
        let value = json!({
            "id": row.id, "name": row.name, "hint": row.hint, "scopes": row.scopes,
            "organisation_id": row.organisation_id, "create_time": row.create_time,
            "expire_time": row.expire_time, "last_use_time": row.last_use_time,
            "revoke_time": row.revoke_time,
        });
        (row.id, value)
    };
    Ok(rows.into_iter().map(shown).collect())
}

async fn organisations(db: &impl ConnectionTrait, user: Uuid, after: Uuid) -> Rows {
    let rows = membership::Entity::find()
        .filter(membership::Column::UserId.eq(user))
        .filter(membership::Column::OrganisationId.gt(after))
        .order_by_asc(membership::Column::OrganisationId)
        .limit(PAGE)
        .all(db)
        .await?;
    let ids = rows.iter().map(|row| row.organisation_id);
    let names = organisation::Entity::find()
        .filter(organisation::Column::Id.is_in(ids))
        .all(db)
        .await?;
    let shown = |row: membership::Model| {
        let id = row.organisation_id;
        let name = names.iter().find(|named| named.id == id);
        let value = json!({
            "id": id, "name": name.map(|named| &named.name),
            "role": word(ROLES, row.role),
            "join_time": row.join_time,
        });
        (id, value)
    };
    Ok(rows.into_iter().map(shown).collect())
}

async fn acceptances(db: &impl ConnectionTrait, user: Uuid, after: Uuid) -> Rows {
    let rows = terms_acceptance::Entity::find()
        .filter(terms_acceptance::Column::UserId.eq(user))
        .filter(terms_acceptance::Column::Id.gt(after))
        .order_by_asc(terms_acceptance::Column::Id)
        .limit(PAGE)
        .all(db)
        .await?;
    let shown = |row: terms_acceptance::Model| {
        let value = json!({
            "version": row.version, "sha256": row.sha256, "time": row.time,
            "address": row.address,
        });
        (row.id, value)
    };
    Ok(rows.into_iter().map(shown).collect())
}

async fn activity(db: &impl ConnectionTrait, user: Uuid, after: Uuid) -> Rows {
    let concerns = Condition::any()
        .add(audit::Column::Subject.eq(user))
        .add(audit::Column::Actor.eq(user.to_string()));
    let rows = audit::Entity::find()
        .filter(concerns)
        .filter(audit::Column::Id.gt(after))
        .order_by_asc(audit::Column::Id)
        .limit(PAGE)
        .all(db)
        .await?;
    let shown = |row: audit::Model| {
        let value = json!({
            "time": row.time, "actor": row.actor, "action": row.action,
            "succeeded": row.succeeded, "detail": row.detail, "address": row.address,
            "user_agent": row.user_agent,
        });
        (row.id, value)
    };
    Ok(rows.into_iter().map(shown).collect())
}

fn word(words: [&'static str; 3], number: i16) -> Option<&'static str> {
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    words.get(at).copied()
}
