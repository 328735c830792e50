//! Who a payer is at Stripe.

use kinora_stripe_gateway::{Error as StripeError, Metadata, ObjectId};

use super::Payments;
use crate::app::App;
use crate::domain::payer::Payer;
use crate::error::Error;
use crate::store::stripe_customers;

impl App {
    /// The payer's customer, which is made with the first checkout. Of two that were made at once the first one stays.
    pub(super) async fn ensure_customer(
        &self,
        payments: &Payments,
        payer: &Payer,
    ) -> Result<ObjectId, Error> {
        if let Some(known) = self.known_customer(payer).await? {
            return Ok(known);
        }
        let (key, nothing_more) = (payer.to_string(), Metadata::new());
        let made = payments.gateway.ensure_customer(&key, &nothing_more);
        let made = made.await?;
        let tx = self.store.begin().await?;
        let kept = stripe_customers::keep(&tx, payer, made.as_str(), self.now()).await?;
        tx.commit().await?;
        Ok(ObjectId::parse(&kept)?)
    }

    /// The payer's customer, if there is one.
    pub(super) async fn known_customer(&self, payer: &Payer) -> Result<Option<ObjectId>, Error> {
        let known = stripe_customers::find(self.store.reader(), payer).await?;
        Ok(known.as_deref().map(ObjectId::parse).transpose()?)
    }

    /// Forgets a customer that somebody has deleted at Stripe.
    pub(super) async fn forget_customer(
        &self,
        payer: &Payer,
        customer: &ObjectId,
    ) -> Result<(), Error> {
        tracing::warn!(%payer, %customer, "a customer was deleted at stripe");
        let tx = self.store.begin().await?;
        stripe_customers::forget(&tx, payer, customer.as_str()).await?;
        Ok(tx.commit().await?)
    }
}

/// Whether Stripe knows the customer no longer.
pub(super) fn is_gone(error: &StripeError) -> bool {
    match error {
        StripeError::Refused(refusal) | StripeError::Missing(refusal) => {
            refusal.code.as_deref() == Some("resource_missing")
                && refusal.param.as_deref() == Some("customer")
        }
        _ => false,
    }
}
