//! Age: stated by the person, found by a verifier, or settled by an operator.

use std::sync::Arc;

use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::App;
use crate::config::AccountsOptions;
use crate::domain::age::{Age, Assurance};
use crate::domain::caller::Caller;
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::domain::verifier::{AgeVerifier, Callback, SignedLink};
use crate::error::Error;
use crate::store::audit::Line;
use crate::store::entity::people::user;
use crate::store::flows::Purpose;
use crate::store::user_view::{UserView, age_of, assurance_number};
use crate::store::{audit, ended, users};

/// A person has this long to have the age verified.
const LIFETIME: TimeDelta = TimeDelta::hours(1);

/// Makes the verifier of the options, if there is one.
///
/// # Errors
/// [`Error::Options`] when they cannot work.
pub(super) fn verifier_of(
    options: &AccountsOptions,
) -> Result<Option<Arc<dyn AgeVerifier>>, Error> {
    let (url, secret) = match (&options.age_verifier_url, &options.age_verifier_secret) {
        (None, None) => return Ok(None),
        (Some(url), Some(secret)) => (url, secret.clone()),
        _ => {
            let problem = "the age verifier has both a link and a secret, or neither";
            return Err(Error::Options(problem.to_owned()));
        }
    };
    let made = SignedLink::new(&options.age_verifier_name, url, secret);
    let made = made.map_err(|problem| Error::Options(problem.to_owned()))?;
    Ok(Some(Arc::new(made)))
}

impl App {
    /// Takes a person's word for the year of birth, and keeps whether that is of age.
    ///
    /// # Errors
    /// [`Refusal::YearInvalid`], [`Refusal::AgeVerified`], [`Refusal::AgeDeclared`], [`Refusal::NotFound`],
    /// [`Error::Database`].
    pub(crate) async fn declare_age(
        &self,
        caller: &Caller,
        year_of_birth: u32,
        origin: &Origin,
    ) -> Result<Age, Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        let user = users::lock(&tx, caller.id).await?;
        let known = age_of(&user.ok_or(Refusal::NotFound)?);
        let age = known.declare(year_of_birth, now)?;
        if age != known {
            self.keep_age(&tx, caller.id, &age).await?;
            let line = Line::own(caller.id, "age.declare", origin);
            audit::append(&tx, line, now).await?;
            tx.commit().await?;
        }
        Ok(age)
    }

    /// Records what an operator has found out, or what a verifier outside of the platform has.
    ///
    /// # Errors
    /// [`Refusal::NameInvalid`] for a method without 1 to 100 visible characters, [`Refusal::NotFound`],
    /// [`Error::Database`].
    pub(crate) async fn set_age(
        &self,
        operator: &Caller,
        id: Uuid,
        is_adult: bool,
        method: String,
    ) -> Result<UserView, Error> {
        let is_blank = method.trim().is_empty() || method.chars().any(char::is_control);
        if is_blank || method.chars().count() > 100 {
            return Err(Refusal::NameInvalid.into());
        }
        let now = self.now();
        let tx = self.store.begin().await?;
        users::lock(&tx, id).await?.ok_or(Refusal::NotFound)?;
        let line = Line::by(operator.id, Some(id), "age.set", &operator.origin);
        let line = line.with_detail(format!("method {method}"));
        self.keep_age(&tx, id, &Age::verified(is_adult, method, now))
            .await?;
        audit::append(&tx, line, now).await?;
        let row = users::lock(&tx, id).await?.ok_or(Refusal::NotFound)?;
        let view = self.view_of(&tx, row).await?;
        tx.commit().await?;
        Ok(view)
    }

    /// Begins a verification, and answers where the person goes for it.
    ///
    /// # Errors
    /// [`Refusal::NoAgeVerifier`], [`Refusal::AgeVerified`], [`Refusal::NotFound`], [`Error::Database`].
    pub(crate) async fn begin_age_verification(&self, caller: &Caller) -> Result<String, Error> {
        let verifier = self.age_verifier.as_ref();
        let verifier = verifier.ok_or(Refusal::NoAgeVerifier)?;
        let tx = self.store.begin().await?;
        let user = users::lock(&tx, caller.id).await?;
        let known = age_of(&user.ok_or(Refusal::NotFound)?);
        if known.assurance == Assurance::Verified {
            return Err(Refusal::AgeVerified.into());
        }
        let purpose = Purpose::AgeVerification;
        let begun = self.begin_flow(&tx, purpose, Some(caller.id), &(), LIFETIME);
        let token = begun.await?.token;
        tx.commit().await?;
        Ok(verifier.link(&token))
    }

    /// Records what the verifier found. A verification is completed once.
    ///
    /// # Errors
    /// [`Refusal::NoAgeVerifier`]; [`Refusal::AgeCallbackInvalid`] when the call is not the verifier's, is old, or its
    /// verification was completed or has ended; [`Error::Database`].
    pub(crate) async fn complete_age_verification(
        &self,
        callback: Callback<'_>,
    ) -> Result<(), Error> {
        let verifier = self.age_verifier.as_ref();
        let verifier = verifier.ok_or(Refusal::NoAgeVerifier)?;
        let now = self.now();
        let found = verifier.read(callback, now)?;
        let tx = self.store.begin().await?;
        let purpose = Purpose::AgeVerification;
        // The user before the flow, as everybody locks them.
        let flow = self.open_flow::<()>(&tx, purpose, &found.token).await?;
        let user = flow.and_then(|flow| flow.user);
        let user = user.ok_or(Refusal::AgeCallbackInvalid)?;
        let row = users::lock(&tx, user).await?;
        row.ok_or(Refusal::AgeCallbackInvalid)?;
        let flow = self.take_flow::<()>(&tx, purpose, Some(user), &found.token);
        flow.await?.ok_or(Refusal::AgeCallbackInvalid)?;
        let name = verifier.name().to_owned();
        let mut line = Line::own(user, "age.verify", &Origin::default());
        line.actor = "system".to_owned();
        let line = line.with_detail(format!("verifier {name}"));
        self.keep_age(&tx, user, &Age::verified(found.is_adult, name, now))
            .await?;
        audit::append(&tx, line, now).await?;
        Ok(tx.commit().await?)
    }

    /// Writes an age, and ends the tokens that say another one; sessions go on.
    async fn keep_age(&self, tx: &impl ConnectionTrait, id: Uuid, age: &Age) -> Result<(), Error> {
        let changed = user::ActiveModel {
            age_assurance: Set(assurance_number(age.assurance)),
            age_method: Set(age.method.clone()),
            age_is_adult: Set(age.is_adult),
            age_time: Set(age.time),
            ..Default::default()
        };
        users::update(tx, id, changed).await?;
        Ok(ended::note(tx, id, self.now()).await?)
    }
}

#[cfg(test)]
mod tests;
