//! Passwords and addresses that change: by who is signed in, or by a code from a mail.

use sea_orm::ActiveValue::Set;
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::App;
use super::hashing::Comparison;
use super::mail::templates;
use super::notices::Notice;
use super::sign_up::{PendingAddress, to_json};
use crate::domain::caller::Caller;
use crate::domain::email::Email;
use crate::domain::origin::Origin;
use crate::domain::password::Password;
use crate::domain::refusal::Refusal;
use crate::domain::throttle::Kind;
use crate::error::Error;
use crate::store::audit::{self, Line};
use crate::store::codes::{self, Purpose};
use crate::store::entity::people::{code, user};
use crate::store::{outbox, throttles, users};

impl App {
    /// Sends a code that sets a new password, if the address has an account. It stays possible while wrong passwords
    /// keep others from signing in.
    ///
    /// # Errors
    /// [`Refusal::EmailInvalid`]; [`Error::Throttled`]; [`Error::Database`].
    pub(crate) async fn request_password_reset(
        &self,
        email: &str,
        origin: &Origin,
    ) -> Result<(), Error> {
        let email = Email::parse(email).map_err(|_| Refusal::EmailInvalid)?;
        self.charge_mail(Kind::ResetAccount, &email, origin).await?;
        let tx = self.store.begin().await?;
        let user = users::find_by_email_key(&tx, email.key()).await?;
        let user = user.filter(|user| users::may_sign_in(user.state));
        if let Some(user) = user {
            let code = self
                .new_code(&tx, Purpose::Reset, Some(user.id), email.key(), None)
                .await?;
            let mail = templates::reset(&user.email, &code, &self.options.public_url);
            outbox::enqueue(&tx, mail, self.now()).await?;
            let line = Line {
                actor: String::new(),
                ..Line::own(user.id, "password.reset_request", origin)
            };
            audit::append(&tx, line, self.now()).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Sets a new password by a code, and ends all sessions.
    ///
    /// # Errors
    /// [`Refusal::CodeInvalid`], or as of [`Self::choose_password`], which leaves the code good; [`Error::Database`].
    pub(crate) async fn reset_password(
        &self,
        code: &str,
        new_password: &str,
        origin: &Origin,
    ) -> Result<(), Error> {
        let row = self.code(self.store.reader(), code).await?;
        let row = row.filter(|row| row.purpose == Purpose::Reset as i16);
        let row = row.ok_or(Refusal::CodeInvalid)?;
        let id = row.user_id.ok_or(Refusal::CodeInvalid)?;
        let user = users::find(self.store.reader(), id).await?;
        let user = user.ok_or(Refusal::CodeInvalid)?;
        let hash = self.hash_for(&user, new_password).await?;
        let tx = self.store.begin().await?;
        self.end_reset(&tx, id, &row, hash, origin).await?;
        Ok(tx.commit().await?)
    }

    async fn end_reset(
        &self,
        tx: &DatabaseTransaction,
        id: Uuid,
        row: &code::Model,
        hash: String,
        origin: &Origin,
    ) -> Result<(), Error> {
        let now = self.now();
        let user = users::lock(tx, id).await?;
        // A code that went to an address which the account has no longer is good for nothing.
        let user =
            user.filter(|user| users::may_sign_in(user.state) && user.email_key == row.email_key);
        let user = user.ok_or(Refusal::CodeInvalid)?;
        if !codes::take(tx, row.id, now).await? {
            return Err(Refusal::CodeInvalid.into());
        }
        self.set_password(tx, id, hash).await?;
        self.end_sessions(tx, id, None).await?;
        // The password that strangers were guessing is no more.
        throttles::clear(tx, &Kind::SignInAccount.key(&user.email_key)).await?;
        self.tell(tx, id, Notice::PasswordReset).await?;
        Ok(audit::append(tx, Line::own(id, "password.reset", origin), now).await?)
    }

    /// Changes the password of the caller, who shows the current one, or may have had none.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Refusal::CredentialsInvalid`], [`Error::Throttled`] or [`Refusal::Busy`] for the current
    /// password, [`Error::Field`] without one; as of [`Self::choose_password`]; [`Refusal::NotFound`]; [`Error::Database`].
    pub(crate) async fn change_password(
        &self,
        caller: &Caller,
        current_password: &str,
        new_password: &str,
        sign_out_elsewhere: bool,
        origin: &Origin,
    ) -> Result<(), Error> {
        self.must_prove_itself(self.store.reader(), caller).await?;
        let user = users::find(self.store.reader(), caller.id).await?;
        let user = user.ok_or(Refusal::NotFound)?;
        if user.password_hash.is_some() {
            if current_password.is_empty() {
                return Err(Error::Field {
                    field: "current_password",
                    problem: "is missing",
                });
            }
            self.must_know_password(&user, current_password, "password.change", origin)
                .await?;
        }
        let hash = self.hash_for(&user, new_password).await?;
        let tx = self.store.begin().await?;
        let row = users::lock(&tx, caller.id).await?;
        let row = row.ok_or(Refusal::NotFound)?;
        if row.password_hash != user.password_hash {
            // It was changed meanwhile: what was shown is the current one no more.
            return Err(Refusal::CredentialsInvalid.into());
        }
        self.set_password(&tx, caller.id, hash).await?;
        if sign_out_elsewhere {
            self.end_sessions(&tx, caller.id, Some(caller.session))
                .await?;
        }
        self.tell(&tx, caller.id, Notice::PasswordChanged).await?;
        let line = Line::own(caller.id, "password.change", origin);
        audit::append(&tx, line, self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Sends a code to the new address of the caller, and tells the old one. Whether somebody else has that address shows
    /// to its owner only.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Refusal::EmailInvalid`]; [`Error::Throttled`]; [`Error::Database`].
    pub(crate) async fn change_email(
        &self,
        caller: &Caller,
        new_email: &str,
        origin: &Origin,
    ) -> Result<(), Error> {
        self.must_prove_itself(self.store.reader(), caller).await?;
        let email = Email::parse(new_email).map_err(|_| Refusal::EmailInvalid)?;
        self.charge_mail(Kind::SignUpAccount, &email, origin)
            .await?;
        let tx = self.store.begin().await?;
        users::lock(&tx, caller.id)
            .await?
            .ok_or(Refusal::NotFound)?;
        let is_taken = users::find_by_email_key(&tx, email.key()).await?.is_some();
        let mail = if is_taken {
            templates::address_taken(email.shown())
        } else {
            let payload = to_json(&PendingAddress {
                email: email.shown().to_owned(),
            })?;
            let purpose = Purpose::ChangeAddress;
            let code = self
                .new_code(&tx, purpose, Some(caller.id), email.key(), Some(payload))
                .await?;
            templates::change_address(email.shown(), &code, &self.options.public_url)
        };
        outbox::enqueue(&tx, mail, self.now()).await?;
        self.tell(&tx, caller.id, Notice::EmailChangeBegun).await?;
        let line = Line::own(caller.id, "email.change_request", origin);
        audit::append(&tx, line, self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// The hash of a new password, which is not a first one that others know.
    async fn hash_for(&self, user: &user::Model, new_password: &str) -> Result<String, Error> {
        let email = Email::parse(&user.email)
            .map_err(|_| Error::Broken("the address of an account cannot be read".to_owned()))?;
        let password = self.choose_password(new_password, &email).await?;
        if user.password_is_initial {
            let current = user.password_hash.as_deref();
            let compared = self.hasher.compare(password.clone(), current).await?;
            if compared != Comparison::Different {
                return Err(Refusal::PasswordUnchanged.into());
            }
        }
        self.hasher.hash(password).await
    }

    /// Takes a new password for the account with an address, unless it is a breached one.
    ///
    /// # Errors
    /// As of [`Password::choose`]; [`Refusal::PasswordBreached`].
    pub(super) async fn choose_password(
        &self,
        text: &str,
        email: &Email,
    ) -> Result<Password, Error> {
        let password = Password::choose(text, email)?;
        if let Some(breached) = &self.breached
            && breached.has(&password).await
        {
            return Err(Refusal::PasswordBreached.into());
        }
        Ok(password)
    }

    /// The user is locked. Codes that were sent for another password are good for nothing any more.
    async fn set_password(
        &self,
        tx: &DatabaseTransaction,
        id: Uuid,
        hash: String,
    ) -> Result<(), Error> {
        let now = self.now();
        let change = user::ActiveModel {
            password_hash: Set(Some(hash)),
            password_time: Set(Some(now)),
            password_is_initial: Set(false),
            ..Default::default()
        };
        users::update(tx, id, change).await?;
        Ok(codes::end_all_of(tx, id, now).await?)
    }
}

#[cfg(test)]
mod tests;
