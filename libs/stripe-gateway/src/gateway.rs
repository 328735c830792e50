//! The gateway itself; what it does is in the files of the things it does it to.

use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::money::{Currencies, Money};
use crate::options::Options;
use crate::transport::{Call, Transport};
use crate::webhook::Verifier;
use crate::{Event, Time, WebhookError};

const LONGEST_KEY: usize = 255;

/// Asks Stripe, and knows its webhooks. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    transport: Transport,
    verifier: Verifier,
    pub(crate) currencies: Currencies,
}

impl Gateway {
    /// Makes a gateway; Stripe is not asked yet.
    ///
    /// # Errors
    /// [`Error::Setup`] when the options cannot be used.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let base = options.check()?;
        Ok(Self {
            transport: Transport::new(options, &base)?,
            verifier: Verifier::new(options.webhook_secrets.clone(), options.is_live()),
            currencies: options.currencies.clone(),
        })
    }

    /// Checks that a webhook is Stripe's, and returns what it is about. `body` is as it was received, byte for byte;
    /// `header` is `Stripe-Signature`.
    ///
    /// # Errors
    /// [`WebhookError`]; all of them are the sender's fault and answered with 400.
    pub fn verify_webhook(
        &self,
        body: &[u8],
        header: &str,
        now: Time,
    ) -> Result<Event, WebhookError> {
        self.verifier.verify(body, header, now)
    }

    /// A call that changes nothing, or changes the same again.
    pub(crate) const fn call(&self) -> Call<'_> {
        Call {
            transport: &self.transport,
            key: None,
        }
    }

    /// A call that is made once however often it is sent.
    pub(crate) fn keyed<'c>(&'c self, key: &'c str) -> Result<Call<'c>, Error> {
        let is_key = (1..=LONGEST_KEY).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_key {
            return Err(Error::Invalid(
                "an idempotency key has 1 to 255 visible ASCII characters",
            ));
        }
        Ok(Call {
            transport: &self.transport,
            key: Some(key),
        })
    }

    /// Checks an amount that somebody is to pay or to get back.
    pub(crate) fn check_amount(&self, money: &Money) -> Result<(), Error> {
        if !self.currencies.contains(&money.currency) {
            return Err(Error::UnknownCurrency);
        }
        if money.amount < 1 {
            return Err(Error::Invalid("an amount is positive"));
        }
        Ok(())
    }
}

/// An idempotency key for what is the same whenever these parts are.
pub(crate) fn derived_key(kind: &str, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // With its length, or ["a", "bc"] would be ["ab", "c"].
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    format!("kinora-{kind}-{}", hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_keys_differ_with_every_part() {
        let key = derived_key("price", &["a", "bc"]);
        assert_eq!(key, derived_key("price", &["a", "bc"]));
        assert_ne!(key, derived_key("price", &["ab", "c"]));
        assert_ne!(key, derived_key("price", &["a", "bc", ""]));
        assert_ne!(key, derived_key("customer", &["a", "bc"]));
    }
}
