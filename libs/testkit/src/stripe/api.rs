//! What every call has in common: parameters, refusals, and which call is which.

use serde_json::{Value, json};

use super::world::{World, text};

/// An answer's object, or why there is none.
pub(super) type Outcome = Result<Value, ApiError>;

/// A refusal in Stripe's words.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) code: Option<&'static str>,
    pub(super) param: Option<String>,
    pub(super) message: String,
}

impl ApiError {
    /// A request that is wrong in itself.
    pub(super) fn invalid(code: &'static str, param: &str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            kind: "invalid_request_error",
            code: Some(code),
            param: Some(param.to_owned()),
            message: message.into(),
        }
    }

    pub(super) fn missing(param: &str, id: &str) -> Self {
        Self {
            status: 404,
            ..Self::invalid("resource_missing", param, format!("No such object: '{id}'"))
        }
    }

    /// Stripe itself has broken.
    pub(super) fn broken(status: u16) -> Self {
        Self {
            status,
            kind: "api_error",
            code: None,
            param: None,
            message: "An unknown error occurred".to_owned(),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"error": {
            "type": self.kind, "code": self.code, "param": self.param, "message": self.message,
        }})
    }
}

/// Refuses parameters that Stripe does not know.
pub(super) fn only(params: &Value, known: &[&str]) -> Result<(), ApiError> {
    let mut names = params.as_object().into_iter().flat_map(|map| map.keys());
    match names.find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(ApiError::invalid(
            "parameter_unknown",
            name,
            format!("Received unknown parameter: {name}"),
        )),
        None => Ok(()),
    }
}

/// A parameter that must be there.
pub(super) fn required<'p>(params: &'p Value, name: &str) -> Result<&'p str, ApiError> {
    let text = params.get(name).and_then(Value::as_str);
    text.filter(|text| !text.is_empty()).ok_or_else(|| {
        ApiError::invalid(
            "parameter_missing",
            name,
            format!("Missing required param: {name}."),
        )
    })
}

/// A whole number, if it is there.
pub(super) fn integer(params: &Value, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(value) = params.get(name) else {
        return Ok(None);
    };
    let number = value.as_str().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        ApiError::invalid(
            "parameter_invalid_integer",
            name,
            format!("Invalid integer: {value}"),
        )
    })
}

/// The caller's metadata, which may be missing.
pub(super) fn metadata(params: &Value) -> Result<Value, ApiError> {
    let Some(metadata) = params.get("metadata") else {
        return Ok(json!({}));
    };
    let pairs = metadata.as_object();
    let is_good = pairs.is_some_and(|pairs| {
        pairs.len() <= 50
            && pairs.iter().all(|(name, value)| {
                let value = value.as_str();
                name.chars().count() <= 40 && value.is_some_and(|it| it.chars().count() <= 500)
            })
    });
    if is_good {
        Ok(metadata.clone())
    } else {
        Err(ApiError::invalid(
            "parameter_invalid",
            "metadata",
            "Metadata goes beyond the bounds",
        ))
    }
}

impl World {
    /// Carries out one call.
    pub(super) fn route(&mut self, method: &str, path: &[&str], params: &Value) -> Outcome {
        match (method, path) {
            ("POST", ["customers"]) => self.create_customer(params),
            ("POST", ["products"]) => self.create_product(params),
            ("POST", ["prices"]) => self.create_price(params),
            ("POST", ["checkout", "sessions"]) => self.create_session(params),
            ("POST", ["checkout", "sessions", id, "expire"]) => self.expire_session_by_call(id),
            ("POST", ["billing_portal", "sessions"]) => self.create_portal_session(params),
            ("POST", ["refunds"]) => self.create_refund(params),
            ("POST", ["subscriptions", id]) => self.update_subscription(id, params),
            ("DELETE", ["subscriptions", id]) => self.cancel_subscription(id, params),
            ("GET", ["checkout", "sessions"]) => self.list("checkout.session", params),
            ("GET", ["checkout", "sessions", id]) => self.retrieve("checkout.session", id, params),
            ("GET", [collection]) => self.list(kind_of(collection)?, params),
            ("GET", [collection, id]) => self.retrieve(kind_of(collection)?, id, params),
            _ => Err(unknown_path()),
        }
    }

    fn retrieve(&self, kind: &str, id: &str, params: &Value) -> Outcome {
        only(params, &["expand"])?;
        let object = self.get(id);
        if object["object"] != kind {
            return Err(ApiError::missing("id", id));
        }
        let mut object = object.clone();
        if kind == "subscription" {
            // What is subscribed to is shown as it is now.
            let price = &mut object["items"]["data"][0]["price"];
            *price = self.get(text(price, "id")).clone();
        }
        let expand = params.get("expand").and_then(Value::as_array);
        for field in expand.into_iter().flatten().filter_map(Value::as_str) {
            object[field] = self.expanded(&object, field)?;
        }
        Ok(object)
    }

    /// What an object only names, or leaves out unless it is asked for.
    fn expanded(&self, object: &Value, field: &str) -> Outcome {
        if object["object"] == "invoice" && field == "payments" {
            let payments = self.of_kind("invoice_payment");
            let payments: Vec<Value> = payments
                .filter(|it| it["invoice"] == object["id"])
                .cloned()
                .collect();
            return Ok(list_of(payments, "/v1/invoice_payments"));
        }
        match &object[field] {
            Value::String(id) if !self.get(id).is_null() => Ok(self.get(id).clone()),
            Value::Null if object.get(field).is_some() => Ok(Value::Null),
            _ => Err(ApiError::invalid(
                "parameter_invalid",
                "expand",
                format!("This property cannot be expanded ({field})."),
            )),
        }
    }
}

/// A list that is within an object, or a whole answer.
pub(super) fn list_of(data: Vec<Value>, url: &str) -> Value {
    json!({"object": "list", "data": data, "has_more": false, "url": url})
}

fn kind_of(collection: &str) -> Result<&'static str, ApiError> {
    Ok(match collection {
        "customers" => "customer",
        "products" => "product",
        "prices" => "price",
        "subscriptions" => "subscription",
        "invoices" => "invoice",
        "invoice_payments" => "invoice_payment",
        "payment_intents" => "payment_intent",
        "charges" => "charge",
        "refunds" => "refund",
        "disputes" => "dispute",
        "events" => "event",
        "balance_transactions" => "balance_transaction",
        _ => return Err(unknown_path()),
    })
}

fn unknown_path() -> ApiError {
    ApiError {
        status: 404,
        kind: "invalid_request_error",
        code: None,
        param: None,
        message: "Unrecognized request URL".to_owned(),
    }
}
