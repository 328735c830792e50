//! Money: what is bought at Stripe, and what of it became credits.
//!
//! Webhooks are hints. Each is kept in the inbox and handled afterwards ([`inbox`]): the object that it is about is fetched,
//! and what is kept here is made to agree with it ([`settle`]), whatever was handled before. What was fetched before the
//! last change is not written over what was fetched after it ([`crate::store::stripe_objects`]). Events that no webhook
//! brought are asked for ([`catch_up`]), and every night what Stripe says of all money is compared with the receipts
//! ([`reconcile`]).

mod catch_up;
mod checkout;
mod credits;
mod customer;
mod dispute;
mod inbox;
mod invoice;
mod lists;
mod movements;
mod pack;
mod portal;
mod purchase;
mod receipt;
pub(crate) mod reconcile;
pub(crate) mod refund;
mod return_url;
mod settle;
mod subscription;
mod subscriptions;

use std::time::Instant;

use kinora_stripe_gateway::{Currencies, Gateway, Options};
use tokio::sync::Mutex;
use url::Url;

use self::reconcile::Comparison;
use super::App;
use crate::config::payments::PaymentOptions;
use crate::domain::plan::Plans;
use crate::domain::refusal::Refusal;
use crate::error::Error;

/// What is needed to take money.
pub struct Payments {
    /// The way to Stripe.
    pub(crate) gateway: Gateway,
    /// Where people land who come back from Stripe.
    pub(crate) return_url: Url,
    /// Whether webhooks are taken.
    pub(crate) has_webhooks: bool,
    /// The last comparison that came to an end, and when. Locked while there is one.
    pub(crate) compared: Mutex<Option<(Instant, Comparison)>>,
    /// Operators give money back one after the other: each sees what is left after the one before.
    pub(crate) refunding: Mutex<()>,
}

impl Payments {
    /// What the options say; None without a key.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub(crate) fn from_options(
        options: &PaymentOptions,
        plans: &Plans,
    ) -> Result<Option<Self>, Error> {
        let Some(key) = &options.stripe_secret_key else {
            return Ok(None);
        };
        let problem = |error: kinora_stripe_gateway::Error| Error::Options(error.to_string());
        let others = options.currencies.iter().map(String::as_str);
        let currencies = Currencies::new(plans.currencies().chain(others)).map_err(problem)?;
        let secrets = options.stripe_webhook_secrets.clone();
        let has_webhooks = !secrets.is_empty();
        let mut to_stripe = Options::new(key.clone(), secrets, currencies);
        to_stripe.base_url = options.stripe_url.clone();
        let return_url = options.return_url.as_deref();
        let return_url = return_url.ok_or("--payments-return-url is missing");
        let return_url = return_url.and_then(return_url::parse);
        let return_url = return_url.map_err(|problem| Error::Options(problem.to_owned()))?;
        Ok(Some(Self {
            gateway: Gateway::new(&to_stripe).map_err(problem)?,
            return_url,
            has_webhooks,
            compared: Mutex::new(None),
            refunding: Mutex::new(()),
        }))
    }
}

impl App {
    /// What is needed to take money.
    ///
    /// # Errors
    /// [`Refusal::PaymentsDisabled`] where none is taken.
    pub(super) fn payments(&self) -> Result<&Payments, Error> {
        Ok(self.payments.as_ref().ok_or(Refusal::PaymentsDisabled)?)
    }
}

#[cfg(test)]
mod proofs;
#[cfg(test)]
mod testing;
