//! What operators set: who is stopped, who is on which plan, prices, and the window of everybody.

use uuid::Uuid;

use super::App;
use super::balance::Balance;
use crate::domain::payer::Payer;
use crate::domain::plan::Plan;
use crate::domain::price::{PriceBook, Prices};
use crate::domain::refusal::Refusal;
use crate::domain::request_id::check_note;
use crate::domain::window::Window;
use crate::error::Error;
use crate::store::{actions, payers, plans, prices, windows};

/// The source of plans that operators put payers on.
const OPERATOR: &str = "operator";

impl App {
    /// Stops what a payer may generate, or lets go on.
    ///
    /// # Errors
    /// [`Error::Field`], [`Error::Database`].
    pub(crate) async fn set_frozen(
        &self,
        operator: Uuid,
        payer: &Payer,
        is_frozen: bool,
        note: &str,
    ) -> Result<Balance, Error> {
        if !note.is_empty() {
            check_note(note)?;
        }
        let now = self.now();
        let action = if is_frozen {
            "payer.freeze"
        } else {
            "payer.unfreeze"
        };
        let tx = self.store.begin().await?;
        payers::lock(&tx, payer, now).await?;
        payers::set_frozen(&tx, payer, is_frozen).await?;
        actions::append(&tx, operator, action, Some(payer), note, now).await?;
        tx.commit().await?;
        tracing::info!(%payer, %operator, action, "an operator changed a payer");
        self.balance_of(payer).await
    }

    /// Puts a payer on a plan, from now on.
    ///
    /// # Errors
    /// [`Refusal::PlanUnknown`], [`Refusal::PlanPaid`], [`Error::Database`].
    pub(crate) async fn set_plan(
        &self,
        operator: Uuid,
        payer: &Payer,
        plan: &str,
    ) -> Result<Balance, Error> {
        let plan = self.plans.get(plan).ok_or(Refusal::PlanUnknown)?;
        let now = self.now();
        let tx = self.store.begin().await?;
        plans::set(&tx, payer, &plan.name, OPERATOR, None, now).await?;
        actions::append(&tx, operator, "payer.plan", Some(payer), &plan.name, now).await?;
        tx.commit().await?;
        self.balance_of(payer).await
    }

    /// Reads the prices that new jobs are made with.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn price_book(&self) -> Result<PriceBook, Error> {
        prices::present(self.store.reader()).await
    }

    /// The plans that are offered.
    pub(crate) fn offered_plans(&self) -> impl Iterator<Item = &Plan> {
        self.plans.offered()
    }

    /// Puts other prices into force; holds keep theirs. `version` is the present one and one more.
    ///
    /// # Errors
    /// [`Refusal::PriceBookInvalid`], [`Refusal::PriceBookChanged`], [`Error::Database`].
    pub(crate) async fn publish_prices(
        &self,
        operator: Uuid,
        version: u32,
        new: Prices,
    ) -> Result<PriceBook, Error> {
        new.check()?;
        let now = self.now();
        let tx = self.store.begin().await?;
        let present = prices::present(&tx).await?.version;
        let changed = Refusal::PriceBookChanged { present };
        if present.checked_add(1) != Some(version) {
            return Err(changed.into());
        }
        if !prices::insert(&tx, version, &new, now).await? {
            return Err(changed.into());
        }
        let detail = format!("version {version}");
        actions::append(&tx, operator, "prices.publish", None, &detail, now).await?;
        tx.commit().await?;
        Ok(PriceBook {
            version,
            create_time: now,
            prices: new,
        })
    }

    /// Counts allowances and caps of everybody in a window; by the month again when there is none.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn set_window(
        &self,
        operator: Uuid,
        window: Option<Window>,
    ) -> Result<(), Error> {
        let now = self.now();
        let detail = match window {
            Some(window) => format!(
                "{} to {}",
                window.start.to_rfc3339(),
                window.end.to_rfc3339()
            ),
            None => "by the month".to_owned(),
        };
        let tx = self.store.begin().await?;
        windows::set(&tx, window).await?;
        actions::append(&tx, operator, "window.set", None, &detail, now).await?;
        Ok(tx.commit().await?)
    }
}

#[cfg(test)]
mod tests;
