//! Terms of use: a version comes into force, and each user accepts it.

use uuid::Uuid;

use super::App;
use crate::domain::caller::Caller;
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::domain::terms::{Acceptance, Terms};
use crate::error::Error;
use crate::store::lock::Topic;
use crate::store::{audit, lock, terms, users};

impl App {
    /// Puts the next version of the terms into force.
    ///
    /// # Errors
    /// [`Refusal::TextInvalid`], [`Error::Database`].
    pub(crate) async fn publish_terms(
        &self,
        operator: &Caller,
        text: String,
    ) -> Result<Terms, Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        lock::hold(&tx, Topic::Terms).await?;
        let latest = terms::version_in_force(&tx).await?;
        let made = Terms::after(Some(latest), text, now)?;
        terms::insert(&tx, &made).await?;
        let line = audit::Line::by(operator.id, None, "terms.publish", &operator.origin);
        let line = line.with_detail(format!("version {}, {}", made.version, made.sha256));
        audit::append(&tx, line, now).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Reads the terms in force, if there are any.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn terms_in_force(&self) -> Result<Option<Terms>, Error> {
        Ok(terms::in_force(self.store.reader()).await?)
    }

    /// Lists all versions, newest first, without their texts.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn list_terms(&self) -> Result<Vec<Terms>, Error> {
        Ok(terms::list(self.store.reader()).await?)
    }

    /// Accepts the terms in force. Once more changes nothing.
    ///
    /// # Errors
    /// [`Refusal::TermsOutdated`] unless version and hash are those in force, [`Refusal::NotFound`],
    /// [`Error::Database`].
    pub(crate) async fn accept_terms(
        &self,
        caller: &Caller,
        version: u32,
        sha256: &str,
        origin: &Origin,
    ) -> Result<(), Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        // The row is locked first: two acceptances at once are one line of history.
        let user = users::lock(&tx, caller.id).await?;
        let user = user.ok_or(Refusal::NotFound)?;
        let current = terms::in_force(&tx).await?;
        let current = current.filter(|current| current.is(version, sha256));
        let current = current.ok_or(Refusal::TermsOutdated)?;
        if user.terms_version == current.version {
            return Ok(());
        }
        let acceptance = Acceptance {
            version: current.version,
            sha256: current.sha256,
            time: now,
            address: origin.address.clone(),
        };
        terms::accept(&tx, user.id, acceptance).await?;
        let line = audit::Line::own(user.id, "terms.accept", origin);
        let line = line.with_detail(format!("version {version}"));
        audit::append(&tx, line, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Lists what a user accepted, newest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn terms_acceptances(&self, user: Uuid) -> Result<Vec<Acceptance>, Error> {
        Ok(terms::acceptances(self.store.reader(), user).await?)
    }
}

#[cfg(test)]
mod tests;
