//! Leaving: an account is erased after a grace, in which its owner may change their mind.

use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;
use uuid::Uuid;

use super::App;
use super::notices::Notice;
use super::operators::must_leave_an_operator;
use crate::domain::Time;
use crate::domain::caller::Caller;
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::audit::Line;
use crate::store::entity::people::user;
use crate::store::lock::Topic;
use crate::store::{audit, endings, erasure, lock, members, users};

/// An account that is to be erased can be kept for this long.
const GRACE: TimeDelta = TimeDelta::days(30);

impl App {
    /// Has the caller's account erased after 30 days. Sessions, keys and tokens end at once; signing in again is for
    /// changing one's mind. Once more changes nothing. Answers when it is erased.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`], [`Refusal::LastOwner`], [`Refusal::LastOperator`], [`Refusal::NotFound`],
    /// [`Error::Database`].
    pub(crate) async fn erase_user(&self, caller: &Caller, origin: &Origin) -> Result<Time, Error> {
        let now = self.now();
        self.must_prove_itself(self.store.reader(), caller).await?;
        let tx = self.store.begin().await?;
        for organisation in erasure::lock_organisations_of(&tx, caller.id, true).await? {
            if !members::has_other_owner(&tx, organisation, caller.id).await? {
                return Err(Refusal::LastOwner.into());
            }
        }
        lock::hold(&tx, Topic::Operators).await?;
        let user = users::lock(&tx, caller.id).await?;
        let user = user.ok_or(Refusal::NotFound)?;
        if let Some(erase_time) = user.erase_time {
            return Ok(erase_time);
        }
        must_leave_an_operator(&tx, &user).await?;
        let erase_time = now + GRACE;
        let leaving = user::ActiveModel {
            state: Set(users::LEAVING),
            erase_time: Set(Some(erase_time)),
            ..Default::default()
        };
        users::update(&tx, user.id, leaving).await?;
        endings::everything_of(&tx, user.id, now).await?;
        audit::append(&tx, Line::own(user.id, "erasure.begin", origin), now).await?;
        self.tell_address(&tx, &user.email, Notice::ErasureBegun)
            .await?;
        tx.commit().await?;
        Ok(erase_time)
    }

    /// Keeps an account that was to be erased. For one that was not, nothing changes.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Error::Database`].
    pub(crate) async fn cancel_erasure(
        &self,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<(), Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        let user = users::lock(&tx, caller.id).await?;
        let user = user.ok_or(Refusal::NotFound)?;
        if user.state != users::LEAVING {
            return Ok(());
        }
        let staying = user::ActiveModel {
            state: Set(users::ACTIVE),
            erase_time: Set(None),
            ..Default::default()
        };
        users::update(&tx, user.id, staying).await?;
        audit::append(&tx, Line::own(user.id, "erasure.cancel", origin), now).await?;
        self.tell_address(&tx, &user.email, Notice::ErasureCancelled)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Erases up to `limit` accounts whose grace has ended, each in a transaction of its own, and answers how many it
    /// were. Replicas may do so at once. An account that cannot be erased does not keep others from it.
    ///
    /// # Errors
    /// [`Error::Database`] when the accounts cannot be listed.
    pub(crate) async fn erase_due(&self, now: Time, limit: u64) -> Result<u64, Error> {
        let due = erasure::due(self.store.reader(), now, limit).await?;
        let mut erased = 0;
        for id in due {
            match self.erase_one(id, now).await {
                Ok(was_erased) => erased += u64::from(was_erased),
                Err(error) => tracing::warn!(user = %id, %error, "an account was not erased"),
            }
        }
        Ok(erased)
    }

    async fn erase_one(&self, id: Uuid, now: Time) -> Result<bool, Error> {
        let tx = self.store.begin().await?;
        let organisations = erasure::lock_organisations_of(&tx, id, false).await?;
        let Some(row) = erasure::lock_due(&tx, id, now).await? else {
            return Ok(false);
        };
        erasure::erase(&tx, &row, now).await?;
        for organisation in organisations {
            if let Some(owner) = erasure::succeed(&tx, organisation, now).await? {
                let line = by_system(organisation, "organisation.succeed");
                let line = line.with_detail(format!("new owner {owner}"));
                audit::append(&tx, line, now).await?;
            }
        }
        audit::append(&tx, by_system(id, "user.erase"), now).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn by_system(subject: Uuid, action: &'static str) -> Line {
    let mut line = Line::own(subject, action, &Origin::default());
    line.actor = "system".to_owned();
    line
}

#[cfg(test)]
mod tests;
