//! Access tokens: what they say of a person or program at this moment, signed by the current key.

use chrono::TimeDelta;
use kinora_access::claims::MAX_LIFETIME_SECONDS;
use kinora_access::{Age, Claims, Scope, Scopes, token};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::App;
use crate::domain::Time;
use crate::domain::age::Assurance;
use crate::domain::caller::Role;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::entity::people::user;
use crate::store::user_view::age_of;
use crate::store::{subjects, users};

/// The services that take tokens.
const AUDIENCES: [&str; 4] = ["accounts", "billing", "prompts", "scheduler"];

/// What a token says of the one it is about.
pub(crate) struct Subject {
    id: Uuid,
    terms: u32,
    age: Age,
    is_operator: bool,
    /// Whether the password has to be changed before anything else is done.
    must_change_password: bool,
}

/// What else it says.
pub(crate) struct Grant {
    /// The session or API key.
    pub(crate) session: Uuid,
    pub(crate) organisation: Option<(Uuid, Role)>,
    pub(crate) methods: Vec<String>,
    pub(crate) assurance: u8,
    /// When credentials were last shown, the older one of two factors. None for a program, which shows none.
    pub(crate) auth_time: Option<Time>,
    pub(crate) scopes: Scopes,
}

impl Subject {
    /// A person, for whom they are.
    pub(crate) fn of(user: &user::Model) -> Self {
        Self {
            id: user.id,
            terms: u32::try_from(user.terms_version).unwrap_or(0),
            age: age_claim(user),
            is_operator: user.is_operator,
            must_change_password: user.password_is_initial,
        }
    }

    /// All that this one may be given.
    pub(crate) fn scopes(&self) -> Scopes {
        let may = |scope: &Scope| self.is_operator || *scope != Scope::Admin;
        Scope::ALL.into_iter().filter(may).collect()
    }
}

impl App {
    /// A token for an API key of a user or service account. It never counts as fresh.
    ///
    /// `admin` among the scopes is worth something for operators only.
    ///
    /// # Errors
    /// [`Refusal::ApiKeyInvalid`] when the subject is not there or disabled; [`Error::Database`].
    pub(crate) async fn access_token_of_key(
        &self,
        conn: &impl ConnectionTrait,
        subject: Uuid,
        key: Uuid,
        organisation: Option<(Uuid, Role)>,
        scopes: &[String],
    ) -> Result<(String, Time), Error> {
        let subject = self.subject_of_key(conn, subject).await?;
        let asked = Scopes::parse(&scopes.join(" "));
        let grant = Grant {
            session: key,
            organisation,
            methods: vec!["key".to_owned()],
            assurance: 1,
            auth_time: None,
            scopes: asked.intersection(subject.scopes()),
        };
        self.sign_token(conn, &subject, grant).await
    }

    /// Signs a token that is good from now on.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::Broken`] when there is no key that signs.
    pub(crate) async fn sign_token(
        &self,
        conn: &impl ConnectionTrait,
        subject: &Subject,
        grant: Grant,
    ) -> Result<(String, Time), Error> {
        let (id, key) = self.current_key(conn).await?;
        let now = self.now();
        let expire = now + TimeDelta::seconds(MAX_LIFETIME_SECONDS);
        let claims = Claims {
            iss: self.options.issuer.clone(),
            aud: AUDIENCES.map(str::to_owned).to_vec(),
            sub: subject.id,
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: expire.timestamp(),
            jti: Uuid::now_v7(),
            sid: grant.session,
            auth_time: grant.auth_time.map_or(0, |time| time.timestamp()),
            aal: grant.assurance,
            amr: grant.methods,
            scope: grant.scopes.to_string(),
            org: grant.organisation.map(|(id, _)| id),
            role: grant.organisation.map(|(_, role)| role_claim(role)),
            terms: subject.terms,
            age: subject.age,
            adm: subject.is_operator,
            init: subject.must_change_password,
        };
        let token = token::sign(&claims, &id.to_string(), &key)
            .map_err(|error| Error::Broken(format!("a token cannot be signed: {error}")))?;
        Ok((token, expire))
    }

    async fn subject_of_key(
        &self,
        conn: &impl ConnectionTrait,
        id: Uuid,
    ) -> Result<Subject, Error> {
        if let Some(user) = users::find(conn, id).await? {
            if user.state != users::ACTIVE {
                return Err(Refusal::ApiKeyInvalid.into());
            }
            return Ok(Subject {
                // A key is no password.
                must_change_password: false,
                ..Subject::of(&user)
            });
        }
        let organisation = subjects::organisation_of_program(conn, id).await?;
        let organisation = organisation.ok_or(Refusal::ApiKeyInvalid)?;
        // A program accepts nothing and has no age: it acts under what an owner of its organisation has accepted, and is as
        // old as the least of those who could make a key for it.
        let owners = subjects::with_roles(conn, organisation, &[Role::Owner]).await?;
        let owners = owners.iter().filter(|owner| owner.state == users::ACTIVE);
        let makers = subjects::with_roles(conn, organisation, &[Role::Owner, Role::Admin]).await?;
        let makers = makers.iter().filter(|maker| maker.state == users::ACTIVE);
        Ok(Subject {
            id,
            terms: owners
                .map(|owner| Subject::of(owner).terms)
                .max()
                .unwrap_or(0),
            age: makers.map(age_claim).min().unwrap_or(Age::Unverified),
            is_operator: false,
            must_change_password: false,
        })
    }
}

/// What is known of a person being of age.
fn age_claim(user: &user::Model) -> Age {
    match age_of(user).assurance_of_adulthood() {
        Assurance::Unverified => Age::Unverified,
        Assurance::Declared => Age::Declared,
        Assurance::Verified => Age::Verified,
    }
}

const fn role_claim(role: Role) -> kinora_access::Role {
    match role {
        Role::Member => kinora_access::Role::Member,
        Role::Admin => kinora_access::Role::Admin,
        Role::Owner => kinora_access::Role::Owner,
    }
}

#[cfg(test)]
mod tests;
