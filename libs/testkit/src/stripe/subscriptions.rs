//! Subscriptions: begun by a checkout, carried on by the clock.

use chrono::{DateTime, Days, Months};
use serde_json::{Value, json};

use super::api::{ApiError, Outcome, list_of, metadata, only};
use super::invoices::Bill;
use super::world::{Order, World, joined, number, text};

impl World {
    /// Begins a subscription whose first invoice is paid, and returns both.
    pub(super) fn begin_subscription(&mut self, customer: &str, order: &Order) -> (String, String) {
        let id = self.put_subscription(customer, order);
        self.emit("customer.subscription.created", &id);
        let invoice = self.bill(&id, "subscription_create");
        self.finalize(&invoice);
        self.collect(&invoice);
        (id, invoice)
    }

    fn put_subscription(&mut self, customer: &str, order: &Order) -> String {
        let price = self.get(&order.price).clone();
        let end = after(self.now, &price["recurring"], 1);
        let id = self.new_id("sub");
        let item = self.new_id("si");
        let item = json!({
            "id": item, "object": "subscription_item", "billed_until": null,
            "billing_thresholds": null, "created": self.now, "current_period_end": end,
            "current_period_start": self.now, "discounts": [], "metadata": {},
            "plan": self.plan_of(&price), "price": price, "quantity": order.quantity,
            "subscription": id, "tax_rates": [],
        });
        let items = list_of(
            vec![item],
            &format!("/v1/subscription_items?subscription={id}"),
        );
        self.periods.insert(id.clone(), 1);
        self.put(joined([
            json!({
                "id": id, "object": "subscription", "application": null,
                "application_fee_percent": null,
                "automatic_tax": {"disabled_reason": null, "enabled": false, "liability": null},
                "billing_cycle_anchor": self.now, "billing_cycle_anchor_config": null,
                "billing_mode": {"flexible": null, "type": "classic"}, "billing_schedules": [],
                "billing_thresholds": null, "cancel_at": null, "cancel_at_period_end": false,
                "canceled_at": null, "cancellation_details": null,
                "collection_method": "charge_automatically", "created": self.now,
                "currency": price["currency"], "customer": customer, "days_until_due": null,
                "default_payment_method": null, "default_source": null, "default_tax_rates": [],
                "description": null, "discounts": [], "ended_at": null,
            }),
            json!({
                "invoice_settings": {"account_tax_ids": null, "issuer": {"type": "self"}},
                "items": items, "latest_invoice": null, "livemode": false,
                "metadata": order.metadata, "next_pending_invoice_item_invoice": null,
                "on_behalf_of": null, "pause_collection": null, "payment_settings": null,
                "pending_invoice_item_interval": null, "pending_setup_intent": null,
                "pending_update": null, "schedule": null, "start_date": self.now,
                "status": "active", "test_clock": null, "transfer_data": null, "trial_end": null,
                "trial_settings": null, "trial_start": null,
            }),
        ]))
    }

    /// Makes the invoice of the present period.
    fn bill(&mut self, id: &str, reason: &'static str) -> String {
        let subscription = self.get(id).clone();
        let item = &subscription["items"]["data"][0];
        let bill = Bill {
            customer: text(&subscription, "customer"),
            subscription: Some(id),
            reason,
            price: text(&item["price"], "id"),
            quantity: number(item, "quantity"),
            period: (
                number(item, "current_period_start"),
                number(item, "current_period_end"),
            ),
        };
        let invoice = self.make_invoice(&bill);
        self.change(id, json!({"latest_invoice": invoice}));
        invoice
    }

    /// A period has ended: the next one begins, or none.
    pub(super) fn renew(&mut self, id: &str) {
        let subscription = self.get(id).clone();
        if subscription["cancel_at_period_end"] == true {
            self.end_subscription(id);
            return;
        }
        let begun = self.periods.entry(id.to_owned()).or_default();
        *begun += 1;
        let begun = *begun;
        let mut items = subscription["items"].clone();
        let item = &mut items["data"][0];
        let anchor = number(&subscription, "billing_cycle_anchor");
        let end = after(anchor, &item["price"]["recurring"], begun);
        item["current_period_start"] = item["current_period_end"].clone();
        item["current_period_end"] = json!(end);
        self.change(id, json!({"items": items}));
        let invoice = self.bill(id, "subscription_cycle");
        self.finalize_later(&invoice);
        self.emit("customer.subscription.updated", id);
    }

    pub(super) fn end_subscription(&mut self, id: &str) {
        self.change(
            id,
            json!({"status": "canceled", "canceled_at": self.now, "ended_at": self.now}),
        );
        let invoices = self.of_kind("invoice");
        let pending: Vec<String> = invoices
            .filter(|invoice| {
                let at = "/parent/subscription_details/subscription";
                invoice.pointer(at).and_then(Value::as_str) == Some(id)
            })
            .map(|invoice| text(invoice, "id").to_owned())
            .collect();
        for invoice in pending {
            // What is open stays open, but nobody collects it.
            self.change(
                &invoice,
                json!({"next_payment_attempt": null, "automatically_finalizes_at": null}),
            );
        }
        self.emit("customer.subscription.deleted", id);
    }

    pub(super) fn update_subscription(&mut self, id: &str, params: &Value) -> Outcome {
        only(params, &["cancel_at_period_end", "metadata"])?;
        self.living(id)?;
        if let Some(ends) = params.get("cancel_at_period_end") {
            self.set_ending(id, ends == "true");
        }
        if params.get("metadata").is_some() {
            self.change(id, json!({"metadata": metadata(params)?}));
        }
        Ok(self.get(id).clone())
    }

    /// Has a subscription end with its period, or go on.
    pub(super) fn set_ending(&mut self, id: &str, ends: bool) {
        let canceled_at = ends.then_some(self.now);
        self.change(
            id,
            json!({"cancel_at_period_end": ends, "canceled_at": canceled_at}),
        );
        self.emit("customer.subscription.updated", id);
    }

    pub(super) fn cancel_subscription(&mut self, id: &str, params: &Value) -> Outcome {
        only(params, &["invoice_now", "prorate", "cancellation_details"])?;
        self.living(id)?;
        self.end_subscription(id);
        Ok(self.get(id).clone())
    }

    /// Stripe knows a subscription that has ended only to those who read it.
    fn living(&self, id: &str) -> Result<(), ApiError> {
        let subscription = self.get(id);
        if subscription["object"] != "subscription" || subscription["status"] == "canceled" {
            return Err(ApiError::missing("id", id));
        }
        Ok(())
    }
}

/// The end of so many periods from `anchor` on. Months keep the anchor's day, or end with their last.
fn after(anchor: i64, recurring: &Value, periods: u32) -> i64 {
    let count = u32::try_from(number(recurring, "interval_count")).unwrap_or(1);
    let count = count.saturating_mul(periods);
    let begin = DateTime::from_timestamp(anchor, 0).expect("the clock is within chrono's time");
    let end = match text(recurring, "interval") {
        "day" => begin.checked_add_days(Days::new(count.into())),
        "week" => begin.checked_add_days(Days::new(u64::from(count) * 7)),
        "year" => begin.checked_add_months(Months::new(count.saturating_mul(12))),
        _ => begin.checked_add_months(Months::new(count)),
    };
    end.expect("a period ends within chrono's time").timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_keep_their_day_where_they_have_it() {
        let at = |day: &str| {
            let time = format!("{day}T12:00:00Z");
            DateTime::parse_from_rfc3339(&time).unwrap().timestamp()
        };
        let month = json!({"interval": "month", "interval_count": 1});
        let anchor = at("2027-01-31");
        assert_eq!(after(anchor, &month, 1), at("2027-02-28"));
        assert_eq!(after(anchor, &month, 2), at("2027-03-31"));
        assert_eq!(after(anchor, &month, 13), at("2028-02-29"));
        let year = json!({"interval": "year", "interval_count": 1});
        assert_eq!(after(at("2028-02-29"), &year, 1), at("2029-02-28"));
    }
}
