//! All that the fake knows: its clock, its objects, and what happened to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::deliveries::Outbox;
use super::faults::ApiFault;
use super::server::{Kept, StripeRequest};

/// The version of the interface whose shapes these are.
pub(super) const API_VERSION: &str = "2026-09-30.endive";

/// The state of the fake. Nothing in it waits or sends; the clock is its own.
pub(super) struct World {
    /// Seconds of Unix.
    pub(super) now: i64,
    /// Where the fake is reached, with a `/` at the end.
    pub(super) base: String,
    pub(super) kept: BTreeMap<String, Kept>,
    pub(super) faults: VecDeque<(&'static str, ApiFault)>,
    /// By the number of the call, from 0.
    pub(super) planned: BTreeMap<usize, ApiFault>,
    pub(super) requests: Vec<StripeRequest>,
    pub(super) outbox: Outbox,
    /// Customers whose card is declined.
    pub(super) declined: BTreeSet<String>,
    /// What a checkout was opened with and its object does not show.
    pub(super) orders: BTreeMap<String, Order>,
    /// How many periods of each subscription have begun.
    pub(super) periods: BTreeMap<String, u32>,
    counters: BTreeMap<&'static str, u64>,
    objects: BTreeMap<String, Value>,
    /// The ids by the kind of the object, oldest first.
    made: BTreeMap<String, Vec<String>>,
}

/// What a checkout sells, and what is written on what it leads to.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) price: String,
    pub(super) quantity: i64,
    pub(super) metadata: Value,
    pub(super) has_invoice: bool,
}

impl World {
    pub(super) fn new(now: i64, base: String) -> Self {
        Self {
            now,
            base,
            kept: BTreeMap::new(),
            faults: VecDeque::new(),
            planned: BTreeMap::new(),
            requests: Vec::new(),
            outbox: Outbox::default(),
            declined: BTreeSet::new(),
            orders: BTreeMap::new(),
            periods: BTreeMap::new(),
            counters: BTreeMap::new(),
            objects: BTreeMap::new(),
            made: BTreeMap::new(),
        }
    }

    /// The next id of its kind, counted from 1.
    pub(super) fn new_id(&mut self, prefix: &'static str) -> String {
        let counter = self.counters.entry(prefix).or_default();
        *counter += 1;
        format!("{prefix}_{counter:08}")
    }

    /// Keeps a new object under its `id`, which it returns.
    pub(super) fn put(&mut self, object: Value) -> String {
        let id = text(&object, "id").to_owned();
        let kind = text(&object, "object").to_owned();
        self.made.entry(kind).or_default().push(id.clone());
        self.objects.insert(id.clone(), object);
        id
    }

    /// An object, or null.
    pub(super) fn get(&self, id: &str) -> &Value {
        self.objects.get(id).unwrap_or(&Value::Null)
    }

    /// Changes fields of an object.
    pub(super) fn change(&mut self, id: &str, fields: Value) {
        let object = self.objects.get_mut(id);
        let object = object.unwrap_or_else(|| panic!("the fake has no {id}"));
        for (name, value) in fields.as_object().into_iter().flatten() {
            object[name] = value.clone();
        }
    }

    /// Objects of a kind, oldest first.
    pub(super) fn of_kind(&self, kind: &str) -> impl DoubleEndedIterator<Item = &Value> {
        let ids = self.made.get(kind).into_iter().flatten();
        ids.map(|id| self.get(id))
    }

    /// Notes that something happened to an object, as it is now, and has it delivered.
    pub(super) fn emit(&mut self, name: &str, id: &str) {
        let event = self.new_id("evt");
        let object = self.get(id).clone();
        self.put(json!({
            "id": event, "object": "event", "api_version": API_VERSION, "created": self.now,
            "data": {"object": object}, "livemode": false,
            "pending_webhooks": self.outbox.endpoints.len(),
            "request": {"id": null, "idempotency_key": null}, "type": name,
        }));
        self.outbox.enqueue(&event, name, self.now);
    }
}

/// One object of several parts; the macro that writes them takes no long ones.
pub(super) fn joined<const N: usize>(parts: [Value; N]) -> Value {
    let fields = parts.into_iter().filter_map(|part| match part {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    Value::Object(fields.flatten().collect())
}

/// A field of an object that is a text; empty when it is none.
pub(super) fn text<'o>(object: &'o Value, field: &str) -> &'o str {
    object[field].as_str().unwrap_or_default()
}

/// A field of an object that is a whole number; 0 when it is none.
pub(super) fn number(object: &Value, field: &str) -> i64 {
    object[field].as_i64().unwrap_or_default()
}
