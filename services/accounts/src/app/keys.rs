//! API keys: made by who has just shown a credential, turned into short-lived tokens, and ended within seconds.

use chrono::{DurationRound, TimeDelta};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::App;
use super::notices::Notice;
use crate::domain::api_key::ApiKey;
use crate::domain::caller::{Caller, Role};
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::domain::scope::{self, KeyOwner};
use crate::domain::{Time, name};
use crate::error::Error;
use crate::store::audit::{self, Line};
use crate::store::entity::programs::api_key;
use crate::store::keys::{self, Holder, Owner};
use crate::store::{organisations, programs, users};

/// So many good keys a user or service account may have.
const MAX_KEYS: u64 = 50;

/// No key lasts longer, unless it does not end by itself: two years.
const MAX_LIFETIME: TimeDelta = TimeDelta::days(731);

/// For this long a revoked key is listed.
const LISTED: TimeDelta = TimeDelta::days(30);

/// What somebody wants of a new key.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// By which its owner knows it.
    pub name: String,
    /// None for the usual ones.
    pub scopes: Vec<String>,
    /// None for a key that does not end by itself.
    pub expire_time: Option<Time>,
    /// For which it acts.
    pub organisation: Option<Uuid>,
    /// Whose it is, when it is not the caller's.
    pub program: Option<Uuid>,
}

impl App {
    /// Makes a key of the caller, or of a program that the caller administers. The second value is the key itself,
    /// which is nowhere else.
    ///
    /// # Errors
    /// [`Error::Refused`] as the contract names it; [`Error::Database`].
    pub async fn create_key(
        &self,
        caller: &Caller,
        new: NewKey,
        origin: &Origin,
    ) -> Result<(api_key::Model, ApiKey), Error> {
        let now = self.now();
        self.must_prove_itself(self.store.reader(), caller).await?;
        let name = name::parse(&new.name)?;
        let is_in_time = |end: &Time| (now..=now + MAX_LIFETIME).contains(end) && *end != now;
        if !new.expire_time.as_ref().is_none_or(is_in_time) {
            return Err(Refusal::ExpiryInvalid.into());
        }
        let is_own = new.organisation.is_none() && new.program.is_none();
        let owner = if is_own {
            KeyOwner::Person
        } else {
            KeyOwner::OfOrganisation
        };
        let scopes = scope::for_key(&new.scopes, caller, owner)?.join(" ");
        let tx = self.store.begin().await?;
        let organisation = lock_owner(&tx, caller, &new).await?;
        let owner = new.program.map_or(Owner::User(caller.id), Owner::Program);
        if keys::count_live(&tx, owner, now).await? >= MAX_KEYS {
            return Err(Refusal::TooManyKeys.into());
        }
        let key = ApiKey::generate()?;
        let row = api_key::Model {
            id: key.id(),
            secret_sha256: key.secret_sha256().to_vec(),
            user_id: new.program.is_none().then_some(caller.id),
            service_account_id: new.program,
            organisation_id: organisation,
            name,
            hint: key.hint(),
            scopes,
            create_time: now,
            expire_time: new.expire_time,
            last_use_time: None,
            revoke_time: None,
        };
        keys::insert(&tx, row.clone()).await?;
        self.record_key(&tx, caller, &row, "key.create", origin)
            .await?;
        self.tell(&tx, caller.id, Notice::ApiKeyCreated).await?;
        tx.commit().await?;
        Ok((row, key))
    }

    /// The caller's keys, or those of a program that the caller administers, newest first.
    ///
    /// # Errors
    /// [`Error::Refused`] when the program is not the caller's; [`Error::Database`].
    pub async fn list_keys(
        &self,
        caller: &Caller,
        program: Option<Uuid>,
    ) -> Result<Vec<api_key::Model>, Error> {
        let reader = self.store.reader();
        let owner = match program {
            Some(program) => {
                let row = programs::find(reader, program).await?;
                let row = row.ok_or(Refusal::NotFound)?;
                organisations::must_have(reader, row.organisation_id, caller.id, Role::Admin)
                    .await?;
                Owner::Program(program)
            }
            None => Owner::User(caller.id),
        };
        let now = self.now();
        Ok(keys::list(reader, owner, now, now - LISTED).await?)
    }

    /// Ends a key and its tokens. Succeeds for one that has been ended.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it is neither the caller's nor of a program that the caller administers;
    /// [`Error::Database`].
    pub async fn revoke_key(
        &self,
        caller: &Caller,
        id: Uuid,
        origin: &Origin,
    ) -> Result<(), Error> {
        let tx = self.store.begin().await?;
        let key = keys::find_of_manager(&tx, id, caller.id).await?;
        let key = key.ok_or(Refusal::NotFound)?;
        if keys::revoke(&tx, id, self.now()).await? {
            self.record_key(&tx, caller, &key, "key.revoke", origin)
                .await?;
            self.tell(&tx, caller.id, Notice::ApiKeyRevoked).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// A token for who shows a key, and until when it is good.
    ///
    /// # Errors
    /// [`Refusal::ApiKeyInvalid`] or [`Refusal::ApiKeyExpired`]; [`Error::Database`].
    pub async fn exchange_key(&self, text: &str) -> Result<(String, Time), Error> {
        let key: ApiKey = text.parse().map_err(|_| Refusal::ApiKeyInvalid)?;
        let (holder, last_use) = self.check_key(&key).await?;
        let token = self
            .access_token_of_key(
                self.store.reader(),
                holder.subject,
                key.id(),
                holder.organisation,
                &holder.scopes,
            )
            .await?;
        self.note_key_use(key.id(), last_use);
        Ok(token)
    }

    async fn check_key(&self, key: &ApiKey) -> Result<(Holder, Option<Time>), Error> {
        let found = keys::look_up(self.store.reader(), key.id()).await?;
        let found = found.ok_or(Refusal::ApiKeyInvalid)?;
        // Who does not know the secret learns nothing else, not even that the key has expired.
        if !key.fits(&found.secret_sha256) || found.revoke_time.is_some() {
            return Err(Refusal::ApiKeyInvalid.into());
        }
        if found.expire_time.is_some_and(|end| end <= self.now()) {
            return Err(Refusal::ApiKeyExpired.into());
        }
        let holder = found.holder().ok_or(Refusal::ApiKeyInvalid)?;
        Ok((holder, found.last_use_time))
    }

    /// Keeps the minute of a use, beside the answer: nobody waits for it, and a loss matters little.
    fn note_key_use(&self, id: Uuid, last_use: Option<Time>) {
        let now = self.now();
        let minute = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
        if last_use.is_some_and(|last| last >= minute) {
            return;
        }
        // While the database is slow, uses do not pile up: the next one is soon enough.
        let Ok(permit) = self.key_uses.clone().try_acquire_owned() else {
            return;
        };
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.note_key_use(id, minute).await {
                tracing::warn!(key = %id, %error, "the use of a key was not noted");
            }
            drop(permit);
        });
    }

    async fn record_key(
        &self,
        tx: &impl ConnectionTrait,
        caller: &Caller,
        key: &api_key::Model,
        action: &'static str,
        origin: &Origin,
    ) -> Result<(), Error> {
        // What a program does is its organisation's matter.
        let subject = match key.service_account_id {
            Some(_) => key.organisation_id,
            None => Some(caller.id),
        };
        let line = Line::by(caller.id, subject, action, origin);
        let line = line.with_detail(format!("key {}, for {}", key.id, key.scopes));
        Ok(audit::append(tx, line, self.now()).await?)
    }
}

/// Locks what the number of keys is counted of, and makes sure that the caller may make this one. Answers for which
/// organisation it acts.
async fn lock_owner(
    tx: &impl ConnectionTrait,
    caller: &Caller,
    new: &NewKey,
) -> Result<Option<Uuid>, Error> {
    let organisation = match new.program {
        Some(program) => {
            let row = programs::find(tx, program).await?;
            let organisation = row.ok_or(Refusal::NotFound)?.organisation_id;
            if new
                .organisation
                .is_some_and(|wanted| wanted != organisation)
            {
                return Err(Refusal::NotFound.into());
            }
            organisations::lock_as(tx, organisation, caller.id, Role::Admin).await?;
            // It may have been deleted while the lock was waited for.
            programs::find(tx, program)
                .await?
                .ok_or(Refusal::NotFound)?;
            return Ok(Some(organisation));
        }
        None => new.organisation,
    };
    if let Some(organisation) = organisation {
        organisations::lock_as(tx, organisation, caller.id, Role::Member).await?;
    }
    let user = users::lock(tx, caller.id).await?;
    if user.is_none_or(|user| user.state != users::ACTIVE) {
        return Err(Refusal::NotFound.into());
    }
    Ok(organisation)
}

#[cfg(test)]
mod tests;
