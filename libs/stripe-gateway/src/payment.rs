//! Payments, and the charges that they are made of.

use stripe_core::charge::RetrieveCharge;
use stripe_core::payment_intent::RetrievePaymentIntent;
use stripe_shared::{Charge as StripeCharge, ChargeStatus, PaymentIntent, PaymentIntentStatus};

use crate::Time;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::metadata::{Metadata, incoming};
use crate::money::{Currencies, Money};
use crate::object_id::ObjectId;
use crate::read::{id_of, optional_reference, time};

/// A payment, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub id: ObjectId,
    /// How far it is.
    pub state: PaymentState,
    /// What is to be paid.
    pub amount: Money,
    /// What was paid, refunds and disputes left aside.
    pub received: Money,
    /// Who pays.
    pub customer: Option<ObjectId>,
    /// The newest try.
    pub charge: Option<ObjectId>,
    /// As it was given in [`crate::Checkout::metadata`], for a pack.
    pub metadata: Metadata,
    /// When it was begun.
    pub created: Time,
}

/// How far a payment, or one try of it, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentState {
    /// It waits: for a card, for the person, or for the bank.
    Pending,
    /// The money is here.
    Succeeded,
    /// It will not come.
    Failed,
}

/// One try of a payment, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Its id.
    pub id: ObjectId,
    /// How far it is.
    pub state: PaymentState,
    /// What is charged.
    pub amount: Money,
    /// What was given back.
    pub refunded: Money,
    /// Whether the payer's bank disputes it, or has.
    pub is_disputed: bool,
    /// The payment that it is a try of.
    pub payment: Option<ObjectId>,
    /// Who pays.
    pub customer: Option<ObjectId>,
    /// When it was made.
    pub created: Time,
}

impl Gateway {
    /// Reads a payment (Stripe's payment intent).
    ///
    /// # Errors
    /// [`Error`].
    pub async fn fetch_payment(&self, id: &ObjectId) -> Result<Payment, Error> {
        let request = RetrievePaymentIntent::new(id.as_str());
        payment(request.send(&self.call()).await?, &self.currencies)
    }

    /// Reads a charge.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn fetch_charge(&self, id: &ObjectId) -> Result<Charge, Error> {
        let request = RetrieveCharge::new(id.as_str());
        charge(&request.send(&self.call()).await?, &self.currencies)
    }
}

fn payment(intent: PaymentIntent, currencies: &Currencies) -> Result<Payment, Error> {
    let currency = intent.currency.to_string();
    Ok(Payment {
        id: id_of(&intent)?,
        state: match &intent.status {
            PaymentIntentStatus::Succeeded => PaymentState::Succeeded,
            PaymentIntentStatus::Canceled => PaymentState::Failed,
            PaymentIntentStatus::Processing
            | PaymentIntentStatus::RequiresAction
            | PaymentIntentStatus::RequiresCapture
            | PaymentIntentStatus::RequiresConfirmation
            | PaymentIntentStatus::RequiresPaymentMethod => PaymentState::Pending,
            _ => return Err(Error::Unreadable("a payment is in a state of its own")),
        },
        amount: currencies.sum(intent.amount, &currency)?,
        received: currencies.sum(intent.amount_received, &currency)?,
        customer: optional_reference(intent.customer.as_ref())?,
        charge: optional_reference(intent.latest_charge.as_ref())?,
        created: time(intent.created)?,
        metadata: incoming(intent.metadata),
    })
}

fn charge(charge: &StripeCharge, currencies: &Currencies) -> Result<Charge, Error> {
    let currency = charge.currency.to_string();
    Ok(Charge {
        id: id_of(charge)?,
        state: match &charge.status {
            ChargeStatus::Succeeded => PaymentState::Succeeded,
            ChargeStatus::Pending => PaymentState::Pending,
            ChargeStatus::Failed => PaymentState::Failed,
            _ => return Err(Error::Unreadable("a charge is in a state of its own")),
        },
        amount: currencies.sum(charge.amount, &currency)?,
        refunded: currencies.sum(charge.amount_refunded, &currency)?,
        is_disputed: charge.disputed,
        payment: optional_reference(charge.payment_intent.as_ref())?,
        customer: optional_reference(charge.customer.as_ref())?,
        created: time(charge.created)?,
    })
}
