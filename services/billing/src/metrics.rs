//! What operators see. Every name, with its unit and labels, is in `docs/metrics.md`.
//!
//! Counters and histograms count what this process did. The gauge shows what the last check of the ledger found, which is
//! the same at every replica: take the maximum over replicas.

mod payments;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram, Meter};
use opentelemetry::{KeyValue, global};

use crate::domain::credits::Credits;
use crate::domain::refusal::Refusal;

pub use payments::PaymentMetrics;

/// Names the meter.
const SCOPE: &str = "kinora-billing";

/// Seconds, for what takes as long as a transaction.
const TRANSACTION_SECONDS: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

/// Why jobs are not accepted.
const REFUSALS: [&str; 5] = [
    "ACCESS_REQUIRED",
    "HOLD_CONFLICT",
    "INSUFFICIENT_CREDITS",
    "PAYER_FROZEN",
    "SPEND_CAP_REACHED",
];

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A clip was delivered.
    Captured,
    /// The job ended without one.
    Released,
    /// Nobody settled or renewed it.
    Lapsed,
}

impl Ending {
    const ALL: [Self; 3] = [Self::Captured, Self::Released, Self::Lapsed];

    const fn name(self) -> &'static str {
        match self {
            Self::Captured => "captured",
            Self::Released => "released",
            Self::Lapsed => "lapsed",
        }
    }
}

/// What became of an alert that was to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Accounts took it.
    Told,
    /// Accounts did not take it; it is tried again.
    PutOff,
    /// It was tried for long enough.
    GivenUp,
}

impl Telling {
    const ALL: [Self; 3] = [Self::Told, Self::PutOff, Self::GivenUp];

    const fn name(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::PutOff => "put_off",
            Self::GivenUp => "given_up",
        }
    }
}

/// Instruments. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    instruments: Arc<Instruments>,
    problems: Arc<AtomicU64>,
    /// Of payments.
    pub payments: PaymentMetrics,
}

struct Instruments {
    hold_duration: Histogram<f64>,
    holds_made: Counter<u64>,
    holds_refused: Counter<u64>,
    holds_ended: Counter<u64>,
    late_captures: Counter<u64>,
    lost: Counter<u64>,
    expired: Counter<u64>,
    alerts: Counter<u64>,
    tellings: Counter<u64>,
    checks: Counter<u64>,
}

impl Metrics {
    /// Instruments of this process's meter.
    #[must_use]
    pub fn global() -> Self {
        Self::new(&global::meter(SCOPE))
    }

    /// Instruments of a meter.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        let problems = Arc::new(AtomicU64::new(0));
        show_problems(meter, &problems);
        Self {
            instruments: Arc::new(Instruments::new(meter)),
            problems,
            payments: PaymentMetrics::new(meter),
        }
    }

    /// A call for holds took this long and made so many.
    pub fn held(&self, took: Duration, made: usize) {
        let made = u64::try_from(made).unwrap_or(u64::MAX);
        self.instruments.holds_made.add(made, &[]);
        self.instruments
            .hold_duration
            .record(took.as_secs_f64(), &[]);
    }

    /// Jobs were not accepted.
    pub fn hold_refused(&self, refusal: &Refusal) {
        let reason = refusal.reason();
        if REFUSALS.contains(&reason) {
            let reason = KeyValue::new("reason", reason);
            self.instruments.holds_refused.add(1, &[reason]);
        }
    }

    /// A hold ended.
    pub fn hold_ended(&self, ending: Ending) {
        let ending = KeyValue::new("outcome", ending.name());
        self.instruments.holds_ended.add(1, &[ending]);
    }

    /// A clip was paid after its hold had lapsed, and so much of it by the platform.
    pub fn captured_late(&self, lost: Credits) {
        self.instruments.late_captures.add(1, &[]);
        self.instruments.lost.add(lost.into(), &[]);
    }

    /// Credits of grants that ended.
    pub fn expired(&self, credits: Credits) {
        self.instruments.expired.add(credits.into(), &[]);
    }

    /// Payers reached so many parts of their soft caps.
    pub fn alerted(&self, alerts: u64) {
        self.instruments.alerts.add(alerts, &[]);
    }

    /// An alert was to be told.
    pub fn alert_told(&self, telling: Telling) {
        let telling = KeyValue::new("outcome", telling.name());
        self.instruments.tellings.add(1, &[telling]);
    }

    /// The ledger was checked, and so many things do not hold.
    pub fn checked(&self, problems: usize) {
        self.instruments.checks.add(1, &[]);
        let problems = u64::try_from(problems).unwrap_or(u64::MAX);
        self.problems.store(problems, Ordering::Relaxed);
    }
}

/// 0 from the start on, so that an alarm has something to compare with.
fn show_problems(meter: &Meter, problems: &Arc<AtomicU64>) {
    let problems = Arc::clone(problems);
    meter
        .u64_observable_gauge("kinora.billing.ledger.problems")
        .with_unit("{problem}")
        .with_description("What did not hold at the last check of the ledger")
        .with_callback(move |gauge| gauge.observe(problems.load(Ordering::Relaxed), &[]))
        .build();
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, unit: &'static str, description: &'static str| {
            let counter = meter.u64_counter(name).with_unit(unit);
            counter.with_description(description).build()
        };
        let made = Self {
            hold_duration: meter
                .f64_histogram("kinora.billing.hold.duration")
                .with_unit("s")
                .with_description("Time that a call for holds took")
                .with_boundaries(TRANSACTION_SECONDS.to_vec())
                .build(),
            holds_made: counter(
                "kinora.billing.holds.made",
                "{hold}",
                "Holds that were made",
            ),
            holds_refused: counter(
                "kinora.billing.holds.refused",
                "{call}",
                "Calls for holds that were refused",
            ),
            holds_ended: counter("kinora.billing.holds.ended", "{hold}", "Holds that ended"),
            late_captures: counter(
                "kinora.billing.captures.late",
                "{capture}",
                "Captures after their hold had lapsed",
            ),
            lost: counter(
                "kinora.billing.captures.lost",
                "{credit}",
                "Credits of late captures that the platform paid",
            ),
            expired: counter(
                "kinora.billing.grants.expired",
                "{credit}",
                "Credits of grants that ended",
            ),
            alerts: counter(
                "kinora.billing.spend.alerts",
                "{alert}",
                "Parts of soft caps that payers reached",
            ),
            tellings: counter(
                "kinora.billing.spend.tellings",
                "{try}",
                "Tries to have an alert told",
            ),
            checks: counter(
                "kinora.billing.ledger.checks",
                "{check}",
                "Checks of the ledger",
            ),
        };
        made.begin();
        made
    }

    /// A rate needs a first value.
    fn begin(&self) {
        for reason in REFUSALS {
            self.holds_refused
                .add(0, &[KeyValue::new("reason", reason)]);
        }
        for ending in Ending::ALL {
            self.holds_ended
                .add(0, &[KeyValue::new("outcome", ending.name())]);
        }
        for telling in Telling::ALL {
            self.tellings
                .add(0, &[KeyValue::new("outcome", telling.name())]);
        }
        for counter in [
            &self.holds_made,
            &self.late_captures,
            &self.lost,
            &self.expired,
            &self.alerts,
            &self.checks,
        ] {
            counter.add(0, &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

    use super::*;

    /// Every instrument with its unit, after each has had something to say.
    fn registered() -> BTreeMap<String, String> {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let metrics = Metrics::new(&provider.meter(SCOPE));
        metrics.held(Duration::from_millis(3), 1);
        provider.force_flush().expect("collects");
        let collected = exporter.get_finished_metrics().expect("collects");
        let scopes = collected
            .iter()
            .flat_map(|resource| resource.scope_metrics());
        scopes
            .flat_map(|scope| scope.metrics())
            .map(|metric| (metric.name().to_owned(), metric.unit().to_owned()))
            .collect()
    }

    /// The names and units of the table in the documentation.
    fn documented() -> BTreeMap<String, String> {
        let page = include_str!("../../../docs/metrics.md");
        let rows = page
            .lines()
            .filter(|line| line.starts_with("| `kinora.billing."));
        rows.map(|row| {
            let cells: Vec<&str> = row
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect();
            (cells[1].to_owned(), cells[3].to_owned())
        })
        .collect()
    }

    #[test]
    fn every_metric_is_documented_and_every_documented_one_exists() {
        assert_eq!(documented(), registered());
    }
}
