//! Everything that is kept of a user, as JSON, a page at a time. Secrets are left out.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::entity::people::{identity, passkey, session};
use super::entity::programs::{api_key, invitation, membership, organisation};
use super::entity::trust::{audit, terms_acceptance};
use super::user_view::{self, UserView};
use super::{audit_log, users};

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
    /// That wait for the user, without their codes.
    Invitations,
    /// Of terms of use.
    Acceptances,
    /// What the user did, and what was done to the account. Of others it says nothing but that there was somebody.
    Activity,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Profile,
        Self::Identities,
        Self::Passkeys,
        Self::Sessions,
        Self::Keys,
        Self::Organisations,
        Self::Invitations,
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
            Self::Invitations => "invitations.json",
            Self::Acceptances => "terms.json",
            Self::Activity => "activity.json",
        }
    }
}

/// Reads what is kept of one user.
pub struct Reader {
    user: Uuid,
    email_key: String,
    until: Uuid,
}

impl Reader {
    /// For a user with an address. Lines of the audit log with a greater id than `until` are left out: otherwise there
    /// might be no end of them.
    #[must_use]
    pub const fn new(user: Uuid, email_key: String, until: Uuid) -> Self {
        Self {
            user,
            email_key,
            until,
        }
    }

    /// Reads at most [`PAGE`] rows of a part, after the row with the id `after`, each with its id.
    ///
    /// # Errors
    /// [`DbErr`] when the database does not answer.
    pub async fn page(
        &self,
        db: &impl ConnectionTrait,
        part: Part,
        after: Uuid,
    ) -> Result<Vec<(Uuid, Value)>, DbErr> {
        let user = self.user;
        match part {
            // There is one, so there is nothing after it.
            Part::Profile if after.is_nil() => profile(db, user).await,
            Part::Profile => Ok(Vec::new()),
            Part::Identities => identities(db, user, after).await,
            Part::Passkeys => passkeys(db, user, after).await,
            Part::Sessions => sessions(db, user, after).await,
            Part::Keys => keys(db, user, after).await,
            Part::Organisations => organisations(db, user, after).await,
            Part::Invitations => invitations(db, &self.email_key, after).await,
            Part::Acceptances => acceptances(db, user, after).await,
            Part::Activity => activity(db, user, after, self.until).await,
        }
    }
}

type Rows = Result<Vec<(Uuid, Value)>, DbErr>;

async fn profile(db: &impl ConnectionTrait, user: Uuid) -> Rows {
    let row = users::find(db, user).await?;
    let views = user_view::of(db, row.into_iter().collect()).await?;
    let shown = |view: UserView| {
        let row = view.row;
        let value = json!({
            "id": row.id, "email": row.email, "display_name": row.display_name,
            "has_password": row.password_hash.is_some(), "password_time": row.password_time,
            "has_time_based_codes": view.has_totp,
            "recovery_codes_left": view.recovery_codes_left,
            "is_operator": row.is_operator, "terms_version": row.terms_version,
            "age": {
                "assurance": word(ASSURANCES, row.age_assurance),
                "method": row.age_method, "is_adult": row.age_is_adult, "time": row.age_time,
            },
            "create_time": row.create_time, "erase_time": row.erase_time,
        });
        (row.id, value)
    };
    Ok(views.into_iter().map(shown).collect())
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

async fn invitations(db: &impl ConnectionTrait, email_key: &str, after: Uuid) -> Rows {
    let rows = invitation::Entity::find()
        .filter(invitation::Column::EmailKey.eq(email_key))
        .filter(invitation::Column::Id.gt(after))
        .order_by_asc(invitation::Column::Id)
        .limit(PAGE)
        .all(db)
        .await?;
    let shown = |row: invitation::Model| {
        let value = json!({
            "id": row.id, "organisation_id": row.organisation_id, "email": row.email,
            "role": word(ROLES, row.role), "create_time": row.create_time,
            "expire_time": row.expire_time, "accept_time": row.accept_time,
            "revoke_time": row.revoke_time,
        });
        (row.id, value)
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

async fn activity(db: &impl ConnectionTrait, user: Uuid, after: Uuid, until: Uuid) -> Rows {
    let rows = audit_log::of_user_from(db, user, after, until, PAGE).await?;
    let shown = |row: audit::Model| (row.id, line(row, user));
    Ok(rows.into_iter().map(shown).collect())
}

/// A line of the log without what it says of others: neither who an operator or another member is and from where they
/// came, nor what was done to others in detail.
fn line(row: audit::Model, user: Uuid) -> Value {
    let actor = match row.actor.parse::<Uuid>() {
        Ok(id) if id == user => "you",
        Ok(_) => "somebody else",
        Err(_) => row.actor.as_str(),
    };
    let is_of_another = actor == "somebody else";
    let is_about_another = row.subject.is_some_and(|subject| subject != user);
    let unless = |hides: bool, text: &str| if hides { Value::Null } else { text.into() };
    json!({
        "time": row.time, "actor": actor, "action": row.action, "succeeded": row.succeeded,
        "detail": unless(is_about_another, &row.detail),
        "address": unless(is_of_another, &row.address),
        "user_agent": unless(is_of_another, &row.user_agent),
    })
}

fn word(words: [&'static str; 3], number: i16) -> Option<&'static str> {
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    words.get(at).copied()
}
