//! Showing a credential once more, for what a session alone is not good enough.

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::App;
use super::hashing::Comparison;
use crate::domain::caller::Caller;
use crate::domain::origin::Origin;
use crate::domain::password::Password;
use crate::domain::refusal::Refusal;
use crate::domain::tokens::{Shown, Tokens};
use crate::error::Error;
use crate::store::audit::{self, Line};
use crate::store::{second_factors, sessions, users};

/// What is shown.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// The account's password.
    Password(&'a str),
    /// A time-based code.
    Totp(&'a str),
}

impl App {
    /// Takes a credential of who is signed in, and goes on with a session that counts as fresh. A time-based code after a
    /// first factor makes two.
    ///
    /// # Errors
    /// [`Refusal::CredentialsInvalid`], [`Refusal::SecondFactorInvalid`], [`Refusal::SessionEnded`],
    /// [`Error::Throttled`].
    pub(crate) async fn step_up(
        &self,
        caller: &Caller,
        proof: Proof<'_>,
        origin: &Origin,
    ) -> Result<Tokens, Error> {
        let (method, assurance) = match proof {
            Proof::Password(password) => {
                self.show_password(caller.id, password, origin).await?;
                ("pwd", caller.assurance)
            }
            Proof::Totp(_) => ("otp", 2),
        };
        let tx = self.store.begin().await?;
        users::lock(&tx, caller.id)
            .await?
            .ok_or(Refusal::SessionEnded)?;
        if let Proof::Totp(code) = proof
            && !self.take_confirmed_totp(&tx, caller, code).await?
        {
            let line = Line::own(caller.id, "step_up", origin).refused("CODE_INVALID");
            audit::append(&tx, line, self.now()).await?;
            tx.commit().await?;
            return Err(Refusal::SecondFactorInvalid.into());
        }
        let row = sessions::find(&tx, caller.session).await?;
        let row = row.ok_or(Refusal::SessionEnded)?;
        let mut methods: Vec<&str> = row.methods.split(' ').collect();
        if !methods.contains(&method) {
            methods.push(method);
        }
        let shown = Shown {
            methods: &methods,
            assurance,
        };
        let tokens = self
            .replace_session(&tx, caller.session, caller.id, shown, origin)
            .await?;
        let line = Line::own(caller.id, "step_up", origin).with_detail(method);
        audit::append(&tx, line, self.now()).await?;
        tx.commit().await?;
        Ok(tokens)
    }

    /// Compares a password before anything is locked: that takes a while.
    async fn show_password(
        &self,
        user: Uuid,
        password: &str,
        origin: &Origin,
    ) -> Result<(), Error> {
        let row = users::find(self.store.reader(), user).await?;
        let hash = row.and_then(|row| row.password_hash);
        let password = Password::shown(password);
        let compared = self.hasher.compare(password, hash.as_deref()).await?;
        if compared != Comparison::Different {
            return Ok(());
        }
        let tx = self.store.begin().await?;
        let line = Line::own(user, "step_up", origin).refused("CREDENTIALS_INVALID");
        audit::append(&tx, line, self.now()).await?;
        tx.commit().await?;
        Err(Refusal::CredentialsInvalid.into())
    }

    async fn take_confirmed_totp(
        &self,
        tx: &impl ConnectionTrait,
        caller: &Caller,
        code: &str,
    ) -> Result<bool, Error> {
        Ok(second_factors::has_totp(tx, caller.id).await?
            && self.take_totp(tx, caller.id, code).await?)
    }
}
