//! The nightly comparison: what Stripe says of all money, the receipts, and the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use chrono::TimeDelta;
use kinora_mesh::error::chain;
use kinora_stripe_gateway::{EventKind, ObjectId};
use sea_orm::DatabaseTransaction;

use super::movements::is_passing;
use crate::app::App;
use crate::domain::Time;
use crate::domain::credits::Credits;
use crate::domain::receipt::credits_taken;
use crate::error::Error;
use crate::store::entity::payments::{event, receipt};
use crate::store::stripe_movements::{self, Moved};
use crate::store::{payment_check, payment_rows};

/// An answer names no more problems.
const NAMED: usize = 100;

/// Rows that are read at once.
const ROWS: u64 = 500;

/// For so long Stripe may take to list the money of a new payment.
const UNTIL_LISTED: TimeDelta = TimeDelta::hours(1);

/// An event that waits for longer than this is looked at by somebody.
const PATIENCE: TimeDelta = TimeDelta::hours(1);

/// The invoice of a new period is a draft for about an hour, and then paid.
const UNTIL_INVOICED: TimeDelta = TimeDelta::hours(3);

/// A receipt of a period may be a little older than the period.
const BEFORE_PERIOD: TimeDelta = TimeDelta::days(1);

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// What does not add up, as sentences; at most a hundred. Empty when all is well.
    pub(crate) problems: Vec<String>,
    /// How many movements of money belong to receipts.
    pub(crate) movements: u64,
    /// How many events were found that no webhook had brought.
    pub(crate) missed_events: u64,
    /// How many events wait to be handled.
    pub(crate) waiting_events: u64,
}

impl App {
    /// Compares what Stripe says of money with the receipts, and these with the ledger. Who asks while somebody compares gets
    /// what that finds.
    ///
    /// # Errors
    /// [`crate::domain::refusal::Refusal::PaymentsDisabled`], [`Error::Stripe`], [`Error::Database`]. The next call goes on
    /// from where this one came to.
    pub(crate) async fn reconcile_payments(&self) -> Result<Comparison, Error> {
        let asked = Instant::now();
        let mut last = self.payments()?.compared.lock().await;
        if let Some((ended, comparison)) = &*last
            && *ended >= asked
        {
            return Ok(comparison.clone());
        }
        let comparison = self.compare().await?;
        *last = Some((Instant::now(), comparison.clone()));
        Ok(comparison)
    }

    async fn compare(&self) -> Result<Comparison, Error> {
        let missed_events = self.catch_up().await?;
        while self.handle_events().await? > 0 {}
        self.settle_overdue_subscriptions().await?;
        let mut problems = self.differences().await?;
        if !problems.is_empty() {
            // What moved between a list of Stripe's and the look at the receipts is no problem at the second look.
            let again: BTreeSet<String> = self.differences().await?.into_iter().collect();
            problems.retain(|problem| again.contains(problem));
        }
        self.metrics.payments.compared(problems.len());
        for problem in &problems {
            tracing::error!(%problem, "payments do not add up");
        }
        problems.truncate(NAMED);
        Ok(Comparison {
            problems,
            movements: stripe_movements::matched(self.store.reader()).await?,
            missed_events,
            waiting_events: self.count_waiting_events().await?,
        })
    }

    /// Counts the events that wait to be handled, and shows how many these are.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn count_waiting_events(&self) -> Result<u64, Error> {
        let waiting = payment_rows::events_waiting(self.store.reader()).await?;
        self.metrics.payments.waiting(waiting);
        Ok(waiting)
    }

    /// Asks for subscriptions of which nothing was heard since their period was over.
    async fn settle_overdue_subscriptions(&self) -> Result<(), Error> {
        let before = self.now() - UNTIL_INVOICED;
        let reader = self.store.reader();
        for id in payment_rows::overdue_subscriptions(reader, before, ROWS).await? {
            self.settle_anew(EventKind::Subscription, &id).await?;
        }
        Ok(())
    }

    /// Asks for an object, as if it had been heard of. What cannot be handled is told by the comparison.
    async fn settle_anew(&self, kind: EventKind, id: &str) -> Result<(), Error> {
        match self.settle_object(kind, &ObjectId::parse(id)?, &[]).await {
            Err(error) if is_passing(&error) => Err(error),
            Err(error) => {
                tracing::warn!(%id, error = %chain(&error), "an object of stripe's was not settled");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// One look: at the money, then at the receipts.
    async fn differences(&self) -> Result<Vec<String>, Error> {
        let touched: Vec<String> = self.mirror_movements().await?.into_iter().collect();
        for some in touched.chunks(100) {
            for id in self.differing(some).await? {
                self.settle_anew(kind_of_receipt(&id), &id).await?;
            }
        }
        let now = self.now();
        let tx = self.store.snapshot().await?;
        let mut problems = payment_check::check(&tx).await?;
        problems.append(&mut differences_of_receipts(&tx, now).await?);
        problems.append(&mut unpaid_subscriptions(&tx, now).await?);
        let waiting = payment_rows::events_waiting_since(&tx, now - PATIENCE, ROWS).await?;
        problems.extend(waiting.iter().map(problem_of_event));
        Ok(problems)
    }

    /// Those of these receipts that do not agree with their movements.
    async fn differing(&self, ids: &[String]) -> Result<Vec<String>, Error> {
        let reader = self.store.reader();
        let rows = payment_rows::receipts(reader, ids).await?;
        let moved = Movements::of(stripe_movements::of_receipts(reader, ids).await?);
        let differing = rows
            .into_iter()
            .filter(|row| moved.difference(row).is_some());
        Ok(differing.map(|row| row.id).collect())
    }
}

/// What moved, by receipt and currency.
struct Movements(BTreeMap<String, Vec<Moved>>);

impl Movements {
    fn of(moved: Vec<Moved>) -> Self {
        let mut by_receipt: BTreeMap<String, Vec<Moved>> = BTreeMap::new();
        for it in moved {
            by_receipt.entry(it.receipt.clone()).or_default().push(it);
        }
        Self(by_receipt)
    }

    fn of_receipt(&self, id: &str) -> &[Moved] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }

    /// Whether it moved in another currency than was paid in: what Stripe changes cannot be compared.
    fn is_foreign(&self, row: &receipt::Model) -> bool {
        let moved = self.of_receipt(&row.id);
        moved.iter().any(|it| it.currency != row.currency)
    }

    /// What moved and what should have, where these differ and can be compared.
    fn difference(&self, row: &receipt::Model) -> Option<(i64, i64)> {
        if self.is_foreign(row) {
            return None;
        }
        let moved = self.of_receipt(&row.id).iter().map(|it| it.total).sum();
        let kept = row.paid - row.refunded - row.disputed;
        (moved != kept).then_some((moved, kept))
    }
}

async fn differences_of_receipts(
    tx: &DatabaseTransaction,
    now: Time,
) -> Result<Vec<String>, Error> {
    let (mut problems, mut foreign) = (Vec::new(), 0_u64);
    let mut after = None;
    loop {
        let rows = payment_rows::receipts_after(tx, after, ROWS).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.seq);
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let moved = Movements::of(stripe_movements::of_receipts(tx, &ids).await?);
        for row in &rows {
            foreign += u64::from(moved.is_foreign(row));
            problems.extend(problem_of_money(row, &moved, now));
            problems.extend(problem_of_credits(row));
        }
    }
    if foreign > 0 {
        tracing::warn!(
            receipts = foreign,
            "money came in another currency than was paid in, and is not compared"
        );
    }
    Ok(problems)
}

fn problem_of_money(row: &receipt::Model, moved: &Movements, now: Time) -> Option<String> {
    let (moved_total, kept) = moved.difference(row)?;
    let is_new = row.create_time > now - UNTIL_LISTED;
    if is_new && moved.of_receipt(&row.id).is_empty() {
        return None;
    }
    let (id, currency) = (&row.id, &row.currency);
    Some(format!(
        "{id}: by the receipt {kept} {currency} are here, by Stripe's movements {moved_total}"
    ))
}

fn problem_of_credits(row: &receipt::Model) -> Option<String> {
    if row.paid <= 0 {
        return None;
    }
    let credits = Credits::new(row.credits)?;
    let went_back = row.refunded.saturating_add(row.disputed);
    let due = credits_taken(credits, row.paid, went_back);
    let (id, taken) = (&row.id, row.taken);
    (due.get() != taken)
        .then(|| format!("{id}: {taken} credits were taken back, and {due} should have been"))
}

/// Subscriptions that count as paid although nothing was paid for their period.
async fn unpaid_subscriptions(tx: &DatabaseTransaction, now: Time) -> Result<Vec<String>, Error> {
    let mut problems = Vec::new();
    let mut after = String::new();
    loop {
        let rows = payment_rows::active_subscriptions_after(tx, &after, ROWS).await?;
        let Some(last) = rows.last() else {
            return Ok(problems);
        };
        after.clone_from(&last.id);
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let mut newest: BTreeMap<String, Time> = BTreeMap::new();
        for (id, time) in payment_rows::receipt_times(tx, &ids).await? {
            let known = newest.entry(id).or_insert(time);
            *known = time.max(*known);
        }
        for row in rows {
            let is_paid = newest
                .get(&row.id)
                .is_some_and(|time| *time >= row.period_start - BEFORE_PERIOD);
            if !is_paid && row.period_start < now - UNTIL_INVOICED {
                let (id, start) = (&row.id, row.period_start.to_rfc3339());
                problems.push(format!(
                    "{id}: nothing was paid for the period from {start}"
                ));
            }
        }
    }
}

fn problem_of_event(row: &event::Model) -> String {
    let (id, name, object) = (&row.id, &row.name, &row.object);
    let since = row.receive_time.to_rfc3339();
    let problem = row.problem.as_deref().unwrap_or("it was not tried");
    format!("{id}: {name} of {object} waits since {since}: {problem}")
}

/// A receipt is named by the payment of a pack or the invoice of a plan.
fn kind_of_receipt(id: &str) -> EventKind {
    if id.starts_with("in_") {
        EventKind::Invoice
    } else {
        EventKind::Payment
    }
}

#[cfg(test)]
mod tests;
