//! What jobs would cost.

use super::App;
use crate::domain::caller::Caller;
use crate::domain::credits::Credits;
use crate::domain::refusal::Refusal;
use crate::domain::standing::Standing;
use crate::domain::work::{Wanted, Work, check_works};
use crate::error::Error;
use crate::store::payers::PayerRow;
use crate::store::{grants, payers, spend};

/// What jobs would cost, and whether they would be accepted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// For each clip, in the same order.
    pub(crate) credits: Vec<Credits>,
    /// Their sum.
    pub(crate) total: Credits,
    /// What can be spent.
    pub(crate) available: Credits,
    /// Why they would be refused.
    pub(crate) refusal: Option<Refusal>,
}

impl App {
    /// Tells what clips would cost, and whether all of them together would be accepted now. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Field`], [`Error::Database`].
    pub(crate) async fn estimate(
        &self,
        caller: &Caller,
        works: &[Work],
    ) -> Result<Estimate, Error> {
        check_works(works)?;
        let tx = self.store.snapshot().await?;
        let in_force = self.in_force(&tx).await?;
        let (payer, now) = (caller.payer, in_force.now);
        let row = payers::find(&tx, &payer).await?;
        let row = row.unwrap_or_else(|| PayerRow::new(payer, now));
        let (window, plan) = (in_force.window_of(&row), self.plan_of(&row, now));
        let grants = grants::spendable(&tx, &payer, now).await?;
        let mut available: Credits = grants.iter().map(|grant| grant.available).sum();
        // What a hold would be given first.
        if let Some(new) = self.due_allowance(&row, &in_force)
            && !grants::is_given(&tx, &new).await?
        {
            available = available.saturating_add(new.credits.saturating_sub(row.debt));
        }
        let standing = Standing {
            available,
            spent: spend::spent(&tx, &payer, window.start).await?,
            cap: row.cap,
            is_frozen: row.is_stopped(),
            has_access: self.has_access(&tx, Some(caller.user), plan, now).await?,
            reset_time: window.end,
        };
        let prices = &in_force.book.prices;
        let credits: Vec<Credits> = works.iter().map(|work| prices.credits(work)).collect();
        let works: Vec<Wanted<'_>> = works.iter().map(Wanted::from).collect();
        Ok(Estimate {
            total: credits.iter().copied().sum(),
            credits,
            available,
            refusal: standing.accept(prices, &works).err(),
        })
    }
}
