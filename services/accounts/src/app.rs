//! The use cases: one module a topic, each with its part of [`App`].

mod age;
mod audit;
mod erasure;
mod flows;
mod operators;
mod terms;
mod user_view;

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::AccountsOptions;
use crate::domain::Time;
use crate::domain::verifier::AgeVerifier;
use crate::error::Error;
use crate::sealing::Sealer;
use crate::store::Store;

/// What the use cases share.
pub struct App {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: AccountsOptions,
    pub(crate) sealer: Sealer,
    pub(crate) age_verifier: Option<Arc<dyn AgeVerifier>>,
}

impl App {
    /// Serves what `store` holds.
    ///
    /// # Errors
    /// [`Error::Options`] when an option makes no sense.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        options: AccountsOptions,
    ) -> Result<Self, Error> {
        let key = hex::decode(options.sealing_key.reveal())
            .map_err(|_| Error::Options("the sealing key is hexadecimal".to_owned()))?;
        Ok(Self {
            sealer: Sealer::new(&key)?,
            age_verifier: age::verifier_of(&options)?,
            store,
            clock,
            options,
        })
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }
}

#[cfg(test)]
pub(crate) mod testing;
