//! Customers, products and prices.

use serde_json::{Value, json};

use super::api::{ApiError, Outcome, integer, metadata, only, required};
use super::world::{World, number, text};

impl World {
    pub(super) fn create_customer(&mut self, params: &Value) -> Outcome {
        only(params, &["metadata", "email", "name", "description"])?;
        let metadata = metadata(params)?;
        let id = self.new_id("cus");
        let given = |name: &str| params.get(name).cloned().unwrap_or_default();
        self.put(json!({
            "id": id, "object": "customer", "address": null, "balance": 0, "created": self.now,
            "currency": null, "default_source": null, "delinquent": false,
            "description": given("description"), "email": given("email"), "livemode": false,
            "metadata": metadata, "name": given("name"), "phone": null, "preferred_locales": [],
            "shipping": null, "tax_exempt": "none", "test_clock": null,
        }));
        self.emit("customer.created", &id);
        Ok(self.get(&id).clone())
    }

    pub(super) fn create_product(&mut self, params: &Value) -> Outcome {
        only(params, &["name", "metadata", "description"])?;
        let name = required(params, "name")?.to_owned();
        let metadata = metadata(params)?;
        let id = self.put_product(&name, metadata);
        Ok(self.get(&id).clone())
    }

    fn put_product(&mut self, name: &str, metadata: Value) -> String {
        let id = self.new_id("prod");
        self.put(json!({
            "id": id, "object": "product", "active": true, "created": self.now,
            "default_price": null, "description": null, "images": [], "livemode": false,
            "marketing_features": [], "metadata": metadata, "name": name,
            "package_dimensions": null, "shippable": null, "statement_descriptor": null,
            "tax_code": null, "type": "service", "unit_label": null, "updated": self.now,
            "url": null,
        }));
        self.emit("product.created", &id);
        id
    }

    pub(super) fn create_price(&mut self, params: &Value) -> Outcome {
        only(
            params,
            &[
                "currency",
                "unit_amount",
                "product",
                "product_data",
                "recurring",
                "lookup_key",
                "transfer_lookup_key",
                "metadata",
                "nickname",
            ],
        )?;
        let currency = currency(params)?;
        let amount = integer(params, "unit_amount")?.filter(|amount| *amount >= 0);
        let amount = amount.ok_or_else(|| {
            ApiError::invalid("parameter_missing", "unit_amount", "Missing unit_amount")
        })?;
        let recurring = recurring(params)?;
        let metadata = metadata(params)?;
        let lookup_key = params.get("lookup_key").cloned().unwrap_or_default();
        self.free_lookup_key(&lookup_key, params)?;
        let product = self.product_of(params)?;
        let kind = if recurring.is_null() {
            "one_time"
        } else {
            "recurring"
        };
        let id = self.new_id("price");
        self.put(json!({
            "id": id, "object": "price", "active": true, "billing_scheme": "per_unit",
            "created": self.now, "currency": currency, "custom_unit_amount": null,
            "livemode": false, "lookup_key": lookup_key, "metadata": metadata, "nickname": null,
            "product": product, "recurring": recurring, "tax_behavior": "unspecified",
            "tiers_mode": null, "transform_quantity": null, "type": kind,
            "unit_amount": amount, "unit_amount_decimal": amount.to_string(),
        }));
        self.emit("price.created", &id);
        Ok(self.get(&id).clone())
    }

    /// Takes the key from the price that has it, when the caller says so.
    fn free_lookup_key(&mut self, key: &Value, params: &Value) -> Result<(), ApiError> {
        let holder = self
            .of_kind("price")
            .find(|price| !key.is_null() && price["lookup_key"] == *key)
            .map(|price| text(price, "id").to_owned());
        let Some(holder) = holder else {
            return Ok(());
        };
        if params["transfer_lookup_key"] != "true" {
            return Err(ApiError::invalid(
                "parameter_invalid",
                "lookup_key",
                "A price already uses that lookup key.",
            ));
        }
        self.change(&holder, json!({"lookup_key": null}));
        Ok(())
    }

    fn product_of(&mut self, params: &Value) -> Result<String, ApiError> {
        match (params.get("product"), params.get("product_data")) {
            (Some(Value::String(id)), None) if self.get(id)["object"] == "product" => {
                Ok(id.clone())
            }
            (Some(id), None) => Err(ApiError::missing("product", &id.to_string())),
            (None, Some(data)) => {
                only(data, &["name", "metadata"])?;
                let name = required(data, "name")?;
                let metadata = metadata(data)?;
                Ok(self.put_product(name, metadata))
            }
            _ => Err(ApiError::invalid(
                "parameter_missing",
                "product",
                "Exactly one of product and product_data is needed.",
            )),
        }
    }

    pub(super) fn create_portal_session(&mut self, params: &Value) -> Outcome {
        only(params, &["customer", "return_url"])?;
        let customer = required(params, "customer")?.to_owned();
        if self.get(&customer)["object"] != "customer" {
            return Err(ApiError::missing("customer", &customer));
        }
        let id = self.new_id("bps");
        let url = format!("{}portal/{id}", self.base);
        self.put(json!({
            "id": id, "object": "billing_portal.session", "configuration": "bpc_00000001",
            "created": self.now, "customer": customer, "flow": null, "livemode": false,
            "locale": null, "on_behalf_of": null, "return_url": params.get("return_url"),
            "url": url,
        }));
        Ok(self.get(&id).clone())
    }

    /// The plan of older versions, which subscriptions still carry beside their price.
    pub(super) fn plan_of(&self, price: &Value) -> Value {
        json!({
            "id": price["id"], "object": "plan", "active": true,
            "amount": number(price, "unit_amount"),
            "amount_decimal": price["unit_amount_decimal"], "billing_scheme": "per_unit",
            "created": price["created"], "currency": price["currency"],
            "interval": price["recurring"]["interval"],
            "interval_count": price["recurring"]["interval_count"], "livemode": false,
            "metadata": {}, "meter": null, "nickname": null, "product": price["product"],
            "tiers_mode": null, "transform_usage": null, "trial_period_days": null,
            "usage_type": "licensed",
        })
    }
}

/// A currency as Stripe wants it; which there are is not known here.
fn currency(params: &Value) -> Result<&str, ApiError> {
    let code = required(params, "currency")?;
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_lowercase()) {
        Ok(code)
    } else {
        Err(ApiError::invalid(
            "parameter_invalid",
            "currency",
            "Invalid currency",
        ))
    }
}

fn recurring(params: &Value) -> Result<Value, ApiError> {
    let Some(recurring) = params.get("recurring") else {
        return Ok(Value::Null);
    };
    only(recurring, &["interval", "interval_count"])?;
    let interval = required(recurring, "interval")?;
    let count = integer(recurring, "interval_count")?.unwrap_or(1);
    if !["day", "week", "month", "year"].contains(&interval) || count < 1 {
        return Err(ApiError::invalid(
            "parameter_invalid",
            "recurring",
            "Invalid interval",
        ));
    }
    Ok(json!({
        "interval": interval, "interval_count": count, "meter": null,
        "trial_period_days": null, "usage_type": "licensed",
    }))
}
