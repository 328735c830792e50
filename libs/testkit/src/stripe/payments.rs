//! Payments, refunds, disputes, and the balance that they move.

use serde_json::{Value, json};

use super::PayOutcome;
use super::api::{ApiError, Outcome, integer, metadata, only};
use super::world::{World, joined, number, text};

/// Stripe's fee for a dispute, in cents.
const DISPUTE_FEE: i64 = 1500;

impl World {
    /// Charges a customer's card, and returns the payment.
    pub(super) fn charge(
        &mut self,
        (amount, currency): (i64, &str),
        customer: &str,
        metadata: Value,
        outcome: PayOutcome,
    ) -> String {
        let payment = self.new_id("pi");
        self.put(json!({
            "id": payment, "object": "payment_intent", "amount": amount, "amount_capturable": 0,
            "amount_received": 0, "automatic_payment_methods": null, "canceled_at": null,
            "cancellation_reason": null, "capture_method": "automatic", "client_secret": null,
            "confirmation_method": "automatic", "created": self.now, "currency": currency,
            "customer": customer, "description": null, "last_payment_error": null,
            "latest_charge": null, "livemode": false, "metadata": metadata, "next_action": null,
            "on_behalf_of": null, "payment_method": null, "payment_method_types": ["card"],
            "processing": null, "receipt_email": null, "review": null, "setup_future_usage": null,
            "shipping": null, "status": "requires_payment_method", "transfer_group": null,
        }));
        self.emit("payment_intent.created", &payment);
        let charge = self.put_charge(&payment);
        self.change(&payment, json!({"latest_charge": charge}));
        match outcome {
            PayOutcome::Succeeds => self.succeed(&payment, &charge),
            PayOutcome::Declined => self.fail(&payment, &charge),
            PayOutcome::TakesDays => {
                self.change(&payment, json!({"status": "processing"}));
                self.emit("charge.pending", &charge);
                self.emit("payment_intent.processing", &payment);
            }
        }
        payment
    }

    fn put_charge(&mut self, payment: &str) -> String {
        let intent = self.get(payment).clone();
        let id = self.new_id("ch");
        self.put(joined([json!({
            "id": id, "object": "charge", "amount": intent["amount"], "amount_captured": 0,
            "amount_refunded": 0, "application": null, "application_fee": null,
            "application_fee_amount": null, "balance_transaction": null,
            "billing_details": {"address": null, "email": null, "name": null, "phone": null,
                "tax_id": null},
            "calculated_statement_descriptor": "KINORA", "captured": false, "created": self.now,
            "currency": intent["currency"], "customer": intent["customer"], "description": null,
            "disputed": false, "failure_balance_transaction": null, "failure_code": null,
            "failure_message": null, "fraud_details": {}, "livemode": false,
        }), json!({
            "metadata": intent["metadata"], "on_behalf_of": null, "outcome": null, "paid": false,
            "payment_intent": payment, "payment_method": null, "payment_method_details": null,
            "receipt_email": null, "receipt_number": null, "receipt_url": null, "refunded": false,
            "review": null, "shipping": null, "source_transfer": null,
            "statement_descriptor": null, "status": "pending", "transfer_data": null,
            "transfer_group": null,
        })]))
    }

    fn succeed(&mut self, payment: &str, charge: &str) {
        let amount = number(self.get(charge), "amount");
        let fee = amount * 29 / 1000 + 30;
        let movement = self.move_balance("charge", charge, amount, fee);
        self.change(
            charge,
            json!({"status": "succeeded", "paid": true, "captured": true,
                "amount_captured": amount, "balance_transaction": movement}),
        );
        self.change(
            payment,
            json!({"status": "succeeded", "amount_received": amount}),
        );
        self.emit("charge.succeeded", charge);
        self.emit("payment_intent.succeeded", payment);
    }

    fn fail(&mut self, payment: &str, charge: &str) {
        self.change(
            charge,
            json!({"status": "failed", "failure_code": "card_declined",
                "failure_message": "Your card was declined."}),
        );
        self.change(payment, json!({"status": "requires_payment_method"}));
        self.emit("charge.failed", charge);
        self.emit("payment_intent.payment_failed", payment);
    }

    pub(super) fn settle_payment(&mut self, payment: &str, succeeds: bool) {
        let charge = text(self.get(payment), "latest_charge").to_owned();
        if succeeds {
            self.succeed(payment, &charge);
        } else {
            self.fail(payment, &charge);
        }
    }

    fn move_balance(&mut self, kind: &str, source: &str, amount: i64, fee: i64) -> String {
        let id = self.new_id("txn");
        let currency = self.get(source)["currency"].clone();
        let fees = match fee {
            0 => json!([]),
            fee => json!([{"amount": fee, "application": null, "currency": currency,
                "description": "Stripe processing fees", "type": "stripe_fee"}]),
        };
        let category = if kind == "adjustment" {
            "dispute"
        } else {
            kind
        };
        self.put(json!({
            "id": id, "object": "balance_transaction", "amount": amount,
            "available_on": self.now + 2 * 24 * 3600, "balance_type": "payments",
            "created": self.now, "currency": currency, "description": null,
            "exchange_rate": null, "fee": fee, "fee_details": fees, "net": amount - fee,
            "reporting_category": category, "source": source, "status": "pending", "type": kind,
        }))
    }

    pub(super) fn create_refund(&mut self, params: &Value) -> Outcome {
        only(
            params,
            &["amount", "charge", "payment_intent", "metadata", "reason"],
        )?;
        let payment = params["payment_intent"].as_str().unwrap_or_default();
        let charge = match params["charge"].as_str() {
            Some(charge) => charge.to_owned(),
            None => text(self.get(payment), "latest_charge").to_owned(),
        };
        let amount = integer(params, "amount")?;
        let refund = self.refund(&charge, amount, metadata(params)?)?;
        Ok(self.get(&refund).clone())
    }

    /// Gives back a part of a charge, or all that is left.
    pub(super) fn refund(
        &mut self,
        charge_id: &str,
        amount: Option<i64>,
        metadata: Value,
    ) -> Result<String, ApiError> {
        let charge = self.get(charge_id).clone();
        let amount = refundable(&charge, charge_id, amount)?;
        let id = self.new_id("re");
        self.put(json!({
            "id": id, "object": "refund", "amount": amount, "balance_transaction": null,
            "charge": charge_id, "created": self.now, "currency": charge["currency"],
            "metadata": metadata, "payment_intent": charge["payment_intent"], "reason": null,
            "receipt_number": null, "source_transfer_reversal": null, "status": "succeeded",
            "transfer_reversal": null,
        }));
        let movement = self.move_balance("refund", &id, -amount, 0);
        self.change(&id, json!({"balance_transaction": movement}));
        self.count_refunded(charge_id, amount);
        self.emit("refund.created", &id);
        self.emit("charge.refunded", charge_id);
        Ok(id)
    }

    fn count_refunded(&mut self, charge: &str, amount: i64) {
        let refunded = number(self.get(charge), "amount_refunded") + amount;
        let is_all = refunded == number(self.get(charge), "amount");
        self.change(
            charge,
            json!({"amount_refunded": refunded, "refunded": is_all}),
        );
    }

    /// The payer's bank would not take a refund.
    pub(super) fn fail_refund(&mut self, id: &str) -> Result<(), String> {
        let refund = self.get(id).clone();
        if refund["object"] != "refund" || refund["status"] != "succeeded" {
            return Err(format!("{id} is no refund that was done"));
        }
        let amount = number(&refund, "amount");
        let movement = self.move_balance("refund_failure", id, amount, 0);
        self.change(
            id,
            json!({"status": "failed", "failure_reason": "expired_or_canceled_card",
                "failure_balance_transaction": movement}),
        );
        self.count_refunded(text(&refund, "charge"), -amount);
        self.emit("refund.failed", id);
        Ok(())
    }

    /// The payer's bank takes a payment back, until it has decided.
    pub(super) fn open_dispute(&mut self, payment: &str) -> Result<String, String> {
        let charge_id = text(self.get(payment), "latest_charge").to_owned();
        let charge = self.get(&charge_id).clone();
        if charge["status"] != "succeeded" || charge["disputed"] == true {
            return Err(format!("{payment} cannot be disputed"));
        }
        let id = self.new_id("dp");
        let amount = number(&charge, "amount");
        self.put(json!({
            "id": id, "object": "dispute", "amount": amount, "balance_transactions": [],
            "charge": charge_id, "created": self.now, "currency": charge["currency"],
            "enhanced_eligibility_types": [], "evidence": {"enhanced_evidence": {}},
            "evidence_details": {"due_by": self.now + 7 * 24 * 3600, "enhanced_eligibility": {},
                "has_evidence": false, "past_due": false, "submission_count": 0},
            "is_charge_refundable": false, "livemode": false, "metadata": {},
            "payment_intent": payment, "reason": "fraudulent", "status": "needs_response",
        }));
        self.change(&charge_id, json!({"disputed": true}));
        self.move_for_dispute(&id, -amount, DISPUTE_FEE);
        self.emit("charge.dispute.created", &id);
        self.emit("charge.dispute.funds_withdrawn", &id);
        Ok(id)
    }

    fn move_for_dispute(&mut self, id: &str, amount: i64, fee: i64) {
        let movement = self.move_balance("adjustment", id, amount, fee);
        let mut movements = self.get(id)["balance_transactions"].clone();
        if let Value::Array(movements) = &mut movements {
            movements.push(self.get(&movement).clone());
        }
        self.change(id, json!({"balance_transactions": movements}));
    }

    /// The payer's bank has decided.
    pub(super) fn close_dispute(&mut self, id: &str, is_won: bool) -> Result<(), String> {
        let dispute = self.get(id).clone();
        if dispute["status"] != "needs_response" {
            return Err(format!("{id} is no open dispute"));
        }
        let status = if is_won { "won" } else { "lost" };
        self.change(id, json!({"status": status}));
        if is_won {
            self.move_for_dispute(id, number(&dispute, "amount"), 0);
            self.emit("charge.dispute.funds_reinstated", id);
        }
        self.emit("charge.dispute.closed", id);
        Ok(())
    }
}

/// How much of a charge is given back, or why nothing is.
fn refundable(charge: &Value, id: &str, amount: Option<i64>) -> Result<i64, ApiError> {
    if charge["object"] != "charge" {
        return Err(ApiError::missing("charge", id));
    }
    let refuse = |code, message: &str| Err(ApiError::invalid(code, "amount", message));
    let left = number(charge, "amount_captured") - number(charge, "amount_refunded");
    let amount = amount.unwrap_or(left);
    if charge["disputed"] == true {
        return refuse("charge_disputed", "The charge has been charged back.");
    }
    if left == 0 {
        return refuse("charge_already_refunded", "Nothing of the charge is left.");
    }
    if amount < 1 || amount > left {
        return refuse(
            "amount_too_large",
            "Refund amount is greater than what is left.",
        );
    }
    Ok(amount)
}
