//! Money back.

use std::collections::HashMap;

use stripe_core::refund::{CreateRefund, ListRefund, RetrieveRefund};
use stripe_shared::Refund as StripeRefund;

use crate::Time;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::money::{Currencies, Money};
use crate::object_id::ObjectId;
use crate::read::{id_of, optional_reference, time};

/// The name in a refund's metadata of the idempotency key that made it.
const KEY: &str = "kinora_key";

/// Refunds of one payment are looked through this far, a hundred a page.
const MOST_PAGES: usize = 10;

/// A refund, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Its id.
    pub id: ObjectId,
    /// How far it is.
    pub state: RefundState,
    /// What goes back.
    pub amount: Money,
    /// The payment of which it is a part.
    pub payment: Option<ObjectId>,
    /// The charge of which it is a part.
    pub charge: Option<ObjectId>,
    /// The idempotency key of [`Gateway::refund`] that made it; `None` for one that somebody made at Stripe.
    pub key: Option<String>,
    /// When it was made.
    pub created: Time,
}

/// How far a refund is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefundState {
    /// It is under way, or waits for the payer.
    Pending,
    /// It is done.
    Succeeded,
    /// The bank would not take it: the money is back with the platform.
    Failed,
    /// It was taken back before it was done.
    Cancelled,
}

impl Gateway {
    /// Gives back a part of a payment, or all. The same key gives it back once, however long ago that was.
    ///
    /// Stripe forgets its keys after a day and may keep answering that it failed when it did not, so the key is also
    /// written on the refund and looked for first. Two callers at once are told apart by Stripe's key.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Refused`] when less than that is left of the payment, [`Error::Invalid`] when the payment is in
    /// another currency, [`Error::KeyReused`] when the key gave back another amount.
    pub async fn refund(
        &self,
        payment: &ObjectId,
        amount: &Money,
        key: &str,
    ) -> Result<Refund, Error> {
        self.check_amount(amount)?;
        let call = self.keyed(key)?;
        // Stripe is told a number, which it takes for one in the payment's currency.
        let paid = self.fetch_payment(payment).await?.amount;
        if paid.currency != amount.currency {
            return Err(Error::Invalid("the payment is in another currency"));
        }
        if let Some(found) = self.find_refund(payment, key).await? {
            return if found.amount == *amount {
                Ok(found)
            } else {
                Err(Error::KeyReused)
            };
        }
        let request = CreateRefund::new()
            .payment_intent(payment.as_str())
            .amount(amount.amount)
            .metadata(HashMap::from([(KEY.to_owned(), key.to_owned())]));
        let made = refund(&request.send(&call).await?, &self.currencies)?;
        if made.amount != *amount {
            return Err(Error::Unreadable("a refund is of another amount"));
        }
        Ok(made)
    }

    /// Reads a refund.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn fetch_refund(&self, id: &ObjectId) -> Result<Refund, Error> {
        let request = RetrieveRefund::new(id.as_str());
        refund(&request.send(&self.call()).await?, &self.currencies)
    }

    /// Finds the refund of a payment that this key made.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Unreadable`] when the payment has more than a thousand refunds.
    pub async fn find_refund(
        &self,
        payment: &ObjectId,
        key: &str,
    ) -> Result<Option<Refund>, Error> {
        let mut request = ListRefund::new()
            .payment_intent(payment.as_str())
            .limit(100);
        for _ in 0..MOST_PAGES {
            let page = request.send(&self.call()).await?;
            let last = page.data.last().map(id_of).transpose()?;
            let is_it = |refund: &StripeRefund| key_of(refund).is_some_and(|it| it == key);
            if let Some(found) = page.data.into_iter().find(is_it) {
                return refund(&found, &self.currencies).map(Some);
            }
            let Some(last) = last.filter(|_| page.has_more) else {
                return Ok(None);
            };
            request = request.starting_after(last.as_str());
        }
        Err(Error::Unreadable("a payment has too many refunds"))
    }
}

fn key_of(refund: &StripeRefund) -> Option<&String> {
    refund.metadata.as_ref()?.get(KEY)
}

fn refund(refund: &StripeRefund, currencies: &Currencies) -> Result<Refund, Error> {
    let currency = refund.currency.to_string();
    Ok(Refund {
        id: id_of(refund)?,
        state: state(refund.status.as_deref())?,
        amount: currencies.sum(refund.amount, &currency)?,
        payment: optional_reference(refund.payment_intent.as_ref())?,
        charge: optional_reference(refund.charge.as_ref())?,
        created: time(refund.created)?,
        key: key_of(refund).cloned(),
    })
}

fn state(status: Option<&str>) -> Result<RefundState, Error> {
    match status {
        Some("pending" | "requires_action") => Ok(RefundState::Pending),
        Some("succeeded") => Ok(RefundState::Succeeded),
        Some("failed") => Ok(RefundState::Failed),
        Some("canceled") => Ok(RefundState::Cancelled),
        _ => Err(Error::Unreadable("a refund is in a state of its own")),
    }
}
