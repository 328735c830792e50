//! What operators see of payments. The gauges show what the database holds or the last comparison found, the same at every
//! replica: take the maximum.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use crate::domain::payment::Item;

/// Instruments. Cheap to clone.
#[derive(Clone)]
pub struct PaymentMetrics {
    receipts: Counter<u64>,
    comparisons: Counter<u64>,
    missed: Counter<u64>,
    problems: Arc<AtomicU64>,
    waiting: Arc<AtomicU64>,
}

impl PaymentMetrics {
    /// Instruments of a meter.
    pub(super) fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, unit: &'static str, description: &'static str| {
            let counter = meter.u64_counter(name).with_unit(unit);
            counter.with_description(description).build()
        };
        let made = Self {
            receipts: counter(
                "kinora.billing.receipts",
                "{receipt}",
                "Payments that became receipts",
            ),
            comparisons: counter(
                "kinora.billing.payments.comparisons",
                "{comparison}",
                "Comparisons of receipts with what Stripe says",
            ),
            missed: counter(
                "kinora.billing.stripe.events.missed",
                "{event}",
                "Events that no webhook had brought",
            ),
            problems: gauge(
                meter,
                "kinora.billing.payments.problems",
                "{problem}",
                "What did not add up at the last comparison of payments",
            ),
            waiting: gauge(
                meter,
                "kinora.billing.stripe.events.waiting",
                "{event}",
                "Events of Stripe's that wait to be handled",
            ),
        };
        made.begin();
        made
    }

    /// A rate needs a first value.
    fn begin(&self) {
        for item in ["pack", "plan"] {
            self.receipts.add(0, &[KeyValue::new("item", item)]);
        }
        self.comparisons.add(0, &[]);
        self.missed.add(0, &[]);
    }

    /// Something was paid: an item, by its key.
    pub fn receipt_made(&self, item: &str) {
        let item = match item.parse() {
            Ok(Item::Pack(_)) => "pack",
            Ok(Item::Plan(_)) => "plan",
            Err(_) => return,
        };
        self.receipts.add(1, &[KeyValue::new("item", item)]);
    }

    /// Payments were compared, and so many things do not add up.
    pub fn compared(&self, problems: usize) {
        self.comparisons.add(1, &[]);
        let problems = u64::try_from(problems).unwrap_or(u64::MAX);
        self.problems.store(problems, Ordering::Relaxed);
    }

    /// So many events were found that a webhook should have brought.
    pub fn missed(&self, events: u64) {
        self.missed.add(events, &[]);
    }

    /// So many events wait to be handled.
    pub fn waiting(&self, events: u64) {
        self.waiting.store(events, Ordering::Relaxed);
    }
}

/// 0 from the start on, so that an alarm has something to compare with.
fn gauge(
    meter: &Meter,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
) -> Arc<AtomicU64> {
    let value = Arc::new(AtomicU64::new(0));
    let shown = Arc::clone(&value);
    meter
        .u64_observable_gauge(name)
        .with_unit(unit)
        .with_description(description)
        .with_callback(move |gauge| gauge.observe(shown.load(Ordering::Relaxed), &[]))
        .build();
    value
}
