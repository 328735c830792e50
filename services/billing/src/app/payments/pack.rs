//! Packs: a payment that names a checkout of ours.

use kinora_stripe_gateway::{ObjectId, Payment, PaymentState};

use super::receipt::{Facts, Sale};
use super::settle::{Seen, payer_of, until_agreed};
use crate::app::App;
use crate::domain::payment::{Item, metadata};
use crate::domain::receipt::end_of_pack;
use crate::error::Error;
use crate::store::entity::payments::checkout;
use crate::store::{self, receipts, stripe_objects};

impl App {
    /// Makes the receipt of a pack agree with its payment, and answers it. Some(None) while it is not paid; None when the
    /// payment is for no pack of ours: `events` then wait on.
    ///
    /// # Errors
    /// As [`Self::settle_object`].
    pub(super) async fn settle_pack(
        &self,
        payment: &ObjectId,
        events: &[String],
    ) -> Result<Option<Option<String>>, Error> {
        until_agreed(|| self.look_at_pack(payment, events)).await
    }

    async fn look_at_pack(
        &self,
        id: &ObjectId,
        events: &[String],
    ) -> Result<Seen<Option<String>>, Error> {
        let read = stripe_objects::revision(self.store.reader(), id.as_str()).await?;
        let payment = self.payments()?.gateway.fetch_payment(id).await?;
        let Some(name) = payment.metadata.get(metadata::CHECKOUT) else {
            return Ok(Seen::Foreign);
        };
        let checkout = self.checkout_named(name, id).await?;
        if !matches!(checkout.item.parse(), Ok(Item::Pack(_))) {
            // A plan's invoice says more than its payment.
            return Ok(Seen::Foreign);
        }
        if payment.state != PaymentState::Succeeded {
            self.pass_over(events).await?;
            return Ok(Seen::Ours(None));
        }
        let facts = self.facts_of_pack(payment, &checkout).await?;
        self.write_receipt(&facts, read, events).await
    }

    async fn facts_of_pack(
        &self,
        payment: Payment,
        checkout: &checkout::Model,
    ) -> Result<Facts, Error> {
        let id = payment.id;
        let charge = payment.charge.ok_or_else(|| {
            let problem = format!("the payment {id} has succeeded without a charge");
            Error::Payment(problem)
        })?;
        let charge = self.payments()?.gateway.fetch_charge(&charge).await?;
        if charge.refunded.currency != payment.received.currency {
            let problem = format!("{id} was given back in another currency");
            return Err(Error::Payment(problem));
        }
        check_price(
            &id,
            payment.received.amount,
            payment.received.currency.as_str(),
            checkout,
        )?;
        let (invoice_number, invoice_url) = self.invoice_of_pack(&id).await?;
        Ok(Facts {
            payer: payer_of(&checkout.payer)?,
            paid: payment.received,
            refunded: charge.refunded.amount,
            payment: Some(id.clone()),
            id,
            invoice_number,
            invoice_url,
            sale: Some(Sale {
                checkout: checkout.id,
                item: checkout.item.clone(),
                credits: store::credits(checkout.credits)?,
                expires_at: end_of_pack(charge.created, checkout.valid_days, self.now()),
                subscription: None,
                user: Some(checkout.user_id),
                time: charge.created,
            }),
        })
    }

    /// What people call the invoice of a pack, and its page. Stripe makes it after the payment; its own event then tells.
    async fn invoice_of_pack(
        &self,
        payment: &ObjectId,
    ) -> Result<(Option<String>, Option<String>), Error> {
        let known = receipts::find(self.store.reader(), payment.as_str()).await?;
        if let Some(row) = known.filter(|row| row.invoice_number.is_some()) {
            return Ok((row.invoice_number, row.invoice_url));
        }
        let gateway = &self.payments()?.gateway;
        let Some(invoice) = gateway.find_invoice(payment).await? else {
            return Ok((None, None));
        };
        let invoice = gateway.fetch_invoice(&invoice).await?;
        Ok((invoice.number, invoice.url))
    }
}

/// What was paid is what was asked for, or more: taxes may come on top.
fn check_price(
    payment: &ObjectId,
    amount: i64,
    currency: &str,
    checkout: &checkout::Model,
) -> Result<(), Error> {
    if currency == checkout.currency && amount >= checkout.price {
        return Ok(());
    }
    let (price, wanted) = (checkout.price, &checkout.currency);
    let problem = format!("{payment} paid {amount} {currency} for what costs {price} {wanted}");
    Err(Error::Payment(problem))
}
