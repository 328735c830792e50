//! Bounds that payers set themselves.

use chrono::TimeDelta;

use super::App;
use crate::domain::caller::Caller;
use crate::domain::cap::{SpendAlert, SpendCap};
use crate::error::Error;
use crate::store::{alerts, payers};

/// Older alerts are not shown.
const SHOWN: TimeDelta = TimeDelta::days(400);

const MOST: u64 = 100;

impl App {
    /// Bounds what the caller's payer spends in a window, from now on.
    ///
    /// # Errors
    /// [`crate::domain::refusal::Refusal::RoleInsufficient`], [`crate::domain::refusal::Refusal::CapInvalid`],
    /// [`Error::Database`].
    pub(crate) async fn set_spend_cap(&self, caller: &Caller, cap: SpendCap) -> Result<(), Error> {
        caller.must_decide()?;
        cap.check()?;
        let tx = self.store.begin().await?;
        payers::lock(&tx, &caller.payer, self.now()).await?;
        payers::set_cap(&tx, &caller.payer, cap).await?;
        Ok(tx.commit().await?)
    }

    /// Reads crossings of the soft cap, newest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn spend_alerts(&self, caller: &Caller) -> Result<Vec<SpendAlert>, Error> {
        let since = self.now() - SHOWN;
        alerts::newest(self.store.reader(), &caller.payer, since, MOST).await
    }
}

#[cfg(test)]
mod tests;
