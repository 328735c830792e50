//! Sign-in with address and password.
//!
//! Whatever the address is, a wrong password costs two hashes (of the account, and of a sign-up that waits), and the answer
//! is the same.

use sea_orm::ActiveValue::Set;
use uuid::Uuid;

use super::App;
use super::hashing::Comparison;
use super::second_factor::SignedIn;
use super::sign_up::{PendingSignUp, from_json};
use super::throttles::Counted;
use crate::domain::email::Email;
use crate::domain::origin::Origin;
use crate::domain::password::Password;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::audit::{self, Line};
use crate::store::entity::people::user;
use crate::store::{codes, users};

/// Longer texts are no address; they are counted as one that nobody has.
const NOBODY: &str = "";

impl App {
    /// Signs in by address and password, or asks for a second step.
    ///
    /// # Errors
    /// [`Refusal::CredentialsInvalid`]; [`Refusal::EmailNotVerified`] after the password of a sign-up that waits; only after
    /// the right password [`Refusal::AccountDisabled`]; [`Error::Throttled`]; [`Refusal::Busy`]; [`Error::Database`].
    pub(crate) async fn sign_in(
        &self,
        email: &str,
        password: &str,
        origin: &Origin,
    ) -> Result<SignedIn, Error> {
        let email = Email::parse(email).ok();
        let email_key = email.as_ref().map_or(NOBODY, Email::key);
        let user = users::find_by_email_key(self.store.reader(), email_key).await?;
        let id = user.as_ref().map(|user| user.id);
        let counted = self.counted_sign_in(email_key, id, origin).await?;
        let shown = Password::shown(password);
        let hash = user.as_ref().and_then(|user| user.password_hash.as_deref());
        let compared = self.try_password(shown.clone(), hash, &counted).await?;
        if let Some(user) = user.filter(|_| compared != Comparison::Different) {
            let is_cheap = compared == Comparison::SameButCheap;
            return self
                .let_in(&user, is_cheap.then_some(shown), &counted, origin)
                .await;
        }
        // Who has signed up with this password is told what is missing, also where there is an account: it is not the one
        // who learns of it.
        let waiting = self.waiting_hash(email_key).await?;
        // When there is no place for this one the try stays counted: the password was wrong already.
        let compared = self.hasher.compare(shown, waiting.as_deref()).await?;
        if compared != Comparison::Different {
            // Anybody can sign up with an address: that forgives no guesses at the account's password.
            self.take_back(&counted).await?;
            return Err(Refusal::EmailNotVerified.into());
        }
        self.note_refusal(id, "CREDENTIALS_INVALID", origin).await?;
        Err(Refusal::CredentialsInvalid.into())
    }

    /// The hash of the newest sign-up that waits for its code.
    async fn waiting_hash(&self, email_key: &str) -> Result<Option<String>, Error> {
        let conn = self.store.reader();
        let waiting = codes::pending_sign_ups(conn, email_key, self.now(), 1).await?;
        let Some(waiting) = waiting.into_iter().next() else {
            return Ok(None);
        };
        let pending: PendingSignUp = from_json(waiting.payload.as_deref())?;
        Ok(Some(pending.password_hash))
    }

    /// The password was right.
    async fn let_in(
        &self,
        user: &user::Model,
        rehash: Option<Password>,
        counted: &[Counted],
        origin: &Origin,
    ) -> Result<SignedIn, Error> {
        self.refund(counted).await?;
        if !users::may_sign_in(user.state) {
            self.note_refusal(Some(user.id), "ACCOUNT_DISABLED", origin)
                .await?;
            return Err(Refusal::AccountDisabled.into());
        }
        let hash = match rehash {
            Some(password) => Some(self.hasher.hash(password).await?),
            None => None,
        };
        let tx = self.store.begin().await?;
        let row = users::lock(&tx, user.id).await?;
        // The password may have been changed meanwhile.
        let row = row.filter(|row| row.password_hash == user.password_hash);
        row.ok_or(Refusal::CredentialsInvalid)?;
        if hash.is_some() {
            let change = user::ActiveModel {
                password_hash: Set(hash),
                ..Default::default()
            };
            users::update(&tx, user.id, change).await?;
        }
        let first: (&[&str], _) = (&["pwd"], self.now());
        let signed_in = self.end_first_step(&tx, user.id, first, origin).await?;
        audit::append(&tx, Line::own(user.id, "sign_in", origin), self.now()).await?;
        tx.commit().await?;
        Ok(signed_in)
    }

    async fn note_refusal(
        &self,
        user: Option<Uuid>,
        why: &str,
        origin: &Origin,
    ) -> Result<(), Error> {
        let line = Line {
            actor: String::new(),
            ..Line::by(Uuid::nil(), user, "sign_in", origin)
        };
        let tx = self.store.begin().await?;
        audit::append(&tx, line.refused(why), self.now()).await?;
        Ok(tx.commit().await?)
    }
}

#[cfg(test)]
mod tests;
