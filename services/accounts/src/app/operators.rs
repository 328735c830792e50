//! What operators of the platform see and do. Every change is in the audit log, with the operator as actor.

use kinora_store::page::Page;
use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use uuid::Uuid;

use super::mail::templates;
use super::notices::Notice;
use super::sign_up::display_name_of;
use super::{App, PAGES};
use crate::domain::caller::Caller;
use crate::domain::email::Email;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::audit::Line;
use crate::store::entity::people::user;
use crate::store::entity::programs::{api_key, organisation};
use crate::store::lock::Topic;
use crate::store::user_view::UserView;
use crate::store::{
    audit, codes, ended, endings, groups, lock, outbox, passkeys, second_factors, user_view, users,
};

/// An account that an operator wants.
#[derive(Clone, Copy, Default)]
pub(crate) struct NewUser<'a> {
    /// Of mail. It counts as verified: nothing but a mail to it makes the account somebody's.
    pub(crate) email: &'a str,
    /// May be empty.
    pub(crate) display_name: &'a str,
    /// Administers the platform.
    pub(crate) is_operator: bool,
}

impl App {
    /// Lists users who fit `query`, newest first, with the token of the next page.
    ///
    /// # Errors
    /// [`Refusal::PageTokenInvalid`], [`Error::Database`].
    pub(crate) async fn list_users(
        &self,
        query: &str,
        page_size: u32,
        page_token: &str,
    ) -> Result<(Vec<UserView>, String), Error> {
        let page = Page::of(PAGES, &["users", query], page_size, page_token)?;
        let reader = self.store.reader();
        let rows = users::page(reader, query, page.after, page.rows()).await?;
        let (rows, next) = page.cut(rows, |row| row.id);
        Ok((user_view::of(reader, rows).await?, next))
    }

    /// Reads a user by id.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Error::Database`].
    pub(crate) async fn find_user(&self, id: Uuid) -> Result<UserView, Error> {
        let reader = self.store.reader();
        let found = users::find(reader, id).await?;
        self.view_of(reader, found.ok_or(Refusal::NotFound)?).await
    }

    /// Makes an account for somebody, who gets a mail with a code that sets a password. Of two who make one for the same
    /// address at once, one does.
    ///
    /// # Errors
    /// [`Refusal::EmailInvalid`], [`Refusal::NameInvalid`], [`Refusal::EmailTaken`]; [`Error::Database`].
    pub(crate) async fn create_user(
        &self,
        operator: &Caller,
        new: NewUser<'_>,
    ) -> Result<UserView, Error> {
        let now = self.now();
        let email = Email::parse(new.email).map_err(|_| Refusal::EmailInvalid)?;
        let mut user = self.new_user(&email, display_name_of(new.display_name)?);
        user.is_operator = new.is_operator;
        let tx = self.store.begin().await?;
        if !users::insert(&tx, user.clone()).await? {
            return Err(Refusal::EmailTaken.into());
        }
        // Whoever signed up with that address has not shown that it is theirs; the owner sets a password now.
        codes::end_sign_ups(&tx, email.key(), now).await?;
        let purpose = codes::Purpose::Reset;
        let code = self.new_code(&tx, purpose, Some(user.id), email.key(), None);
        let mail = templates::account_made(email.shown(), &code.await?, &self.options.public_url);
        outbox::enqueue(&tx, mail, now).await?;
        let role = if new.is_operator { "operator" } else { "user" };
        let line = did(operator, user.id, "user.create").with_detail(role);
        audit::append(&tx, line, now).await?;
        let view = self.view_of(&tx, user).await?;
        tx.commit().await?;
        Ok(view)
    }

    /// Lets a user in no longer, and ends sessions, keys and tokens. Once more changes nothing.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::LastOperator`], [`Error::Database`].
    pub(crate) async fn disable_user(
        &self,
        operator: &Caller,
        id: Uuid,
        reason: &str,
    ) -> Result<UserView, Error> {
        let (tx, user) = self.begin_with(id).await?;
        if user.state != users::DISABLED {
            must_leave_an_operator(&tx, &user).await?;
            let disabled = user::ActiveModel {
                state: Set(users::DISABLED),
                ..Default::default()
            };
            users::update(&tx, id, disabled).await?;
            endings::everything_of(&tx, id, self.now()).await?;
            let line = did(operator, id, "user.disable").with_detail(reason);
            audit::append(&tx, line, self.now()).await?;
        }
        self.commit_and_view(tx, id).await
    }

    /// Lets a disabled user in again: to an account that goes on, or that is about to be erased, as it was before.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Error::Database`].
    pub(crate) async fn enable_user(&self, operator: &Caller, id: Uuid) -> Result<UserView, Error> {
        let (tx, user) = self.begin_with(id).await?;
        if user.state == users::DISABLED {
            let state = match user.erase_time {
                Some(_) => users::LEAVING,
                None => users::ACTIVE,
            };
            let enabled = user::ActiveModel {
                state: Set(state),
                ..Default::default()
            };
            users::update(&tx, id, enabled).await?;
            audit::append(&tx, did(operator, id, "user.enable"), self.now()).await?;
        }
        self.commit_and_view(tx, id).await
    }

    /// Makes a user an operator, or no longer one. Tokens that say otherwise end.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::LastOperator`], [`Error::Database`].
    pub(crate) async fn set_operator(
        &self,
        operator: &Caller,
        id: Uuid,
        is_operator: bool,
    ) -> Result<UserView, Error> {
        let (tx, user) = self.begin_with(id).await?;
        if user.is_operator != is_operator {
            if !is_operator {
                must_leave_an_operator(&tx, &user).await?;
            }
            let changed = user::ActiveModel {
                is_operator: Set(is_operator),
                ..Default::default()
            };
            users::update(&tx, id, changed).await?;
            ended::note(&tx, id, self.now()).await?;
            let action = if is_operator {
                "operator.grant"
            } else {
                "operator.revoke"
            };
            audit::append(&tx, did(operator, id, action), self.now()).await?;
        }
        self.commit_and_view(tx, id).await
    }

    /// Ends all sessions of a user, and answers how many there were.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Error::Database`].
    pub(crate) async fn sign_out_user(&self, operator: &Caller, id: Uuid) -> Result<u32, Error> {
        let (tx, _) = self.begin_with(id).await?;
        let revoked = endings::sessions_of(&tx, id, self.now()).await?;
        let line = did(operator, id, "user.sign_out").with_detail(format!("{revoked} sessions"));
        audit::append(&tx, line, self.now()).await?;
        tx.commit().await?;
        Ok(u32::try_from(revoked).unwrap_or(u32::MAX))
    }

    /// Takes time-based codes, recovery codes and passkeys off an account, ends its sessions, and tells its owner.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Error::Database`].
    pub(crate) async fn reset_second_factors(
        &self,
        operator: &Caller,
        id: Uuid,
        reason: &str,
    ) -> Result<UserView, Error> {
        let now = self.now();
        let (tx, user) = self.begin_with(id).await?;
        second_factors::remove(&tx, id).await?;
        passkeys::remove_all(&tx, id).await?;
        // Whoever holds the lost device may be signed in with it.
        endings::sessions_of(&tx, id, now).await?;
        self.tell_address(&tx, &user.email, Notice::SecondFactorsReset)
            .await?;
        let line = did(operator, id, "second_factors.reset").with_detail(reason);
        audit::append(&tx, line, now).await?;
        self.commit_and_view(tx, id).await
    }

    /// Lists organisations that fit `query` with their numbers of members, newest first, with the token of the next
    /// page.
    ///
    /// # Errors
    /// [`Refusal::PageTokenInvalid`], [`Error::Database`].
    pub(crate) async fn list_all_organisations(
        &self,
        query: &str,
        page_size: u32,
        page_token: &str,
    ) -> Result<(Vec<(organisation::Model, u32)>, String), Error> {
        let page = Page::of(PAGES, &["organisations", query], page_size, page_token)?;
        let reader = self.store.reader();
        let rows = groups::page(reader, query, page.after, page.rows()).await?;
        let (rows, next) = page.cut(rows, |row| row.id);
        let members = groups::members(reader, rows.iter().map(|row| row.id)).await?;
        let with_members = |row: organisation::Model| {
            let number = members.get(&row.id).copied().unwrap_or_default();
            (row, u32::try_from(number).unwrap_or(u32::MAX))
        };
        Ok((rows.into_iter().map(with_members).collect(), next))
    }

    /// Lists the keys of a user or service account, newest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn keys_of(&self, owner: Uuid) -> Result<Vec<api_key::Model>, Error> {
        Ok(groups::keys_of(self.store.reader(), owner).await?)
    }

    /// Ends a key of anybody. Once more changes nothing but the log.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Error::Database`].
    pub(crate) async fn revoke_key_of_anybody(
        &self,
        operator: &Caller,
        id: Uuid,
    ) -> Result<(), Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        if !endings::key(&tx, id, now).await? {
            return Err(Refusal::NotFound.into());
        }
        audit::append(&tx, did(operator, id, "key.revoke"), now).await?;
        Ok(tx.commit().await?)
    }

    /// Begins a change of a user. Who is an operator is decided by one such change at a time.
    async fn begin_with(&self, id: Uuid) -> Result<(DatabaseTransaction, user::Model), Error> {
        let tx = self.store.begin().await?;
        lock::hold(&tx, Topic::Operators).await?;
        let user = users::lock(&tx, id).await?;
        let user = user.ok_or(Refusal::NotFound)?;
        Ok((tx, user))
    }

    async fn commit_and_view(&self, tx: DatabaseTransaction, id: Uuid) -> Result<UserView, Error> {
        let row = users::lock(&tx, id).await?.ok_or(Refusal::NotFound)?;
        let view = self.view_of(&tx, row).await?;
        tx.commit().await?;
        Ok(view)
    }
}

/// Passes unless a user is the only operator who may sign in. The caller holds [`Topic::Operators`].
pub(super) async fn must_leave_an_operator(
    tx: &impl ConnectionTrait,
    user: &user::Model,
) -> Result<(), Error> {
    let counts = user.is_operator && user.state == users::ACTIVE;
    if counts && users::operators_beside(tx, user.id).await? == 0 {
        return Err(Refusal::LastOperator.into());
    }
    Ok(())
}

fn did(operator: &Caller, subject: Uuid, action: &'static str) -> Line {
    Line::by(operator.id, Some(subject), action, &operator.origin)
}

#[cfg(test)]
mod tests;
