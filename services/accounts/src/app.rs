//! The use cases: one module a topic, each with its part of [`App`].

mod age;
mod audit;
mod erasure;
mod export;
mod first_run;
mod flows;
mod hashing;
mod invitations;
mod keys;
mod mail;
pub(crate) mod mail_relay;
mod notices;
pub(crate) mod operators;
mod organisations;
mod passkeys;
mod passwords;
mod profile;
pub(crate) mod providers;
pub(crate) mod second_factor;
mod service_accounts;
pub(crate) mod service_notices;
mod sessions;
mod sign_in;
mod sign_up;
mod signing_keys;
pub(crate) mod step_up;
mod sweep;
mod terms;
mod throttles;
mod tokens;
mod user_view;

use std::sync::Arc;

use kinora_store::page::Sizes;
use webauthn_rs::Webauthn;

use crate::breached::BreachedPasswords;
use crate::clients::oidc::Providers;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::config::AccountsOptions;
use crate::domain::Time;
use crate::domain::relying_party::relying_party;
use crate::domain::verifier::AgeVerifier;
use crate::error::Error;
use crate::sealing::Sealer;
use crate::store::Store;

use hashing::{Cost, Hasher};
pub use keys::NewKey;
pub(crate) use sessions::Switch;

/// So many uses of API keys are written at a time; each is a statement on one row.
const KEY_USES: usize = 16;

/// How many rows lists show at a time.
const PAGES: Sizes = Sizes {
    usual: 50,
    most: 200,
};

/// What the use cases share.
pub struct App {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: AccountsOptions,
    pub(crate) sealer: Sealer,
    pub(crate) providers: Providers,
    /// None where authenticators could not name us.
    pub(crate) relying_party: Option<Webauthn>,
    pub(crate) hasher: Hasher,
    /// None where the operator has no such list.
    pub(crate) breached: Option<BreachedPasswords>,
    pub(crate) key_uses: Arc<Semaphore>,
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
        let cost = Cost {
            memory_kib: options.password_hash_memory_kib,
            passes: options.password_hash_passes,
        };
        let breached = options.breached_passwords.as_deref();
        Ok(Self {
            breached: breached.map(BreachedPasswords::open).transpose()?,
            hasher: Hasher::new(cost, options.password_hash_slots())?,
            sealer: Sealer::new(&key)?,
            providers: Providers::new(options.providers()?)?,
            relying_party: relying_party(&options.public_url)?,
            key_uses: Arc::new(Semaphore::new(KEY_USES)),
            age_verifier: age::verifier_of(&options)?,
            store,
            clock,
            options,
        })
    }

    /// Makes what the service needs before its first call: keys that sign, and the first operator.
    ///
    /// # Errors
    /// [`Error::Options`] when the first operator cannot be made; [`Error::Database`].
    pub async fn prepare(&self) -> Result<(), Error> {
        self.prepare_signing_keys().await?;
        self.prepare_first_operator().await
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }
}

#[cfg(test)]
mod states;
#[cfg(test)]
pub(crate) mod testing;
