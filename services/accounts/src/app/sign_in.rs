//! Sign-in with address and password.
//!
//! Whatever the address is, one password hash is computed, and the answer to a wrong password is the same.

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

/// What a password is compared with.
enum Account {
    There(Box<user::Model>),
    /// Waits for its code, under this hash.
    Pending(String),
    None,
}

impl Account {
    fn hash(&self) -> Option<&str> {
        match self {
            Self::There(user) => user.password_hash.as_deref(),
            Self::Pending(hash) => Some(hash),
            Self::None => None,
        }
    }

    fn id(&self) -> Option<Uuid> {
        match self {
            Self::There(user) => Some(user.id),
            Self::Pending(_) | Self::None => None,
        }
    }
}

impl App {
    /// Signs in by address and password, or asks for a second step.
    ///
    /// # Errors
    /// [`Refusal::CredentialsInvalid`]; only after the right password [`Refusal::EmailNotVerified`] or
    /// [`Refusal::AccountDisabled`]; [`Error::Throttled`]; [`Refusal::Busy`]; [`Error::Database`].
    pub(crate) async fn sign_in(
        &self,
        email: &str,
        password: &str,
        origin: &Origin,
    ) -> Result<SignedIn, Error> {
        let email = Email::parse(email).ok();
        let email_key = email.as_ref().map_or(NOBODY, Email::key);
        let account = self.account(email_key).await?;
        let counted = self
            .counted_sign_in(email_key, account.id(), origin)
            .await?;
        let shown = Password::shown(password);
        let compared = self
            .try_password(shown.clone(), account.hash(), &counted)
            .await?;
        match account {
            Account::There(user) if compared != Comparison::Different => {
                let is_cheap = compared == Comparison::SameButCheap;
                self.let_in(&user, is_cheap.then_some(shown), &counted, origin)
                    .await
            }
            Account::Pending(_) if compared != Comparison::Different => {
                self.refund(&counted).await?;
                Err(Refusal::EmailNotVerified.into())
            }
            account => {
                self.note_refusal(account.id(), "CREDENTIALS_INVALID", origin)
                    .await?;
                Err(Refusal::CredentialsInvalid.into())
            }
        }
    }

    async fn account(&self, email_key: &str) -> Result<Account, Error> {
        let conn = self.store.reader();
        if let Some(user) = users::find_by_email_key(conn, email_key).await? {
            return Ok(Account::There(Box::new(user)));
        }
        let Some(code) = codes::pending_sign_up(conn, email_key, self.now()).await? else {
            return Ok(Account::None);
        };
        let pending: PendingSignUp = from_json(code.payload.as_deref())?;
        Ok(Account::Pending(pending.password_hash))
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
        let signed_in = self.end_first_step(&tx, user.id, &["pwd"], origin).await?;
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
