//! Lists: newest first, filtered, in pages.

use serde_json::{Value, json};

use super::api::{ApiError, Outcome, integer, only};
use super::world::World;

/// What lists can be narrowed by: the parameter, and where the object has it.
const FILTERS: [(&str, &str, &str); 14] = [
    ("charge", "payment_intent", "/payment_intent"),
    ("charge", "customer", "/customer"),
    ("checkout.session", "payment_intent", "/payment_intent"),
    ("checkout.session", "subscription", "/subscription"),
    ("checkout.session", "customer", "/customer"),
    ("dispute", "charge", "/charge"),
    ("dispute", "payment_intent", "/payment_intent"),
    ("event", "type", "/type"),
    ("invoice", "customer", "/customer"),
    ("invoice_payment", "invoice", "/invoice"),
    ("price", "product", "/product"),
    ("refund", "charge", "/charge"),
    ("refund", "payment_intent", "/payment_intent"),
    ("subscription", "customer", "/customer"),
];

impl World {
    pub(super) fn list(&self, kind: &str, params: &Value) -> Outcome {
        check_names(kind, params)?;
        let limit = match integer(params, "limit")?.unwrap_or(10) {
            limit @ 1..=100 => usize::try_from(limit).unwrap_or(10),
            _ => return Err(out_of_range("limit")),
        };
        let mut items = self.of_kind(kind).rev();
        if let Some(after) = params.get("starting_after").and_then(Value::as_str) {
            // Walks up to it; what comes next is the page.
            if !items.any(|item| item["id"] == after) {
                return Err(ApiError::missing("starting_after", after));
            }
        }
        let range = Range::of(params)?;
        let mut fitting = items.filter(|item| range.contains(item) && fits(kind, item, params));
        let data: Vec<Value> = fitting.by_ref().take(limit).cloned().collect();
        let has_more = fitting.next().is_some();
        Ok(json!({
            "object": "list", "data": data, "has_more": has_more, "url": format!("/v1/{kind}s"),
        }))
    }
}

fn check_names(kind: &str, params: &Value) -> Result<(), ApiError> {
    let mut known = vec!["limit", "starting_after", "created"];
    let filters = FILTERS.iter().filter(|filter| filter.0 == kind);
    known.extend(filters.map(|filter| filter.1));
    match kind {
        "price" => known.extend(["active", "lookup_keys"]),
        "event" => known.push("types"),
        "invoice_payment" => known.push("payment"),
        _ => {}
    }
    only(params, &known)
}

fn fits(kind: &str, item: &Value, params: &Value) -> bool {
    let filters = FILTERS.iter().filter(|filter| filter.0 == kind);
    let mut wanted = filters.filter_map(|(_, name, at)| Some((params.get(name)?, at)));
    let active = params.get("active").and_then(Value::as_str);
    let payment = params.pointer("/payment/payment_intent");
    wanted.all(|(value, at)| item.pointer(at) == Some(value))
        && is_one_of(&item["lookup_key"], params.get("lookup_keys"))
        && is_one_of(&item["type"], params.get("types"))
        && active.is_none_or(|active| item["active"] == Value::Bool(active == "true"))
        && payment.is_none_or(|it| item.pointer("/payment/payment_intent") == Some(it))
}

fn is_one_of(value: &Value, wanted: Option<&Value>) -> bool {
    match wanted.and_then(Value::as_array) {
        Some(wanted) => wanted.contains(value),
        None => true,
    }
}

/// The seconds within which something was made.
struct Range {
    from: i64,
    until: i64,
}

impl Range {
    fn of(params: &Value) -> Result<Self, ApiError> {
        let mut range = Self {
            from: i64::MIN,
            until: i64::MAX,
        };
        let Some(created) = params.get("created") else {
            return Ok(range);
        };
        only(created, &["gt", "gte", "lt", "lte"])?;
        for (name, value) in created.as_object().into_iter().flatten() {
            let value = value.as_str().and_then(|text| text.parse::<i64>().ok());
            let value = value.ok_or_else(|| out_of_range("created"))?;
            match name.as_str() {
                "gt" => range.from = range.from.max(value.saturating_add(1)),
                "gte" => range.from = range.from.max(value),
                "lt" => range.until = range.until.min(value),
                _ => range.until = range.until.min(value.saturating_add(1)),
            }
        }
        Ok(range)
    }

    fn contains(&self, item: &Value) -> bool {
        let created = item["created"].as_i64().unwrap_or_default();
        (self.from..self.until).contains(&created)
    }
}

fn out_of_range(param: &str) -> ApiError {
    ApiError::invalid("parameter_invalid", param, format!("Invalid {param}"))
}
