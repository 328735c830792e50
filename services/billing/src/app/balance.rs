//! What a payer can spend.

use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::App;
use super::in_force::InForce;
use crate::domain::cap::SpendCap;
use crate::domain::credits::Credits;
use crate::domain::grant::Grant;
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::domain::window::Window;
use crate::error::Error;
use crate::store::payers::PayerRow;
use crate::store::{grants, payers, spend};

/// No answer shows more grants.
const SHOWN_GRANTS: usize = 1_000;

/// What a payer can spend now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Balance {
    /// Of all grants.
    pub(crate) available: Credits,
    /// Set aside for jobs.
    pub(crate) held: Credits,
    /// Owed.
    pub(crate) debt: Credits,
    /// `available` as standard video at the present prices.
    pub(crate) available_milliseconds: u64,
    /// The plan's name.
    pub(crate) plan: String,
    /// In which allowance and spending are counted.
    pub(crate) window: Window,
    /// In that window.
    pub(crate) spent: Credits,
    /// Bounds on that.
    pub(crate) cap: SpendCap,
    /// Whether no job is accepted.
    pub(crate) is_frozen: bool,
    /// Whether the person may generate at all.
    pub(crate) has_access: bool,
    /// The first thousand, in the order in which they are spent.
    pub(crate) grants: Vec<Grant>,
}

impl App {
    /// What a payer can spend, and whether `user` may spend it. Gives the allowance of the window when it is due.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn balance(&self, payer: &Payer, user: Uuid) -> Result<Balance, Error> {
        let snapshot = self.store.snapshot().await?;
        let in_force = self.in_force(&snapshot).await?;
        if let Some(row) = payers::find(&snapshot, payer).await?
            && self.due_allowance(&row, &in_force).is_none()
        {
            return self.read_balance(&snapshot, &row, user, &in_force).await;
        }
        drop(snapshot);
        let tx = self.store.begin().await?;
        let row = payers::lock(&tx, payer, in_force.now).await?;
        self.give_allowance(&tx, &row, &in_force).await?;
        // A debt may have been paid off by it.
        let row = payers::lock(&tx, payer, in_force.now).await?;
        let balance = self.read_balance(&tx, &row, user, &in_force).await?;
        tx.commit().await?;
        Ok(balance)
    }

    /// What somebody can spend who was seen before, for an operator.
    ///
    /// # Errors
    /// [`Refusal::PayerNotFound`], [`Error::Database`].
    pub(crate) async fn balance_of(&self, payer: &Payer) -> Result<Balance, Error> {
        let row = payers::find(self.store.reader(), payer).await?;
        row.ok_or(Refusal::PayerNotFound)?;
        let (Payer::User(user) | Payer::Organisation(user)) = *payer;
        self.balance(payer, user).await
    }

    async fn read_balance(
        &self,
        tx: &DatabaseTransaction,
        row: &PayerRow,
        user: Uuid,
        in_force: &InForce,
    ) -> Result<Balance, Error> {
        let now = in_force.now;
        let (window, plan) = (in_force.window_of(row), self.plan_of(row, now));
        let mut grants = grants::spendable(tx, &row.payer, now).await?;
        let available: Credits = grants.iter().map(|grant| grant.available).sum();
        grants.truncate(SHOWN_GRANTS);
        Ok(Balance {
            available,
            held: row.held,
            debt: row.debt,
            available_milliseconds: in_force.book.prices.standard_milliseconds(available),
            plan: plan.name.clone(),
            window,
            spent: spend::spent(tx, &row.payer, window.start).await?,
            cap: row.cap,
            is_frozen: row.is_stopped(),
            has_access: self.has_access(tx, Some(user), plan, now).await?,
            grants,
        })
    }
}
