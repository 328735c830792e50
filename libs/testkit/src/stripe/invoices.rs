//! Invoices: made, finished, collected.

use serde_json::{Value, json};

use super::PayOutcome;
use super::api::list_of;
use super::world::{World, joined, number, text};

const DAY: i64 = 24 * 3600;

/// Stripe finishes a renewal's invoice an hour after it has made it.
const DRAFT: i64 = 3600;

/// When a payment that failed is tried again: after the first, the second, the third time. Then the subscription ends.
const RETRIES: [i64; 3] = [3 * DAY, 5 * DAY, 7 * DAY];

/// What an invoice is made of.
pub(super) struct Bill<'b> {
    pub(super) customer: &'b str,
    pub(super) subscription: Option<&'b str>,
    pub(super) reason: &'static str,
    pub(super) price: &'b str,
    pub(super) quantity: i64,
    /// What it is for, from and until.
    pub(super) period: (i64, i64),
}

impl World {
    /// Makes a draft and returns its id.
    pub(super) fn make_invoice(&mut self, bill: &Bill<'_>) -> String {
        let id = self.new_id("in");
        let price = self.get(bill.price).clone();
        let total = number(&price, "unit_amount") * bill.quantity;
        let line = self.line(&id, bill, &price);
        let lines = list_of(vec![line], &format!("/v1/invoices/{id}/lines"));
        self.put(joined([json!({
            "id": id, "object": "invoice", "account_country": "US", "account_name": "Kinora",
            "account_tax_ids": null, "amount_due": total, "amount_overpaid": 0, "amount_paid": 0,
            "amount_remaining": total, "amount_shipping": 0, "application": null,
            "attempt_count": 0, "attempted": false, "auto_advance": true,
            "automatic_tax": {"disabled_reason": null, "enabled": false, "liability": null,
                "provider": null, "status": null},
            "automatically_finalizes_at": null, "billing_reason": bill.reason,
            "collection_method": "charge_automatically", "created": self.now,
            "currency": price["currency"], "custom_fields": null, "customer": bill.customer,
            "customer_address": null, "customer_email": null, "customer_name": null,
            "customer_phone": null, "customer_shipping": null, "customer_tax_exempt": "none",
            "customer_tax_ids": [], "default_payment_method": null, "default_source": null,
        }), json!({
            "default_tax_rates": [], "description": null, "discounts": [], "due_date": null,
            "effective_at": null, "ending_balance": null, "footer": null, "from_invoice": null,
            "hosted_invoice_url": null, "invoice_pdf": null, "issuer": {"type": "self"},
            "last_finalization_error": null, "latest_revision": null, "lines": lines,
            "livemode": false, "metadata": {}, "next_payment_attempt": null, "number": null,
            "on_behalf_of": null, "parent": self.parent(bill),
            "payment_settings": {"default_mandate": null, "payment_method_options": null,
                "payment_method_types": null},
            "period_end": self.now, "period_start": self.now,
            "post_payment_credit_notes_amount": 0, "pre_payment_credit_notes_amount": 0,
        }), json!({
            "receipt_number": null, "rendering": null, "shipping_cost": null,
            "shipping_details": null, "starting_balance": 0, "statement_descriptor": null,
            "status": "draft", "status_transitions": {"finalized_at": null,
                "marked_uncollectible_at": null, "paid_at": null, "voided_at": null},
            "subtotal": total, "subtotal_excluding_tax": total, "test_clock": null,
            "total": total, "total_discount_amounts": [], "total_excluding_tax": total,
            "total_pretax_credit_amounts": [], "total_taxes": [], "webhooks_delivered_at": null,
        })]));
        self.emit("invoice.created", &id);
        id
    }

    fn parent(&self, bill: &Bill<'_>) -> Value {
        let Some(subscription) = bill.subscription else {
            return Value::Null;
        };
        json!({
            "type": "subscription_details", "quote_details": null,
            "subscription_details": {
                "metadata": self.get(subscription)["metadata"], "subscription": subscription,
                "subscription_proration_date": null,
            },
        })
    }

    fn line(&mut self, invoice: &str, bill: &Bill<'_>, price: &Value) -> Value {
        let amount = number(price, "unit_amount") * bill.quantity;
        let parent = bill.subscription.map(|id| {
            let item = self.get(id).pointer("/items/data/0/id");
            json!({
                "type": "subscription_item_details", "invoice_item_details": null,
                "subscription_item_details": {
                    "invoice_item": null, "proration": false,
                    "proration_details": {"credited_items": null}, "subscription": id,
                    "subscription_item": item,
                },
            })
        });
        let id = self.new_id("il");
        let (start, end) = bill.period;
        json!({
            "id": id, "object": "line_item", "amount": amount, "currency": price["currency"],
            "description": null, "discount_amounts": [], "discountable": true, "discounts": [],
            "invoice": invoice, "livemode": false, "metadata": {}, "parent": parent,
            "period": {"start": start, "end": end}, "pretax_credit_amounts": [],
            "pricing": {"type": "price_details", "unit_amount_decimal": price["unit_amount_decimal"],
                "price_details": {"price": price["id"], "product": price["product"]}},
            "quantity": bill.quantity, "subtotal": amount, "taxes": [],
        })
    }

    /// Leaves a draft as it is for an hour.
    pub(super) fn finalize_later(&mut self, id: &str) {
        let at = self.now + DRAFT;
        self.change(id, json!({"automatically_finalizes_at": at}));
    }

    /// From now on it asks for money and does not change.
    pub(super) fn finalize(&mut self, id: &str) {
        let url = format!("{}invoice/{id}", self.base);
        self.change(
            id,
            json!({"status": "open", "number": format!("KINORA-{id}"), "hosted_invoice_url": url,
                "automatically_finalizes_at": null, "effective_at": self.now}),
        );
        self.change_transition(id, "finalized_at");
        self.emit("invoice.finalized", id);
    }

    fn change_transition(&mut self, id: &str, name: &str) {
        let mut transitions = self.get(id)["status_transitions"].clone();
        transitions[name] = json!(self.now);
        self.change(id, json!({"status_transitions": transitions}));
    }

    /// What the clock has an invoice do: a draft is finished, an open one is collected.
    pub(super) fn advance_invoice(&mut self, id: &str) {
        if self.get(id)["status"] == "draft" {
            self.finalize(id);
        }
        self.collect(id);
    }

    /// Charges the customer's card for an open invoice.
    pub(super) fn collect(&mut self, id: &str) {
        let invoice = self.get(id).clone();
        let customer = text(&invoice, "customer");
        let tries = number(&invoice, "attempt_count") + 1;
        self.change(id, json!({"attempt_count": tries, "attempted": true}));
        let amount = number(&invoice, "amount_due");
        let outcome = if self.declined.contains(customer) {
            PayOutcome::Declined
        } else {
            PayOutcome::Succeeds
        };
        let currency = text(&invoice, "currency");
        let payment = self.charge((amount, currency), customer, json!({}), outcome);
        self.add_payment(id, &payment);
        if outcome == PayOutcome::Succeeds {
            self.mark_paid(id);
        } else {
            self.note_failure(id, tries);
        }
    }

    /// Notes that a payment is for an invoice.
    pub(super) fn add_payment(&mut self, invoice: &str, payment: &str) {
        let is_paid = self.get(payment)["status"] == "succeeded";
        let amount = self.get(payment)["amount"].clone();
        let paid_at = is_paid.then_some(self.now);
        let id = self.new_id("inpay");
        self.put(json!({
            "id": id, "object": "invoice_payment", "amount_paid": is_paid.then_some(&amount),
            "amount_requested": amount, "created": self.now,
            "currency": self.get(payment)["currency"], "invoice": invoice, "is_default": true,
            "livemode": false, "payment": {"type": "payment_intent", "payment_intent": payment},
            "status": if is_paid { "paid" } else { "open" },
            "status_transitions": {"canceled_at": null, "paid_at": paid_at},
        }));
    }

    pub(super) fn mark_paid(&mut self, id: &str) {
        let total = self.get(id)["amount_due"].clone();
        self.change(
            id,
            json!({"status": "paid", "amount_paid": total, "amount_remaining": 0,
                "next_payment_attempt": null}),
        );
        self.change_transition(id, "paid_at");
        self.emit("invoice.paid", id);
        self.emit("invoice.payment_succeeded", id);
        self.set_subscription_status(id, "active");
    }

    fn note_failure(&mut self, id: &str, tries: i64) {
        let tries = usize::try_from(tries).unwrap_or(usize::MAX);
        let pause = RETRIES.get(tries.saturating_sub(1));
        let next = pause.map(|pause| self.now + pause);
        self.change(id, json!({"next_payment_attempt": next}));
        self.emit("invoice.payment_failed", id);
        if next.is_some() {
            self.set_subscription_status(id, "past_due");
        } else if let Some(subscription) = self.subscription_of(id) {
            self.end_subscription(&subscription);
        }
    }

    fn set_subscription_status(&mut self, invoice: &str, status: &str) {
        let Some(id) = self.subscription_of(invoice) else {
            return;
        };
        let present = text(self.get(&id), "status");
        if present != status && present != "canceled" {
            self.change(&id, json!({"status": status}));
            self.emit("customer.subscription.updated", &id);
        }
    }

    fn subscription_of(&self, invoice: &str) -> Option<String> {
        let at = "/parent/subscription_details/subscription";
        let id = self.get(invoice).pointer(at)?.as_str()?;
        Some(id.to_owned())
    }
}
