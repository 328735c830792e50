//! Invoices: what a subscription asks for each period, and the receipt of a pack.

use stripe_billing::invoice::RetrieveInvoice;
use stripe_billing::invoice_payment::{
    ListInvoicePayment, ListInvoicePaymentPayment, ListInvoicePaymentPaymentType,
};
use stripe_shared::{
    Invoice as StripeInvoice, InvoiceBillingReason, InvoiceLineItem, InvoiceStatus,
};

use crate::Time;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::metadata::{Metadata, incoming};
use crate::money::{Currencies, Money};
use crate::object_id::ObjectId;
use crate::read::{id_of, optional_reference, optional_time, reference, time};

/// An invoice, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Its id.
    pub id: ObjectId,
    /// Whether it is paid.
    pub state: InvoiceState,
    /// Why there is one.
    pub reason: InvoiceReason,
    /// Who pays.
    pub customer: Option<ObjectId>,
    /// The subscription that asks for it.
    pub subscription: Option<ObjectId>,
    /// What it asks for. Negative when it gives more than it asks.
    pub total: Money,
    /// What was paid of it.
    pub paid: Money,
    /// What for.
    pub lines: Vec<InvoiceLine>,
    /// The payments that were made or tried for it.
    pub payments: Vec<ObjectId>,
    /// What people call it, once it is final.
    pub number: Option<String>,
    /// Stripe's page for it; good for whoever has it.
    pub url: Option<String>,
    /// As it was given in [`crate::Checkout::metadata`], when a subscription asks for it.
    pub metadata: Metadata,
    /// When it was made.
    pub created: Time,
    /// When it was paid.
    pub paid_at: Option<Time>,
}

/// What an invoice is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceLine {
    /// Negative for what is given back, as when a subscription changes.
    pub amount: Money,
    /// What is sold.
    pub price: Option<ObjectId>,
    /// The beginning of the period that it is for.
    pub start: Time,
    /// The end of the period that it is for.
    pub end: Time,
    /// Whether it is for a part of a period, after a change.
    pub is_proration: bool,
}

/// Whether an invoice is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvoiceState {
    /// It may still change.
    Draft,
    /// It waits for its payment, whether or not one was tried.
    Open,
    /// It is paid.
    Paid,
    /// Nobody expects the payment any longer.
    Uncollectible,
    /// It was taken back.
    Void,
}

/// Why there is an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvoiceReason {
    /// A subscription begins.
    SubscriptionBegins,
    /// A subscription goes on.
    SubscriptionGoesOn,
    /// A subscription changes within a period.
    SubscriptionChanges,
    /// Something was sold once, or an operator made it.
    Manual,
    /// Something else that an operator does at Stripe leads to it.
    Other,
}

impl InvoiceReason {
    const fn is_of_subscription(self) -> bool {
        match self {
            Self::SubscriptionBegins | Self::SubscriptionGoesOn | Self::SubscriptionChanges => true,
            Self::Manual | Self::Other => false,
        }
    }
}

impl Gateway {
    /// Reads an invoice.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Unreadable`] for one of more than ten lines, which nothing here leads to.
    pub async fn fetch_invoice(&self, id: &ObjectId) -> Result<Invoice, Error> {
        let request = RetrieveInvoice::new(id.as_str()).expand(vec!["payments".to_owned()]);
        invoice(&request.send(&self.call()).await?, &self.currencies)
    }

    /// Finds the invoice that a payment was made or tried for.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn find_invoice(&self, payment: &ObjectId) -> Result<Option<ObjectId>, Error> {
        let mut of = ListInvoicePaymentPayment::new(ListInvoicePaymentPaymentType::PaymentIntent);
        of.payment_intent = Some(payment.to_string());
        let request = ListInvoicePayment::new().payment(of).limit(1);
        let found = request.send(&self.call()).await?.data;
        found.first().map(|it| reference(&it.invoice)).transpose()
    }
}

fn invoice(invoice: &StripeInvoice, currencies: &Currencies) -> Result<Invoice, Error> {
    let currency = invoice.currency.to_string();
    if invoice.lines.has_more {
        return Err(Error::Unreadable("an invoice has many lines"));
    }
    let lines = invoice.lines.data.iter();
    let parent = invoice.parent.as_ref();
    let of_subscription = parent.and_then(|it| it.subscription_details.as_ref());
    let metadata = of_subscription.and_then(|it| it.metadata.clone());
    let reason = reason(invoice.billing_reason.as_ref());
    if of_subscription.is_none() && reason.is_of_subscription() {
        return Err(Error::Unreadable("an invoice lacks its subscription"));
    }
    Ok(Invoice {
        id: id_of(invoice)?,
        state: state(invoice.status.as_ref())?,
        reason,
        customer: optional_reference(invoice.customer.as_ref())?,
        subscription: of_subscription
            .map(|it| reference(&it.subscription))
            .transpose()?,
        total: currencies.money(invoice.total, &currency)?,
        paid: currencies.sum(invoice.amount_paid, &currency)?,
        lines: lines
            .map(|it| line(it, currencies))
            .collect::<Result<_, _>>()?,
        payments: payments(invoice)?,
        number: invoice.number.clone(),
        url: invoice.hosted_invoice_url.clone(),
        metadata: incoming(metadata.unwrap_or_default()),
        created: time(invoice.created)?,
        paid_at: optional_time(invoice.status_transitions.paid_at)?,
    })
}

fn line(line: &InvoiceLineItem, currencies: &Currencies) -> Result<InvoiceLine, Error> {
    let pricing = line.pricing.as_ref();
    let price = pricing.and_then(|it| it.price_details.as_ref());
    let parent = line.parent.as_ref();
    let of_subscription = parent.and_then(|it| it.subscription_item_details.as_ref());
    Ok(InvoiceLine {
        amount: currencies.money(line.amount, &line.currency.to_string())?,
        price: price.map(|it| reference(&it.price)).transpose()?,
        start: time(line.period.start)?,
        end: time(line.period.end)?,
        is_proration: of_subscription.is_some_and(|it| it.proration),
    })
}

fn payments(invoice: &StripeInvoice) -> Result<Vec<ObjectId>, Error> {
    let Some(payments) = &invoice.payments else {
        return Err(Error::Unreadable("an invoice came without its payments"));
    };
    let payments = payments.data.iter();
    payments
        .filter_map(|it| it.payment.payment_intent.as_ref())
        .map(reference)
        .collect()
}

fn state(status: Option<&InvoiceStatus>) -> Result<InvoiceState, Error> {
    Ok(match status {
        Some(InvoiceStatus::Draft) => InvoiceState::Draft,
        Some(InvoiceStatus::Open) => InvoiceState::Open,
        Some(InvoiceStatus::Paid) => InvoiceState::Paid,
        Some(InvoiceStatus::Uncollectible) => InvoiceState::Uncollectible,
        Some(InvoiceStatus::Void) => InvoiceState::Void,
        _ => return Err(Error::Unreadable("an invoice is in a state of its own")),
    })
}

const fn reason(reason: Option<&InvoiceBillingReason>) -> InvoiceReason {
    match reason {
        Some(InvoiceBillingReason::SubscriptionCreate) => InvoiceReason::SubscriptionBegins,
        Some(InvoiceBillingReason::SubscriptionCycle) => InvoiceReason::SubscriptionGoesOn,
        Some(InvoiceBillingReason::SubscriptionUpdate) => InvoiceReason::SubscriptionChanges,
        Some(InvoiceBillingReason::Manual) => InvoiceReason::Manual,
        _ => InvoiceReason::Other,
    }
}
