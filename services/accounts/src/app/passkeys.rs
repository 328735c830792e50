//! Passkeys: registration, and sign-in without a name. A passkey asks its owner for a finger or a number by itself, so it
//! counts as two factors.

use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
use serde::Serialize;
use uuid::Uuid;
use webauthn_rs::Webauthn;
use webauthn_rs::prelude::{
    AuthenticationResult, DiscoverableAuthentication, DiscoverableKey, Passkey,
    PasskeyRegistration, PublicKeyCredential, RegisterPublicKeyCredential, WebauthnError,
};

use super::App;
use super::notices::Notice;
use super::throttles::Counted;
use crate::domain::caller::Caller;
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::domain::throttle::Kind;
use crate::domain::tokens::{Shown, Tokens};
use crate::error::Error;
use crate::store::audit::{self, Line};
use crate::store::entity::people::{passkey, user};
use crate::store::flows::Purpose;
use crate::store::{identities, passkeys, users};

/// Long enough to find the key.
const LIFETIME: TimeDelta = TimeDelta::minutes(5);

/// Nobody has more keys on a ring.
const MAX_PASSKEYS: u64 = 25;

/// What authenticators send has a few KiB.
const MAX_CREDENTIAL_BYTES: usize = 64 * 1024;

/// Something for the browser's authenticator to answer.
#[derive(Debug)]
pub struct Asked {
    /// JSON of the options of `navigator.credentials`, without its `publicKey`.
    pub options_json: String,
    /// Goes with the answer.
    pub token: String,
}

impl App {
    /// Begins to register a passkey.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Refusal::TooManyKeys`]; [`Refusal::PasskeyUnfit`] where there can be none.
    pub(crate) async fn begin_passkey_registration(&self, caller: &Caller) -> Result<Asked, Error> {
        let tx = self.store.begin().await?;
        self.must_prove_itself(&tx, caller).await?;
        let user = users::lock(&tx, caller.id).await?;
        let user = user.ok_or(Refusal::NotFound)?;
        let known = passkeys::of_user(&tx, user.id).await?;
        if known.len() as u64 >= MAX_PASSKEYS {
            return Err(Refusal::TooManyKeys.into());
        }
        let known = known.iter().map(|row| row.credential_id.clone()).collect();
        let shown_name = if user.display_name.is_empty() {
            &user.email
        } else {
            &user.display_name
        };
        let party = self.relying_party().ok_or(Refusal::PasskeyUnfit)?;
        let (options, state) = party
            .start_passkey_registration(user.id, &user.email, shown_name, Some(known))
            .map_err(|error| broken(&error))?;
        let purpose = Purpose::PasskeyRegistration;
        let begun = self
            .begin_flow(&tx, purpose, Some(user.id), &state, LIFETIME)
            .await?;
        tx.commit().await?;
        let mut options = json_value(&options.public_key)?;
        // Without it a key may not know, later, whose it is.
        options["authenticatorSelection"]["residentKey"] = "required".into();
        options["authenticatorSelection"]["requireResidentKey"] = true.into();
        Ok(Asked {
            options_json: options.to_string(),
            token: begun.token,
        })
    }

    /// Keeps the passkey that an authenticator has made.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Refusal::NameInvalid`]; [`Refusal::RegistrationEnded`]; [`Refusal::PasskeyUnfit`].
    pub(crate) async fn complete_passkey_registration(
        &self,
        caller: &Caller,
        token: &str,
        credential_json: &str,
        name: &str,
        origin: &Origin,
    ) -> Result<passkey::Model, Error> {
        let name = checked_name(name)?;
        let made = parse::<RegisterPublicKeyCredential>(credential_json);
        let made = made.ok_or(Refusal::PasskeyUnfit)?;
        let state = self.take_registration(caller, token).await?;
        let party = self.relying_party().ok_or(Refusal::PasskeyUnfit)?;
        let credential = party
            .finish_passkey_registration(&made, &state)
            .map_err(|error| unfit(&error, Refusal::PasskeyUnfit))?;
        let tx = self.store.begin().await?;
        self.must_prove_itself(&tx, caller).await?;
        users::lock(&tx, caller.id)
            .await?
            .ok_or(Refusal::NotFound)?;
        if passkeys::count(&tx, caller.id).await? >= MAX_PASSKEYS {
            return Err(Refusal::TooManyKeys.into());
        }
        let row = passkey::Model {
            id: Uuid::now_v7(),
            user_id: caller.id,
            credential_id: credential.cred_id().to_vec(),
            credential: json(&credential)?,
            name,
            create_time: self.now(),
            last_use_time: None,
        };
        if !passkeys::insert(&tx, row.clone()).await? {
            return Err(Refusal::PasskeyUnfit.into());
        }
        self.tell_and_note(&tx, caller.id, Notice::PasskeyAdded, "passkey.add", origin)
            .await?;
        tx.commit().await?;
        Ok(row)
    }

    /// The caller's passkeys, oldest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn list_passkeys(
        &self,
        caller: &Caller,
    ) -> Result<Vec<passkey::Model>, Error> {
        Ok(passkeys::of_user(self.store.reader(), caller.id).await?)
    }

    /// Forgets a passkey.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Refusal::NotFound`]; [`Refusal::LastCredential`].
    pub(crate) async fn remove_passkey(
        &self,
        caller: &Caller,
        id: Uuid,
        origin: &Origin,
    ) -> Result<(), Error> {
        let tx = self.store.begin().await?;
        self.must_prove_itself(&tx, caller).await?;
        let user = users::lock(&tx, caller.id).await?;
        let user = user.ok_or(Refusal::NotFound)?;
        if !passkeys::remove(&tx, user.id, id).await? {
            return Err(Refusal::NotFound.into());
        }
        self.must_keep_credential(&tx, &user).await?;
        let notice = Notice::PasskeyRemoved;
        self.tell_and_note(&tx, user.id, notice, "passkey.remove", origin)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Begins a sign-in with a passkey of whomever.
    ///
    /// # Errors
    /// [`Refusal::PasskeyInvalid`] where there can be none; [`Error::Throttled`].
    pub(crate) async fn begin_passkey_sign_in(&self, origin: &Origin) -> Result<Asked, Error> {
        let party = self.relying_party().ok_or(Refusal::PasskeyInvalid)?;
        self.charge_flow(origin).await?;
        let (options, state) = party
            .start_discoverable_authentication()
            .map_err(|error| broken(&error))?;
        let tx = self.store.begin().await?;
        let purpose = Purpose::PasskeySignIn;
        let begun = self
            .begin_flow(&tx, purpose, None, &state, LIFETIME)
            .await?;
        tx.commit().await?;
        Ok(Asked {
            options_json: json(&options.public_key)?,
            token: begun.token,
        })
    }

    /// Signs in with what an authenticator has signed.
    ///
    /// # Errors
    /// [`Refusal::ChallengeInvalid`]; [`Refusal::PasskeyInvalid`]; [`Refusal::AccountDisabled`]; [`Error::Throttled`].
    pub(crate) async fn complete_passkey_sign_in(
        &self,
        token: &str,
        credential_json: &str,
        origin: &Origin,
    ) -> Result<Tokens, Error> {
        let shown = parse::<PublicKeyCredential>(credential_json);
        let shown = shown.ok_or(Refusal::PasskeyInvalid)?;
        let state = self.take_challenge(token).await?;
        let party = self.relying_party().ok_or(Refusal::PasskeyInvalid)?;
        let (user, credential_id) = party
            .identify_discoverable_authentication(&shown)
            .map_err(|error| unfit(&error, Refusal::PasskeyInvalid))?;
        let counted = self.counted_passkey(user, credential_id, origin).await?;
        self.charge(&counted).await?;
        let tx = self.store.begin().await?;
        // The lock keeps two answers from passing with the same counter.
        users::lock(&tx, user)
            .await?
            .ok_or(Refusal::PasskeyInvalid)?;
        let row = passkeys::find(&tx, user, credential_id).await?;
        let row = row.ok_or(Refusal::PasskeyInvalid)?;
        let mut known: Passkey = serde_json::from_str(&row.credential)
            .map_err(|error| Error::Broken(format!("passkey {} is broken: {error}", row.id)))?;
        let key = DiscoverableKey::from(&known);
        let problem = match party.finish_discoverable_authentication_v2(&shown, state, &key) {
            Ok(result) if result.user_verified() => {
                let opened = self.open_for_passkey(&tx, &row, &mut known, &result, origin);
                let tokens = opened.await?;
                tx.commit().await?;
                self.refund(&counted).await?;
                self.refund_flow(origin).await?;
                return Ok(tokens);
            }
            Ok(_) => "the owner was not verified".to_owned(),
            Err(error) => error.to_string(),
        };
        let line = Line::own(user, "sign_in.passkey", origin).refused(problem);
        audit::append(&tx, line, self.now()).await?;
        tx.commit().await?;
        Err(Refusal::PasskeyInvalid.into())
    }

    /// What an answer with a passkey is counted by. Who names an account without a passkey of it harms nobody else by
    /// that.
    async fn counted_passkey(
        &self,
        user: Uuid,
        credential_id: &[u8],
        origin: &Origin,
    ) -> Result<Vec<Counted>, Error> {
        let known = passkeys::find(self.store.reader(), user, credential_id).await?;
        match known {
            Some(known) => self.counted_second_step(known.user_id, origin).await,
            None => Ok(Counted::by_network(Kind::SignInNetwork, origin)
                .into_iter()
                .collect()),
        }
    }

    /// Passes when a user, whose row is locked, could still sign in.
    ///
    /// # Errors
    /// [`Refusal::LastCredential`].
    pub(crate) async fn must_keep_credential(
        &self,
        tx: &impl ConnectionTrait,
        user: &user::Model,
    ) -> Result<(), Error> {
        let has_other = user.password_hash.is_some()
            || passkeys::count(tx, user.id).await? > 0
            // One of a provider that is no longer configured signs nobody in.
            || identities::count(tx, user.id, self.providers.issuers()).await? > 0;
        if has_other {
            Ok(())
        } else {
            Err(Refusal::LastCredential.into())
        }
    }

    /// A challenge is good for one answer, right or wrong.
    async fn take_challenge(&self, token: &str) -> Result<DiscoverableAuthentication, Error> {
        let tx = self.store.begin().await?;
        let open = self
            .take_flow(&tx, Purpose::PasskeySignIn, None, token)
            .await?;
        tx.commit().await?;
        Ok(open.ok_or(Refusal::ChallengeInvalid)?.payload)
    }

    async fn take_registration(
        &self,
        caller: &Caller,
        token: &str,
    ) -> Result<PasskeyRegistration, Error> {
        let tx = self.store.begin().await?;
        self.must_prove_itself(&tx, caller).await?;
        let purpose = Purpose::PasskeyRegistration;
        let open = self.take_flow(&tx, purpose, Some(caller.id), token).await?;
        tx.commit().await?;
        Ok(open.ok_or(Refusal::RegistrationEnded)?.payload)
    }

    async fn open_for_passkey(
        &self,
        tx: &impl ConnectionTrait,
        row: &passkey::Model,
        known: &mut Passkey,
        result: &AuthenticationResult,
        origin: &Origin,
    ) -> Result<Tokens, Error> {
        known.update_credential(result);
        passkeys::note_use(tx, row.id, json(known)?, self.now()).await?;
        let shown = Shown {
            methods: &["hwk"],
            assurance: 2,
        };
        let opened = self.open_session(tx, row.user_id, shown, None, origin);
        let tokens = opened.await?;
        self.know_network(tx, row.user_id, origin).await?;
        Ok(tokens)
    }

    fn relying_party(&self) -> Option<&Webauthn> {
        self.relying_party.as_ref()
    }
}

/// What somebody calls a key.
fn checked_name(name: &str) -> Result<String, Refusal> {
    let name = name.trim();
    let is_name = (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    is_name.then(|| name.to_owned()).ok_or(Refusal::NameInvalid)
}

fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Option<T> {
    if json.len() > MAX_CREDENTIAL_BYTES {
        return None;
    }
    serde_json::from_str(json).ok()
}

fn json<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Broken(format!("no JSON: {error}")))
}

fn json_value<T: Serialize>(value: &T) -> Result<serde_json::Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::Broken(format!("no JSON: {error}")))
}

fn broken(error: &WebauthnError) -> Error {
    Error::Broken(format!("webauthn failed: {error}"))
}

fn unfit(error: &WebauthnError, refusal: Refusal) -> Error {
    tracing::info!(%error, "a passkey was refused");
    refusal.into()
}

#[cfg(test)]
mod tests;
