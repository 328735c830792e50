//! What people are told by mail. A mail is a row that the relay sends once the transaction is committed.

pub(crate) mod templates;

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::App;
use super::notices::Notice;
use crate::error::Error;
use crate::store::{outbox, users};

impl App {
    /// Tells the owner of an account what has happened to it.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn tell(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
        notice: Notice,
    ) -> Result<(), Error> {
        let Some(user) = users::find(tx, user).await? else {
            return Ok(());
        };
        self.tell_address(tx, &user.email, notice).await
    }

    /// Tells it at an address which the account may have no longer.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn tell_address(
        &self,
        tx: &impl ConnectionTrait,
        address: &str,
        notice: Notice,
    ) -> Result<(), Error> {
        let mail = templates::notice(address, notice, self.now(), &self.options.public_url);
        Ok(outbox::enqueue(tx, mail, self.now()).await?)
    }
}
