//! Showing a credential once more, for what a session alone is not good enough.
//!
//! Tries count with those of sign-ins, so that a session that was stolen is no place to guess in.

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::App;
use super::hashing::Comparison;
use super::throttles::Counted;
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
    /// [`Error::Throttled`], [`Refusal::Busy`].
    pub(crate) async fn step_up(
        &self,
        caller: &Caller,
        proof: Proof<'_>,
        origin: &Origin,
    ) -> Result<Tokens, Error> {
        match proof {
            Proof::Password(password) => self.step_up_by_password(caller, password, origin).await,
            Proof::Totp(code) => self.step_up_by_code(caller, code, origin).await,
        }
    }

    async fn step_up_by_password(
        &self,
        caller: &Caller,
        password: &str,
        origin: &Origin,
    ) -> Result<Tokens, Error> {
        let user = users::find(self.store.reader(), caller.id).await?;
        let user = user.filter(|user| users::may_sign_in(user.state));
        let user = user.ok_or(Refusal::SessionEnded)?;
        let counted = self
            .counted_sign_in(&user.email_key, Some(user.id), origin)
            .await?;
        let hash = user.password_hash.as_deref();
        let password = Password::shown(password);
        if self.try_password(password, hash, &counted).await? == Comparison::Different {
            return self
                .refuse_step_up(caller.id, Refusal::CredentialsInvalid, origin)
                .await;
        }
        let tx = self.store.begin().await?;
        let row = users::lock(&tx, caller.id).await?;
        // The password may have been changed meanwhile.
        let row = row.filter(|row| row.password_hash == user.password_hash);
        row.ok_or(Refusal::CredentialsInvalid)?;
        // Where there is a second factor, the password alone makes only one fresh: a code makes both.
        let has_totp = second_factors::has_totp(&tx, caller.id).await?;
        let assurance = if has_totp { 1 } else { caller.assurance };
        let tokens = self
            .go_on_freshly(&tx, caller, ("pwd", assurance), origin)
            .await?;
        tx.commit().await?;
        self.refund(&counted).await?;
        Ok(tokens)
    }

    async fn step_up_by_code(
        &self,
        caller: &Caller,
        code: &str,
        origin: &Origin,
    ) -> Result<Tokens, Error> {
        let counted: Vec<Counted> = self.counted_second_step(caller.id, origin).await?;
        self.charge(&counted).await?;
        let tx = self.store.begin().await?;
        users::lock(&tx, caller.id)
            .await?
            .ok_or(Refusal::SessionEnded)?;
        let is_right = second_factors::has_totp(&tx, caller.id).await?
            && self.take_totp(&tx, caller.id, code).await?;
        if !is_right {
            drop(tx);
            return self
                .refuse_step_up(caller.id, Refusal::SecondFactorInvalid, origin)
                .await;
        }
        let tokens = self.go_on_freshly(&tx, caller, ("otp", 2), origin).await?;
        tx.commit().await?;
        self.refund(&counted).await?;
        Ok(tokens)
    }

    /// The user is locked, and has shown a credential by a method, which makes so many factors.
    async fn go_on_freshly(
        &self,
        tx: &impl ConnectionTrait,
        caller: &Caller,
        (method, assurance): (&'static str, u8),
        origin: &Origin,
    ) -> Result<Tokens, Error> {
        let row = sessions::find(tx, caller.session).await?;
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
            .replace_session(tx, caller.session, caller.id, shown, origin)
            .await?;
        let line = Line::own(caller.id, "step_up", origin).with_detail(method);
        audit::append(tx, line, self.now()).await?;
        Ok(tokens)
    }

    async fn refuse_step_up<T>(
        &self,
        user: Uuid,
        refusal: Refusal,
        origin: &Origin,
    ) -> Result<T, Error> {
        let line = Line::own(user, "step_up", origin).refused(refusal.parts().1);
        let tx = self.store.begin().await?;
        audit::append(&tx, line, self.now()).await?;
        tx.commit().await?;
        Err(refusal.into())
    }
}

#[cfg(test)]
mod tests;
