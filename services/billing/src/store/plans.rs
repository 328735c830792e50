//! Which plan a payer is on.

use sea_orm::DatabaseTransaction;

use super::payers::{self, PlanOfPayer};
use crate::domain::Time;
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::error::Error;

/// How the source of a plan begins that the payer pays for.
const PAID: &str = "stripe:";

impl PlanOfPayer {
    /// Whether the payer pays for it, so that its credits come with the invoices.
    #[must_use]
    pub fn is_paid(&self) -> bool {
        self.source.starts_with(PAID)
    }
}

/// Puts a payer on a plan, in the place of the present one. Locks the payer.
///
/// # Errors
/// [`Refusal::PlanPaid`] when the payer pays for the present one, and this is another source; [`Error::Database`].
pub async fn set(
    tx: &DatabaseTransaction,
    payer: &Payer,
    plan: &str,
    source: &str,
    ends_at: Option<Time>,
    now: Time,
) -> Result<(), Error> {
    let row = payers::lock(tx, payer, now).await?;
    let present = row.present_plan(now);
    if present.is_some_and(|present| present.is_paid() && present.source != source) {
        return Err(Refusal::PlanPaid.into());
    }
    let plan = PlanOfPayer {
        name: plan.to_owned(),
        source: source.to_owned(),
        end_time: ends_at,
    };
    payers::set_plan(tx, payer, Some(plan)).await
}

/// Ends what a source put payers on, and answers how many these are. Locks them, in the order of their keys.
///
/// # Errors
/// [`Error::Database`].
pub async fn end(tx: &DatabaseTransaction, source: &str) -> Result<u64, Error> {
    let mut ended = 0;
    for payer in payers::with_plan_source(tx, source).await? {
        let row = payers::lock_if_there(tx, &payer).await?;
        // It may have changed while the lock was waited for.
        let plan = row.and_then(|row| row.plan);
        if plan.is_some_and(|plan| plan.source == source) {
            payers::set_plan(tx, &payer, None).await?;
            ended += 1;
        }
    }
    Ok(ended)
}
