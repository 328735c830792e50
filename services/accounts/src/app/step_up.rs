//! Showing a credential once more, for what a session alone is not good enough.
//!
//! Tries count with those of sign-ins, so that a session that was stolen is no place to guess in.

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::App;
use super::hashing::Comparison;
use super::sessions::times_of;
use super::throttles::Counted;
use crate::domain::Time;
use crate::domain::caller::Caller;
use crate::domain::origin::Origin;
use crate::domain::password::Password;
use crate::domain::refusal::Refusal;
use crate::domain::session::FactorTimes;
use crate::domain::tokens::{Shown, Tokens};
use crate::error::Error;
use crate::store::audit::{self, Line};
use crate::store::entity::people::{session, user};
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
    /// Takes a credential of who is signed in, and goes on with a session in which that factor is fresh. A time-based code
    /// after a first factor makes two. Where codes are asked for, both have to be shown: a session is as fresh as the older
    /// one.
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
        self.must_know_password(&user, password, "step_up", origin)
            .await?;
        let tx = self.store.begin().await?;
        let row = users::lock(&tx, caller.id).await?;
        // The password may have been changed meanwhile.
        let row = row.filter(|row| row.password_hash == user.password_hash);
        row.ok_or(Refusal::CredentialsInvalid)?;
        let session = sessions::find(&tx, caller.session).await?;
        let session = session.ok_or(Refusal::SessionEnded)?;
        let asks_for_code = second_factors::has_totp(&tx, caller.id).await?;
        let (assurance, times) = after_password(&session, asks_for_code, self.now());
        let tokens = self
            .go_on(&tx, caller, (&session, "pwd", assurance), times, origin)
            .await?;
        tx.commit().await?;
        Ok(tokens)
    }

    /// Passes when a password is that of an account. Tries count as those of sign-ins do, and a wrong one is in the audit log
    /// as `action`.
    ///
    /// # Errors
    /// [`Refusal::CredentialsInvalid`], also when the account has none; [`Error::Throttled`]; [`Refusal::Busy`];
    /// [`Error::Database`].
    pub(super) async fn must_know_password(
        &self,
        user: &user::Model,
        password: &str,
        action: &'static str,
        origin: &Origin,
    ) -> Result<(), Error> {
        let counted = self
            .counted_sign_in(&user.email_key, Some(user.id), origin)
            .await?;
        let hash = user.password_hash.as_deref();
        let password = Password::shown(password);
        if self.try_password(password, hash, &counted).await? == Comparison::Different {
            let refusal = Refusal::CredentialsInvalid;
            return self.refuse(user.id, action, refusal, origin).await;
        }
        self.refund(&counted).await
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
            let refusal = Refusal::SecondFactorInvalid;
            return self.refuse(caller.id, "step_up", refusal, origin).await;
        }
        let session = sessions::find(&tx, caller.session).await?;
        let session = session.ok_or(Refusal::SessionEnded)?;
        let times = FactorTimes {
            second: Some(self.now()),
            ..times_of(&session)
        };
        let tokens = self
            .go_on(&tx, caller, (&session, "otp", 2), times, origin)
            .await?;
        tx.commit().await?;
        self.refund(&counted).await?;
        Ok(tokens)
    }

    /// The user is locked, and has shown a credential by a method, which makes so many factors of a session.
    async fn go_on(
        &self,
        tx: &impl ConnectionTrait,
        caller: &Caller,
        (session, method, assurance): (&session::Model, &'static str, u8),
        times: FactorTimes,
        origin: &Origin,
    ) -> Result<Tokens, Error> {
        let mut methods: Vec<&str> = session.methods.split(' ').collect();
        if !methods.contains(&method) {
            methods.push(method);
        }
        let shown = Shown {
            methods: &methods,
            assurance,
        };
        let tokens = self
            .replace_session(tx, session.id, caller.id, (shown, times), origin)
            .await?;
        let line = Line::own(caller.id, "step_up", origin).with_detail(method);
        audit::append(tx, line, self.now()).await?;
        Ok(tokens)
    }

    async fn refuse<T>(
        &self,
        user: Uuid,
        action: &'static str,
        refusal: Refusal,
        origin: &Origin,
    ) -> Result<T, Error> {
        let line = Line::own(user, action, origin).refused(refusal.parts().1);
        let tx = self.store.begin().await?;
        audit::append(&tx, line, self.now()).await?;
        tx.commit().await?;
        Err(refusal.into())
    }
}

/// How many factors a session has shown with this password, and when. Where codes are asked for, one counts on only when it
/// is known how old it is.
fn after_password(session: &session::Model, asks_for_code: bool, now: Time) -> (u8, FactorTimes) {
    if !asks_for_code {
        let assurance = u8::try_from(session.assurance).unwrap_or(1);
        return (assurance, FactorTimes::only(now));
    }
    let second = session.second_factor_time;
    let assurance = if second.is_some() { 2 } else { 1 };
    (assurance, FactorTimes { first: now, second })
}

#[cfg(test)]
mod tests;
