//! Service accounts: programs of an organisation, which owners and admins manage.

use uuid::Uuid;

use super::App;
use super::notices::Notice;
use crate::domain::caller::{Caller, Role};
use crate::domain::name;
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::audit::{self, Line};
use crate::store::entity::programs::service_account;
use crate::store::keys::{self, Owner};
use crate::store::{ended, organisations, programs};

/// So many an organisation may have.
const MAX_SERVICE_ACCOUNTS: u64 = 100;

impl App {
    /// Makes a service account.
    ///
    /// # Errors
    /// [`Error::Refused`] as the contract names it; [`Error::Database`].
    pub async fn create_service_account(
        &self,
        caller: &Caller,
        organisation: Uuid,
        name: &str,
        origin: &Origin,
    ) -> Result<service_account::Model, Error> {
        let name = name::parse(name)?;
        let now = self.now();
        let tx = self.store.begin().await?;
        organisations::lock_as(&tx, organisation, caller.id, Role::Admin).await?;
        if programs::count(&tx, organisation).await? >= MAX_SERVICE_ACCOUNTS {
            return Err(Refusal::TooManyServiceAccounts.into());
        }
        let program = service_account::Model {
            id: Uuid::now_v7(),
            organisation_id: organisation,
            name,
            create_time: now,
            delete_time: None,
        };
        programs::insert(&tx, program.clone()).await?;
        let line = Line::by(
            caller.id,
            Some(organisation),
            "service_account.create",
            origin,
        );
        let line = line.with_detail(format!("service account {}", program.id));
        audit::append(&tx, line, now).await?;
        tx.commit().await?;
        Ok(program)
    }

    /// Those of an organisation, oldest first.
    ///
    /// # Errors
    /// [`Error::Refused`] when the caller does not administer it; [`Error::Database`].
    pub async fn list_service_accounts(
        &self,
        caller: &Caller,
        organisation: Uuid,
    ) -> Result<Vec<service_account::Model>, Error> {
        let reader = self.store.reader();
        organisations::must_have(reader, organisation, caller.id, Role::Admin).await?;
        Ok(programs::list(reader, organisation).await?)
    }

    /// Deletes one and ends its keys and their tokens.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is none, or the caller does not administer its organisation; [`Error::Database`].
    pub async fn delete_service_account(
        &self,
        caller: &Caller,
        id: Uuid,
        origin: &Origin,
    ) -> Result<(), Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        let program = programs::find(&tx, id).await?.ok_or(Refusal::NotFound)?;
        let organisation = program.organisation_id;
        organisations::lock_as(&tx, organisation, caller.id, Role::Admin).await?;
        programs::delete(&tx, id, now).await?;
        ended::note_for_good(&tx, id, now).await?;
        let keys = keys::revoke_of_owner(&tx, Owner::Program(id), now).await?;
        let line = Line::by(
            caller.id,
            Some(organisation),
            "service_account.delete",
            origin,
        );
        let line = line.with_detail(format!("service account {id} with {keys} keys"));
        audit::append(&tx, line, now).await?;
        if keys > 0 {
            self.tell(&tx, caller.id, Notice::ApiKeyRevoked).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
