//! Checkouts, and what people do on Stripe's page.

use serde_json::{Value, json};

use super::PayOutcome;
use super::api::{ApiError, Outcome, integer, metadata, only, required};
use super::invoices::Bill;
use super::world::{Order, World, joined, number, text};

/// How long a checkout is open, in seconds.
const OPEN: i64 = 24 * 3600;

const KNOWN: [&str; 10] = [
    "cancel_url",
    "client_reference_id",
    "customer",
    "invoice_creation",
    "line_items",
    "metadata",
    "mode",
    "payment_intent_data",
    "subscription_data",
    "success_url",
];

impl World {
    pub(super) fn create_session(&mut self, params: &Value) -> Outcome {
        only(params, &KNOWN)?;
        required(params, "success_url")?;
        let mode = required(params, "mode")?;
        let customer = required(params, "customer")?;
        if self.get(customer)["object"] != "customer" {
            return Err(ApiError::missing("customer", customer));
        }
        let order = self.order(params, mode)?;
        let id = self.new_id("cs_test");
        let session = self.session(&id, params, &order)?;
        self.orders.insert(id.clone(), order);
        self.put(session);
        Ok(self.get(&id).clone())
    }

    /// What is sold: one line, of a price that suits the mode.
    fn order(&self, params: &Value, mode: &str) -> Result<Order, ApiError> {
        let lines = params.get("line_items").and_then(Value::as_array);
        let [line] = lines.map_or(&[] as &[Value], Vec::as_slice) else {
            return Err(ApiError::invalid(
                "parameter_missing",
                "line_items",
                "The fake sells one line at a time.",
            ));
        };
        only(line, &["price", "quantity"])?;
        let id = required(line, "price")?;
        let price = self.get(id);
        if price["object"] != "price" {
            return Err(ApiError::missing("line_items[0][price]", id));
        }
        let (data, wanted) = match mode {
            "payment" => ("payment_intent_data", "one_time"),
            "subscription" => ("subscription_data", "recurring"),
            _ => return Err(invalid("mode", "Invalid mode")),
        };
        if price["type"] != wanted {
            return Err(invalid("line_items", "The price does not suit the mode."));
        }
        let given = params.get(data).cloned().unwrap_or_else(|| json!({}));
        only(&given, &["metadata"])?;
        let invoice = params.pointer("/invoice_creation/enabled");
        Ok(Order {
            price: id.to_owned(),
            quantity: integer(line, "quantity")?.unwrap_or(1),
            metadata: metadata(&given)?,
            has_invoice: invoice.is_some_and(|enabled| enabled == "true"),
        })
    }

    fn session(&self, id: &str, params: &Value, order: &Order) -> Outcome {
        let price = self.get(&order.price);
        let total = number(price, "unit_amount") * order.quantity;
        let given = |name: &str| params.get(name).cloned().unwrap_or_default();
        Ok(joined([
            json!({
                "id": id, "object": "checkout.session", "after_expiration": null,
                "allow_promotion_codes": null, "amount_subtotal": total, "amount_total": total,
                "automatic_tax": {"enabled": false, "liability": null, "provider": null, "status": null},
                "billing_address_collection": null, "cancel_url": given("cancel_url"),
                "client_reference_id": given("client_reference_id"), "client_secret": null,
                "consent": null, "consent_collection": null, "created": self.now,
                "currency": price["currency"], "currency_conversion": null, "custom_fields": [],
                "custom_text": {"after_submit": null, "shipping_address": null, "submit": null,
                    "terms_of_service_acceptance": null},
            }),
            json!({
                "customer": given("customer"), "customer_creation": null, "customer_details": null,
                "customer_email": null, "expires_at": self.now + OPEN, "invoice": null,
                "livemode": false, "locale": null, "metadata": metadata(params)?,
                "mode": given("mode"), "payment_intent": null, "payment_link": null,
                "payment_method_collection": "if_required", "payment_method_types": ["card"],
                "payment_status": "unpaid", "phone_number_collection": {"enabled": false},
                "recovered_from": null, "setup_intent": null, "shipping_cost": null,
                "shipping_options": [], "status": "open", "submit_type": null, "subscription": null,
                "success_url": given("success_url"), "url": format!("{}pay/{id}", self.base),
            }),
        ]))
    }

    pub(super) fn expire_session_by_call(&mut self, id: &str) -> Outcome {
        if self.get(id)["status"] != "open" {
            return Err(invalid("session", "Only open checkouts can be expired."));
        }
        self.expire_session(id);
        Ok(self.get(id).clone())
    }

    pub(super) fn expire_session(&mut self, id: &str) {
        self.change(id, json!({"status": "expired", "url": null}));
        self.emit("checkout.session.expired", id);
    }

    /// Somebody pays on Stripe's page.
    pub(super) fn pay(&mut self, id: &str, outcome: PayOutcome) -> Result<(), String> {
        let session = self.get(id).clone();
        let order = self.orders.get(id).cloned();
        let Some(order) = order.filter(|_| session["status"] == "open") else {
            return Err(format!("{id} is no open checkout"));
        };
        if session["mode"] == "payment" {
            self.pay_once(id, &session, &order, outcome);
        } else {
            self.subscribe(id, &session, &order, outcome);
        }
        Ok(())
    }

    fn pay_once(&mut self, id: &str, session: &Value, order: &Order, outcome: PayOutcome) {
        let customer = text(session, "customer");
        let currency = text(session, "currency");
        let amount = number(session, "amount_total");
        let payment = self.charge(
            (amount, currency),
            customer,
            order.metadata.clone(),
            outcome,
        );
        self.change(id, json!({"payment_intent": payment}));
        if outcome == PayOutcome::Declined {
            return;
        }
        if order.has_invoice {
            let bill = Bill {
                customer,
                subscription: None,
                reason: "manual",
                price: &order.price,
                quantity: order.quantity,
                period: (self.now, self.now),
            };
            let invoice = self.make_invoice(&bill);
            self.finalize(&invoice);
            self.add_payment(&invoice, &payment);
            self.change(id, json!({"invoice": invoice}));
            if outcome == PayOutcome::Succeeds {
                self.mark_paid(&invoice);
            }
        }
        self.complete(id, outcome == PayOutcome::Succeeds);
    }

    fn subscribe(&mut self, id: &str, session: &Value, order: &Order, outcome: PayOutcome) {
        let customer = text(session, "customer");
        if outcome != PayOutcome::Succeeds || self.declined.contains(customer) {
            // A declined card leaves the checkout open, and nobody sees a subscription before it is paid.
            return;
        }
        let (subscription, invoice) = self.begin_subscription(customer, order);
        self.change(
            id,
            json!({"subscription": subscription, "invoice": invoice}),
        );
        self.complete(id, true);
    }

    fn complete(&mut self, id: &str, is_paid: bool) {
        let payment_status = if is_paid { "paid" } else { "unpaid" };
        self.change(
            id,
            json!({"status": "complete", "payment_status": payment_status, "url": null}),
        );
        self.emit("checkout.session.completed", id);
    }

    /// The bank has decided on a payment that took days.
    pub(super) fn settle(&mut self, id: &str, succeeds: bool) -> Result<(), String> {
        let session = self.get(id).clone();
        if session["status"] != "complete" || session["payment_status"] != "unpaid" {
            return Err(format!("{id} waits for no payment"));
        }
        self.settle_payment(text(&session, "payment_intent"), succeeds);
        let invoice = text(&session, "invoice");
        if succeeds {
            if !invoice.is_empty() {
                self.mark_paid(invoice);
            }
            self.change(id, json!({"payment_status": "paid"}));
            self.emit("checkout.session.async_payment_succeeded", id);
        } else {
            self.emit("checkout.session.async_payment_failed", id);
        }
        Ok(())
    }
}

fn invalid(param: &str, message: &str) -> ApiError {
    ApiError::invalid("parameter_invalid", param, message)
}
