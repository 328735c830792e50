//! What operators set: who is stopped, who is on which plan, prices, and the window of everybody.

use uuid::Uuid;

use super::App;
use super::audit::audit_done;
use super::balance::Balance;
use crate::domain::Time;
use crate::domain::payer::Payer;
use crate::domain::plan::Plan;
use crate::domain::price::{PriceBook, Prices};
use crate::domain::refusal::Refusal;
use crate::domain::request_id::check_note;
use crate::domain::window::Window;
use crate::error::Error;
use crate::store::{disputes, payers, plans, prices, windows};

/// The source of plans that operators put payers on.
const OPERATOR: &str = "operator";

/// How the audit log names the prices.
const PRICES: &str = "prices";

/// How the audit log names the window of everybody.
const WINDOW: &str = "window";

const SET_WINDOW: &str = "window.set";

impl App {
    /// Stops what a payer may generate, or lets go on, also one whom a dispute has stopped.
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
        let action = if is_frozen {
            "payer.freeze"
        } else {
            "payer.unfreeze"
        };
        let done = self.freeze(operator, payer, action, is_frozen, note).await;
        self.audit_refusal(operator, action, &payer.to_string(), done)
            .await?;
        tracing::info!(%payer, %operator, action, "an operator changed a payer");
        self.balance_of(payer).await
    }

    async fn freeze(
        &self,
        operator: Uuid,
        payer: &Payer,
        action: &'static str,
        is_frozen: bool,
        note: &str,
    ) -> Result<(), Error> {
        if !note.is_empty() {
            check_note(note)?;
        }
        let now = self.now();
        let tx = self.store.begin().await?;
        payers::lock(&tx, payer, now).await?;
        payers::set_frozen(&tx, payer, is_frozen).await?;
        if !is_frozen {
            disputes::settle(&tx, payer).await?;
            payers::set_disputed(&tx, payer, false).await?;
        }
        audit_done(&tx, operator, action, &payer.to_string(), note, now).await?;
        Ok(tx.commit().await?)
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
        let target = payer.to_string();
        let done = self.change_plan(operator, payer, plan).await;
        self.audit_refusal(operator, "payer.plan", &target, done)
            .await?;
        self.balance_of(payer).await
    }

    async fn change_plan(&self, operator: Uuid, payer: &Payer, plan: &str) -> Result<(), Error> {
        let plan = self.plans.get(plan).ok_or(Refusal::PlanUnknown)?;
        let (target, now) = (payer.to_string(), self.now());
        let tx = self.store.begin().await?;
        plans::set(&tx, payer, &plan.name, OPERATOR, None, now).await?;
        audit_done(&tx, operator, "payer.plan", &target, &plan.name, now).await?;
        Ok(tx.commit().await?)
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
        let published = self.publish(operator, version, new).await;
        self.audit_refusal(operator, "prices.publish", PRICES, published)
            .await
    }

    async fn publish(&self, operator: Uuid, version: u32, new: Prices) -> Result<PriceBook, Error> {
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
        audit_done(&tx, operator, "prices.publish", PRICES, &detail, now).await?;
        tx.commit().await?;
        Ok(PriceBook {
            version,
            create_time: now,
            prices: new,
        })
    }

    /// Counts allowances and caps of everybody in a window, from its first moment to its last; by the month again when none is
    /// given.
    ///
    /// # Errors
    /// [`Refusal::WindowInvalid`], [`Error::Database`].
    pub(crate) async fn set_window(
        &self,
        operator: Uuid,
        ends: Option<(Time, Time)>,
    ) -> Result<Option<Window>, Error> {
        let set = self.change_window(operator, ends).await;
        self.audit_refusal(operator, SET_WINDOW, WINDOW, set).await
    }

    async fn change_window(
        &self,
        operator: Uuid,
        ends: Option<(Time, Time)>,
    ) -> Result<Option<Window>, Error> {
        let now = self.now();
        let window = ends.map(|(start, end)| Window::of_operator(start, end, now));
        let window = window.transpose()?;
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
        audit_done(&tx, operator, SET_WINDOW, WINDOW, &detail, now).await?;
        tx.commit().await?;
        Ok(window)
    }
}

#[cfg(test)]
mod tests;
