//! What nobody calls for: holds that lapsed, grants that ended, and the proof of the ledger.

use kinora_mesh::error::chain;

use super::App;
use crate::domain::payer::Payer;
use crate::error::Error;
use crate::store::check::{self, Findings};
use crate::store::{grants, holds, payers};

/// Holds or grants that are looked at before others have their turn.
pub(crate) const BATCH: u64 = 200;

impl App {
    /// Gives back some of the holds that nobody settled or renewed, each in a transaction of its own, and answers how many.
    ///
    /// # Errors
    /// [`Error::Database`] when they cannot be looked for. One that cannot be given back is logged, and holds up no other.
    pub(crate) async fn lapse_overdue(&self) -> Result<u64, Error> {
        let overdue = holds::lapsed(self.store.reader(), self.now(), BATCH).await?;
        let mut lapsed = 0;
        for (payer, job) in overdue {
            match self.lapse(&payer, job).await {
                Ok(true) => lapsed += 1,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%job, error = %chain(&error), "a lapsed hold was not given back");
                }
            }
        }
        Ok(lapsed)
    }

    /// Ends some of the grants whose time is over, each in a transaction of its own, and answers how many.
    ///
    /// # Errors
    /// [`Error::Database`] when they cannot be looked for. One that cannot be ended is logged, and holds up no other.
    pub(crate) async fn expire_grants(&self) -> Result<u64, Error> {
        let over = grants::ended(self.store.reader(), self.now(), BATCH).await?;
        let mut ended = 0;
        for (payer, grant) in over {
            match self.expire_grant(&payer, grant).await {
                Ok(true) => ended += 1,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%grant, error = %chain(&error), "a grant was not ended");
                }
            }
        }
        Ok(ended)
    }

    async fn expire_grant(&self, payer: &Payer, grant: uuid::Uuid) -> Result<bool, Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        payers::lock(&tx, payer, now).await?;
        let credits = grants::expire(&tx, payer, grant, now).await?;
        tx.commit().await?;
        self.metrics.expired(credits);
        Ok(!credits.is_zero())
    }

    /// Computes all that must hold of the ledger.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn check_ledger(&self) -> Result<Findings, Error> {
        let tx = self.store.snapshot().await?;
        let findings = check::check(&tx).await?;
        self.metrics.checked(findings.problems.len());
        for problem in &findings.problems {
            tracing::error!(%problem, "the ledger does not hold");
        }
        Ok(findings)
    }
}

#[cfg(test)]
mod tests;
