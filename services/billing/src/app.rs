//! The use cases: one module a topic, each with its part of [`App`].

mod adjust;
mod alerts;
mod allowance;
mod audit;
pub(crate) mod balance;
pub(crate) mod campaigns;
mod caps;
pub(crate) mod estimate;
mod hold;
mod holds;
mod in_force;
mod operators;
pub(crate) mod payments;
pub(crate) mod refund;
mod settle;
mod together;
mod transactions;
mod upkeep;
mod usage;
mod voucher_export;
mod vouchers;

use std::sync::Arc;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::BillingOptions;
use crate::domain::Time;
use crate::domain::plan::Plans;
use crate::domain::price::Prices;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::{Store, prices};

use hold::{Held, HoldCall};
use settle::{SettleCall, Settled};
use together::Lines;

pub(crate) use adjust::Adjustment;
pub(crate) use payments::Payments;
pub(crate) use upkeep::BATCH;

/// What the use cases share.
pub struct App {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) plans: Plans,
    pub(crate) options: BillingOptions,
    pub(crate) metrics: Metrics,
    /// None where the platform takes no money.
    pub(crate) payments: Option<Payments>,
    /// Woken when there is a new event of Stripe's in the inbox.
    pub(crate) payment_wake: Notify,
    hold_line: Lines<HoldCall, Held>,
    settle_line: Lines<SettleCall, Settled>,
}

impl App {
    /// Serves what `store` holds.
    #[must_use]
    pub const fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        plans: Plans,
        options: BillingOptions,
        metrics: Metrics,
        payments: Option<Payments>,
    ) -> Self {
        Self {
            store,
            clock,
            plans,
            options,
            metrics,
            payments,
            payment_wake: Notify::const_new(),
            hold_line: Lines::new(),
            settle_line: Lines::new(),
        }
    }

    /// Makes what the service needs before its first call: prices, where none were published.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn prepare(&self) -> Result<(), Error> {
        let tx = self.store.begin().await?;
        prices::insert(&tx, 1, &Prices::built_in(), self.now()).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }
}

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod rounds;
#[cfg(test)]
mod states;
#[cfg(test)]
pub(crate) mod testing;
