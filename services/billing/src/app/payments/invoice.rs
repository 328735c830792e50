//! Invoices: what a plan costs each month. (That of a pack only tells people its number.)

use std::collections::HashMap;

use kinora_stripe_gateway::{
    Error as StripeError, Invoice, InvoiceLine, InvoiceState, ObjectId, PaymentState,
    SubscriptionState,
};

use super::receipt::{Facts, Sale};
use super::settle::{Seen, payer_of, until_agreed};
use crate::app::App;
use crate::domain::Time;
use crate::domain::payer::Payer;
use crate::domain::payment::{Item, metadata};
use crate::domain::receipt::{PlanLine, credits_of_lines, end_of_period};
use crate::error::Error;
use crate::store::entity::payments::checkout;
use crate::store::{self, receipts, stripe_objects};

/// A price of Stripe's: the offer that it is of, and what a month costs.
type Price = (Option<String>, Option<i64>);

impl App {
    /// Settles an invoice, of a plan or of a pack.
    ///
    /// # Errors
    /// As [`Self::settle_object`].
    pub(super) async fn settle_invoice(
        &self,
        id: &ObjectId,
        events: &[String],
    ) -> Result<(), Error> {
        let receipt = Box::pin(self.settle_invoice_of_plan(id, events)).await?;
        if receipt.is_some() {
            return Ok(());
        }
        let invoice = self.invoice_if_there(id).await?;
        for payment in invoice.iter().flat_map(|it| &it.payments) {
            Box::pin(self.settle_pack(payment, &[])).await?;
        }
        self.pass_over(events).await
    }

    /// None for a draft that somebody has deleted. What was paid cannot be.
    async fn invoice_if_there(&self, id: &ObjectId) -> Result<Option<Invoice>, Error> {
        match self.payments()?.gateway.fetch_invoice(id).await {
            Ok(invoice) => Ok(Some(invoice)),
            Err(StripeError::Missing(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the receipt of a plan's invoice agree with it, and answers it. Some(None) while there is none; None when it is
    /// no invoice of a plan of ours: `events` then wait on.
    ///
    /// # Errors
    /// As [`Self::settle_object`].
    pub(super) async fn settle_invoice_of_plan(
        &self,
        id: &ObjectId,
        events: &[String],
    ) -> Result<Option<Option<String>>, Error> {
        until_agreed(|| self.look_at_invoice(id, events)).await
    }

    async fn look_at_invoice(
        &self,
        id: &ObjectId,
        events: &[String],
    ) -> Result<Seen<Option<String>>, Error> {
        let read = stripe_objects::revision(self.store.reader(), id.as_str()).await?;
        let Some(invoice) = self.invoice_if_there(id).await? else {
            return Ok(Seen::Foreign);
        };
        let Some(subscription) = &invoice.subscription else {
            return Ok(Seen::Foreign);
        };
        if invoice.state != InvoiceState::Paid {
            self.pass_over(events).await?;
            return Ok(Seen::Ours(None));
        }
        let Some((payer, sale)) = self.sale_of_invoice(&invoice, subscription).await? else {
            return Ok(Seen::Foreign);
        };
        let is_nothing = |sale: &Sale| sale.credits.is_zero() && invoice.paid.amount == 0;
        if sale.as_ref().is_some_and(is_nothing) {
            // As of a free month.
            self.pass_over(events).await?;
            return Ok(Seen::Ours(None));
        }
        let (payment, refunded) = self.payment_of_invoice(&invoice).await?;
        let facts = Facts {
            id: invoice.id,
            payer,
            paid: invoice.paid,
            refunded,
            payment,
            invoice_number: invoice.number,
            invoice_url: invoice.url,
            sale,
        };
        self.write_receipt(&facts, read, events).await
    }

    /// Who has bought what. None when it was bought elsewhere; no sale when the receipt is there, for then it was decided.
    async fn sale_of_invoice(
        &self,
        invoice: &Invoice,
        subscription: &ObjectId,
    ) -> Result<Option<(Payer, Option<Sale>)>, Error> {
        let known = receipts::find(self.store.reader(), invoice.id.as_str()).await?;
        if let Some(row) = known {
            return Ok(Some((payer_of(&row.payer)?, None)));
        }
        let gateway = &self.payments()?.gateway;
        let subscription = gateway.fetch_subscription(subscription).await?;
        let named = invoice.metadata.get(metadata::CHECKOUT);
        let named = named.or_else(|| subscription.metadata.get(metadata::CHECKOUT));
        let Some(name) = named else {
            return Ok(None);
        };
        let checkout = self.checkout_named(name, &invoice.id).await?;
        if invoice.paid.currency.as_str() != checkout.currency {
            let (id, currency) = (&invoice.id, &invoice.paid.currency);
            let wanted = &checkout.currency;
            let problem = format!("{id} is in {currency}, and the checkout in {wanted}");
            return Err(Error::Payment(problem));
        }
        let sale = self.sale(invoice, &subscription, &checkout).await?;
        Ok(Some((payer_of(&checkout.payer)?, Some(sale))))
    }

    async fn sale(
        &self,
        invoice: &Invoice,
        subscription: &SubscriptionState,
        checkout: &checkout::Model,
    ) -> Result<Sale, Error> {
        let lines = self.lines_of_plans(invoice, subscription, checkout).await?;
        let bought = lines.iter().rev().find(|(_, line)| line.amount > 0);
        let item = bought.map_or_else(
            || checkout.item.clone(),
            |(plan, _)| Item::Plan(plan.clone()).to_string(),
        );
        let lines: Vec<PlanLine> = lines.into_iter().map(|(_, line)| line).collect();
        let time = invoice.paid_at.unwrap_or(invoice.created);
        Ok(Sale {
            checkout: checkout.id,
            item,
            credits: credits_of_lines(&lines),
            expires_at: end_of(&invoice.lines, time),
            subscription: Some(subscription.id.clone()),
            user: None,
            time,
        })
    }

    /// The lines that are for plans, with the names of these. Others, as of what an operator adds, give no credits.
    async fn lines_of_plans(
        &self,
        invoice: &Invoice,
        subscription: &SubscriptionState,
        checkout: &checkout::Model,
    ) -> Result<Vec<(String, PlanLine)>, Error> {
        let mut prices =
            HashMap::from([(&subscription.price, present_price(subscription, checkout))]);
        let mut lines = Vec::new();
        for line in &invoice.lines {
            let Some(id) = &line.price else {
                continue;
            };
            let price = match prices.get(id) {
                Some(price) => price.clone(),
                // What was subscribed to before, or is now.
                None => self.fetch_price(id).await?,
            };
            prices.insert(id, price.clone());
            if let Some(of_plan) = self.line_of_plan(invoice, line, price, checkout)? {
                lines.push(of_plan);
            }
        }
        Ok(lines)
    }

    async fn fetch_price(&self, id: &ObjectId) -> Result<Price, Error> {
        let price = self.payments()?.gateway.fetch_price(id).await?;
        Ok((price.offer, price.amount.map(|money| money.amount)))
    }

    fn line_of_plan(
        &self,
        invoice: &Invoice,
        line: &InvoiceLine,
        (offer, price): Price,
        checkout: &checkout::Model,
    ) -> Result<Option<(String, PlanLine)>, Error> {
        let item = offer.and_then(|offer| offer.parse().ok());
        let Some(Item::Plan(name)) = item else {
            return Ok(None);
        };
        let is_sold_there = checkout.item == Item::Plan(name.clone()).to_string();
        let monthly = match self.plans.get(&name) {
            Some(plan) => plan.monthly_credits,
            None if is_sold_there => store::credits(checkout.credits)?,
            None => {
                let problem = format!("{} is for the plan `{name}`, which is gone", invoice.id);
                return Err(Error::Payment(problem));
            }
        };
        if line.is_proration && price.is_none_or(|price| price < 1) {
            let problem = format!("{} is for a part of what has no price", invoice.id);
            return Err(Error::Payment(problem));
        }
        let line = PlanLine {
            monthly,
            price: price.unwrap_or_default(),
            amount: line.amount.amount,
            is_part: line.is_proration,
        };
        Ok(Some((name, line)))
    }

    /// The payment that paid an invoice, and how much went back of all that did.
    async fn payment_of_invoice(
        &self,
        invoice: &Invoice,
    ) -> Result<(Option<ObjectId>, i64), Error> {
        let gateway = &self.payments()?.gateway;
        let (mut paid, mut refunded) = (None, 0_i64);
        for id in &invoice.payments {
            let payment = gateway.fetch_payment(id).await?;
            let Some(charge) = payment.charge else {
                continue;
            };
            if payment.state != PaymentState::Succeeded {
                continue;
            }
            let charge = gateway.fetch_charge(&charge).await?;
            if charge.refunded.currency != invoice.paid.currency {
                let problem = format!("{id} was given back in another currency");
                return Err(Error::Payment(problem));
            }
            refunded = refunded.saturating_add(charge.refunded.amount);
            paid = paid.or(Some(payment.id));
        }
        Ok((paid, refunded))
    }
}

/// A price that somebody made at Stripe for a subscription of ours counts as what was sold.
fn present_price(subscription: &SubscriptionState, checkout: &checkout::Model) -> Price {
    let offer = subscription.offer.clone();
    let amount = subscription.amount.as_ref().map(|money| money.amount);
    (offer.or_else(|| Some(checkout.item.clone())), amount)
}

/// When credits of an invoice end that was paid at `paid`: with the last period that it is for.
fn end_of(lines: &[InvoiceLine], paid: Time) -> Option<Time> {
    let last = lines.iter().max_by_key(|line| line.end)?;
    Some(end_of_period(last.start, last.end, paid))
}

#[cfg(test)]
mod tests;
