//! What people, banks and operators do at Stripe.

use serde_json::json;

use super::world::{World, text};
use super::{FakeStripe, PayOutcome, lock};

/// Something that is done at Stripe by somebody else than the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Somebody pays a checkout on Stripe's page.
    Pay {
        /// The checkout.
        checkout: String,
        /// What comes of it.
        outcome: PayOutcome,
    },
    /// The bank has decided on a payment that took days.
    Settle {
        /// The checkout.
        checkout: String,
        /// Whether the money is there.
        succeeds: bool,
    },
    /// An operator gives back a part of a payment, or all of it, on Stripe's own pages.
    Refund {
        /// The payment.
        payment: String,
        /// Cents; all that is left without it.
        amount: Option<i64>,
    },
    /// The payer's bank disputes a payment.
    OpenDispute {
        /// The payment.
        payment: String,
    },
    /// The payer's bank has decided.
    CloseDispute {
        /// The dispute.
        dispute: String,
        /// From the platform's side.
        is_won: bool,
    },
    /// Somebody has a subscription end with its period, or go on, in the portal.
    SetEnding {
        /// The subscription.
        subscription: String,
        /// Whether it ends.
        ends: bool,
    },
}

impl FakeStripe {
    /// Does it. Returns the id of what it made or changed.
    ///
    /// # Errors
    /// A sentence that says why it cannot be done; nothing has changed then.
    pub fn act(&self, act: &Act) -> Result<String, String> {
        lock(&self.world).act(act)
    }
}

impl World {
    fn act(&mut self, act: &Act) -> Result<String, String> {
        match act {
            Act::Pay { checkout, outcome } => {
                self.pay(checkout, *outcome)?;
                Ok(checkout.clone())
            }
            Act::Settle { checkout, succeeds } => {
                self.settle(checkout, *succeeds)?;
                Ok(checkout.clone())
            }
            Act::Refund { payment, amount } => {
                let charge = text(self.get(payment), "latest_charge").to_owned();
                let refund = self.refund(&charge, *amount, json!({}));
                refund.map_err(|error| error.message)
            }
            Act::OpenDispute { payment } => self.open_dispute(payment),
            Act::CloseDispute { dispute, is_won } => {
                self.close_dispute(dispute, *is_won)?;
                Ok(dispute.clone())
            }
            Act::SetEnding { subscription, ends } => {
                if self.get(subscription)["object"] != "subscription" {
                    return Err(format!("{subscription} is no subscription"));
                }
                self.set_ending(subscription, *ends);
                Ok(subscription.clone())
            }
        }
    }
}
