//! What other services have people told by mail. They know people by their ids, and this one knows the addresses.

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::App;
use super::mail::templates;
use crate::domain::Time;
use crate::domain::caller::Role;
use crate::error::Error;
use crate::store::entity::people::user;
use crate::store::{notices, organisations, outbox, subjects, users};

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recipient {
    /// A user.
    User(Uuid),
    /// The owners and admins of an organisation.
    Organisation(Uuid),
}

/// A part of the soft cap on spending was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpendAlert {
    /// Of the cap: 1 to 100.
    pub(crate) percent: u32,
    /// The cap.
    pub(crate) soft_credits: u64,
    /// What is spent, and what is set aside.
    pub(crate) spent_credits: u64,
    /// When it is counted from zero again. None when that was already.
    pub(crate) reset_time: Option<Time>,
}

impl App {
    /// Tells an alert by mail, once an id. Whoever is not there or may not sign in is told nothing.
    ///
    /// # Errors
    /// [`Error::Database`]; then nobody is told.
    pub(crate) async fn send_spend_alert(
        &self,
        id: Uuid,
        recipient: Recipient,
        alert: &SpendAlert,
    ) -> Result<(), Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        // Whoever is erased meanwhile waits for these locks, and takes the mails away.
        let told = lock_recipients(&tx, recipient).await?;
        if !notices::insert(&tx, id, now).await? {
            return Ok(());
        }
        for user in told {
            let mail = templates::spend_alert(&user.email, recipient, alert);
            outbox::enqueue(&tx, mail, now).await?;
        }
        Ok(tx.commit().await?)
    }
}

async fn lock_recipients(
    tx: &impl ConnectionTrait,
    recipient: Recipient,
) -> Result<Vec<user::Model>, Error> {
    let mut people = match recipient {
        Recipient::User(id) => users::lock(tx, id).await?.into_iter().collect(),
        Recipient::Organisation(id) => {
            if organisations::lock(tx, id).await?.is_none() {
                return Ok(Vec::new());
            }
            subjects::with_roles(tx, id, &[Role::Owner, Role::Admin]).await?
        }
    };
    people.retain(|user| users::may_sign_in(user.state));
    Ok(people)
}

#[cfg(test)]
mod tests;
