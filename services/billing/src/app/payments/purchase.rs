//! Checkouts: how far they are.

use kinora_stripe_gateway::{ObjectId, PaymentState, Purchase, PurchaseState};
use uuid::Uuid;

use super::settle::{Seen, payer_of, until_agreed};
use crate::app::App;
use crate::domain::payment::CheckoutState;
use crate::error::Error;
use crate::store::entity::payments::checkout;
use crate::store::{checkouts, payers, stripe_events, stripe_objects};

impl App {
    /// Makes what is kept of a checkout agree with it, and with what it has led to: who sees that it is paid has the
    /// credits.
    ///
    /// # Errors
    /// As [`Self::settle_object`].
    pub(super) async fn settle_purchase(
        &self,
        session: &ObjectId,
        events: &[String],
    ) -> Result<(), Error> {
        let seen = until_agreed(|| self.look_at_purchase(session, events)).await?;
        if seen.is_none() {
            tracing::debug!(%session, "a checkout at Stripe sells nothing of ours");
            self.pass_over(events).await?;
        }
        Ok(())
    }

    async fn look_at_purchase(
        &self,
        session: &ObjectId,
        events: &[String],
    ) -> Result<Seen<()>, Error> {
        let read = stripe_objects::revision(self.store.reader(), session.as_str()).await?;
        let purchase = self.payments()?.gateway.fetch_purchase(session).await?;
        let Some(checkout) = self.checkout_of(&purchase).await? else {
            return Ok(Seen::Foreign);
        };
        let state = self.state_of(&purchase).await?;
        if state == CheckoutState::Paid {
            Box::pin(self.settle_what_was_bought(&purchase)).await?;
        }
        let (payer, now) = (payer_of(&checkout.payer)?, self.now());
        let tx = self.store.begin().await?;
        payers::lock(&tx, &payer, now).await?;
        if !stripe_objects::advance(&tx, session.as_str(), read).await? {
            return Ok(Seen::Stale);
        }
        let row = checkouts::find(&tx, checkout.id).await?;
        // Its receipt may have said that it is paid while Stripe was asked.
        if row.is_some_and(|row| row.state != CheckoutState::Paid.code()) {
            checkouts::set_state(&tx, checkout.id, state).await?;
        }
        stripe_events::done(&tx, events, now).await?;
        tx.commit().await?;
        Ok(Seen::Ours(()))
    }

    /// The checkout of ours that a page of Stripe's belongs to.
    async fn checkout_of(&self, purchase: &Purchase) -> Result<Option<checkout::Model>, Error> {
        let reference = purchase.reference.as_ref();
        let Some(id) = reference.and_then(|it| it.parse::<Uuid>().ok()) else {
            return Ok(None);
        };
        let Some(row) = checkouts::find(self.store.reader(), id).await? else {
            return Ok(None);
        };
        // It is unset when the answer was lost that told it.
        if row
            .session
            .as_ref()
            .is_some_and(|it| it != purchase.id.as_str())
        {
            let problem = format!("{} is of the checkout {id}, which has another", purchase.id);
            return Err(Error::Payment(problem));
        }
        Ok(Some(row))
    }

    async fn state_of(&self, purchase: &Purchase) -> Result<CheckoutState, Error> {
        Ok(match purchase.state {
            PurchaseState::Open => CheckoutState::Open,
            PurchaseState::Expired => CheckoutState::Expired,
            PurchaseState::Paid => CheckoutState::Paid,
            PurchaseState::Pending if self.has_failed(purchase).await? => CheckoutState::Expired,
            PurchaseState::Pending => CheckoutState::Processing,
        })
    }

    /// Whether the money will never come of a checkout that waits for it. Nobody can pay it once more.
    async fn has_failed(&self, purchase: &Purchase) -> Result<bool, Error> {
        let gateway = &self.payments()?.gateway;
        let Some(payment) = &purchase.payment else {
            return Ok(false);
        };
        let Some(charge) = gateway.fetch_payment(payment).await?.charge else {
            return Ok(false);
        };
        let charge = gateway.fetch_charge(&charge).await?;
        Ok(charge.state == PaymentState::Failed)
    }

    async fn settle_what_was_bought(&self, purchase: &Purchase) -> Result<(), Error> {
        if let Some(payment) = &purchase.payment {
            self.settle_payment(payment, &[]).await?;
        }
        if let Some(subscription) = &purchase.subscription {
            self.settle_subscription(subscription, &[]).await?;
            if let Some(invoice) = &purchase.invoice {
                self.settle_invoice(invoice, &[]).await?;
            }
        }
        Ok(())
    }
}
