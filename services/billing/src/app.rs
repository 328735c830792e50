//! The use cases: one module a topic, each with its part of [`App`].

mod adjust;
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
pub(crate) mod refund;
mod settle;
mod transactions;
mod upkeep;
mod usage;
mod voucher_export;
mod vouchers;

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::BillingOptions;
use crate::domain::Time;
use crate::domain::plan::Plans;
use crate::domain::price::Prices;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::{Store, prices};

pub(crate) use adjust::Adjustment;
pub(crate) use upkeep::BATCH;

/// What the use cases share.
pub struct App {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) plans: Plans,
    pub(crate) options: BillingOptions,
    pub(crate) metrics: Metrics,
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
    ) -> Self {
        Self {
            store,
            clock,
            plans,
            options,
            metrics,
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
mod states;
#[cfg(test)]
pub(crate) mod testing;
