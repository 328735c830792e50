//! Subscriptions, as they stand.

use stripe_billing::subscription::{CancelSubscription, RetrieveSubscription};
use stripe_shared::{Subscription, SubscriptionStatus as StripeStatus};

use crate::Time;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::metadata::{Metadata, incoming};
use crate::money::{Currencies, Money};
use crate::object_id::ObjectId;
use crate::price::offer_of;
use crate::read::{id_of, optional_reference, optional_time, reference, time};

/// A subscription, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    /// Its id.
    pub id: ObjectId,
    /// Who pays.
    pub customer: ObjectId,
    /// Whether it is paid.
    pub status: SubscriptionStatus,
    /// What is subscribed to.
    pub price: ObjectId,
    /// The [`crate::Offer::key`] that the price was made for. `None` for a price of somebody else's.
    pub offer: Option<String>,
    /// What a period costs; `None` for a price that is not one amount.
    pub amount: Option<Money>,
    /// The beginning of the period that it is in.
    pub period_start: Time,
    /// The end of the period that it is in.
    pub period_end: Time,
    /// Whether it ends with the period.
    pub ends_with_period: bool,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Its newest invoice.
    pub latest_invoice: Option<ObjectId>,
    /// As it was given in [`crate::Checkout::metadata`].
    pub metadata: Metadata,
    /// When it was made.
    pub created: Time,
}

/// Whether a subscription is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubscriptionStatus {
    /// The first payment is not there yet.
    Incomplete,
    /// The first payment never came.
    NeverBegun,
    /// It is free for a while.
    Trial,
    /// It is paid.
    Active,
    /// A payment has failed, and Stripe tries again.
    PastDue,
    /// Payments have failed, and Stripe tries no longer.
    Unpaid,
    /// It stands still.
    Paused,
    /// It has ended.
    Ended,
}

impl Gateway {
    /// Reads a subscription.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Unreadable`] for one that nothing, or more than one thing, is subscribed to with.
    pub async fn fetch_subscription(&self, id: &ObjectId) -> Result<SubscriptionState, Error> {
        let request = RetrieveSubscription::new(id.as_str());
        subscription(&request.send(&self.call()).await?, &self.currencies)
    }

    /// Ends a subscription now, without giving anything back. One that has ended stays as it is. (People who no longer
    /// want theirs end it in the portal, with the period.)
    ///
    /// # Errors
    /// [`Error`]; [`Error::Missing`] when there is none.
    pub async fn cancel_subscription(&self, id: &ObjectId) -> Result<SubscriptionState, Error> {
        let request = CancelSubscription::new(id.as_str());
        match request.send(&self.call()).await {
            Ok(ended) => subscription(&ended, &self.currencies),
            // Stripe says so of one that has ended, as after a try whose answer was lost.
            Err(missing @ Error::Missing(_)) => {
                let found = self.fetch_subscription(id).await?;
                match found.status {
                    SubscriptionStatus::Ended | SubscriptionStatus::NeverBegun => Ok(found),
                    _ => Err(missing),
                }
            }
            Err(error) => Err(error),
        }
    }
}

fn subscription(
    subscription: &Subscription,
    currencies: &Currencies,
) -> Result<SubscriptionState, Error> {
    let [item] = subscription.items.data.as_slice() else {
        return Err(Error::Unreadable("a subscription is not to one thing"));
    };
    let price = &item.price;
    let currency = price.currency.to_string();
    let amount = price.unit_amount;
    Ok(SubscriptionState {
        id: id_of(subscription)?,
        customer: reference(&subscription.customer)?,
        status: status(&subscription.status)?,
        price: id_of(price)?,
        offer: offer_of(price),
        amount: amount
            .map(|amount| currencies.sum(amount, &currency))
            .transpose()?,
        period_start: time(item.current_period_start)?,
        period_end: time(item.current_period_end)?,
        ends_with_period: subscription.cancel_at_period_end,
        ended_at: optional_time(subscription.ended_at)?,
        latest_invoice: optional_reference(subscription.latest_invoice.as_ref())?,
        metadata: incoming(subscription.metadata.clone()),
        created: time(subscription.created)?,
    })
}

fn status(status: &StripeStatus) -> Result<SubscriptionStatus, Error> {
    Ok(match status {
        StripeStatus::Incomplete => SubscriptionStatus::Incomplete,
        StripeStatus::IncompleteExpired => SubscriptionStatus::NeverBegun,
        StripeStatus::Trialing => SubscriptionStatus::Trial,
        StripeStatus::Active => SubscriptionStatus::Active,
        StripeStatus::PastDue => SubscriptionStatus::PastDue,
        StripeStatus::Unpaid => SubscriptionStatus::Unpaid,
        StripeStatus::Paused => SubscriptionStatus::Paused,
        StripeStatus::Canceled => SubscriptionStatus::Ended,
        _ => return Err(Error::Unreadable("a subscription is in a state of its own")),
    })
}
