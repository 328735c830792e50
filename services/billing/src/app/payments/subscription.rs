//! Subscriptions: whether they are paid, and the plans that they put payers on.

use chrono::TimeDelta;
use kinora_stripe_gateway::{ObjectId, SubscriptionState, SubscriptionStatus};
use sea_orm::DatabaseTransaction;

use super::settle::{Seen, payer_of, until_agreed};
use crate::app::App;
use crate::domain::payment::{Item, SubscriptionStanding, metadata};
use crate::error::Error;
use crate::store::entity::payments::{checkout, subscription};
use crate::store::payers::{PayerRow, PlanOfPayer};
use crate::store::{payers, stripe_events, stripe_objects, subscriptions};

/// The invoice of a renewal is paid an hour or so after the period has begun; the plan lasts until then.
const GRACE_DAYS: i64 = 1;

/// What the column takes, and names of plans have at most.
const MAX_PLAN_NAME: usize = 64;

impl App {
    /// Makes what is kept of a subscription agree with it, and the payer's plan with all the payer's subscriptions.
    ///
    /// # Errors
    /// As [`Self::settle_object`].
    pub(super) async fn settle_subscription(
        &self,
        id: &ObjectId,
        events: &[String],
    ) -> Result<(), Error> {
        let seen = until_agreed(|| self.look_at_subscription(id, events)).await?;
        if seen.is_none() {
            tracing::debug!(subscription = %id, "a subscription at Stripe is to nothing of ours");
            self.pass_over(events).await?;
        }
        Ok(())
    }

    async fn look_at_subscription(
        &self,
        id: &ObjectId,
        events: &[String],
    ) -> Result<Seen<()>, Error> {
        let read = stripe_objects::revision(self.store.reader(), id.as_str()).await?;
        let subscription = self.payments()?.gateway.fetch_subscription(id).await?;
        let Some(name) = subscription.metadata.get(metadata::CHECKOUT) else {
            return Ok(Seen::Foreign);
        };
        let checkout = self.checkout_named(name, id).await?;
        let row = to_row(&subscription, &checkout)?;
        let (payer, now) = (payer_of(&checkout.payer)?, self.now());
        let tx = self.store.begin().await?;
        let locked = payers::lock(&tx, &payer, now).await?;
        if !stripe_objects::advance(&tx, id.as_str(), read).await? {
            return Ok(Seen::Stale);
        }
        subscriptions::put(&tx, row).await?;
        self.put_on_plan(&tx, &locked).await?;
        stripe_events::done(&tx, events, now).await?;
        tx.commit().await?;
        Ok(Seen::Ours(()))
    }

    /// Puts a locked payer on the plan of the subscription that ends last, or back on the default one when none is paid.
    async fn put_on_plan(&self, tx: &DatabaseTransaction, payer: &PayerRow) -> Result<(), Error> {
        let mut standing = subscriptions::of_payer(tx, &payer.payer).await?;
        standing.retain(is_standing);
        if standing.len() > 1 {
            let payer = &payer.payer;
            tracing::warn!(%payer, "somebody pays for several plans; the last to end is in force");
        }
        let known = |row: &&subscription::Model| self.plans.get(&row.plan).is_some();
        if let Some(row) = standing.iter().find(known) {
            let plan = PlanOfPayer {
                name: row.plan.clone(),
                source: source_of(&row.id),
                end_time: Some(row.period_end + TimeDelta::days(GRACE_DAYS)),
            };
            return payers::set_plan(tx, &payer.payer, Some(plan)).await;
        }
        // A plan that is gone from the file stays on the row, and counts as the default one.
        let is_over = |plan: &PlanOfPayer| {
            let stands = standing.iter().any(|row| source_of(&row.id) == plan.source);
            plan.is_paid() && !stands
        };
        if payer.plan.as_ref().is_some_and(is_over) {
            payers::set_plan(tx, &payer.payer, None).await?;
        }
        Ok(())
    }
}

fn source_of(subscription: &str) -> String {
    format!("stripe:{subscription}")
}

fn is_standing(row: &subscription::Model) -> bool {
    let standing = SubscriptionStanding::from_code(row.status);
    matches!(
        standing,
        Some(SubscriptionStanding::Active | SubscriptionStanding::PastDue)
    )
}

fn to_row(
    subscription: &SubscriptionState,
    checkout: &checkout::Model,
) -> Result<subscription::Model, Error> {
    Ok(subscription::Model {
        id: subscription.id.to_string(),
        payer: checkout.payer.clone(),
        plan: plan_of(subscription, checkout)?,
        status: standing_of(subscription.status).code(),
        period_start: subscription.period_start,
        period_end: subscription.period_end,
        ends_with_period: subscription.ends_with_period,
        create_time: subscription.created,
    })
}

/// The plan that is subscribed to. That of a price that somebody made at Stripe is the one that was sold.
fn plan_of(subscription: &SubscriptionState, checkout: &checkout::Model) -> Result<String, Error> {
    let item = subscription.offer.as_ref().unwrap_or(&checkout.item);
    match item.parse() {
        Ok(Item::Plan(name)) if name.len() <= MAX_PLAN_NAME => Ok(name),
        _ => {
            let problem = format!("{} is to something that is no plan", subscription.id);
            Err(Error::Payment(problem))
        }
    }
}

const fn standing_of(status: SubscriptionStatus) -> SubscriptionStanding {
    match status {
        SubscriptionStatus::Incomplete => SubscriptionStanding::Incomplete,
        SubscriptionStatus::Trial | SubscriptionStatus::Active => SubscriptionStanding::Active,
        SubscriptionStatus::PastDue => SubscriptionStanding::PastDue,
        SubscriptionStatus::Unpaid | SubscriptionStatus::Paused => SubscriptionStanding::Suspended,
        SubscriptionStatus::NeverBegun | SubscriptionStatus::Ended => SubscriptionStanding::Ended,
    }
}

#[cfg(test)]
mod tests;
