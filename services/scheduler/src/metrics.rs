//! What operators see. Every name, with its unit and labels, is in `docs/metrics.md`.
//!
//! Counters and histograms count what this process did. Gauges of the queue and of the workers show what the database
//! says, the same at every replica: take the maximum over replicas, not the sum.

mod billing;
mod prompts;
mod shown;
mod tenants;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use kinora_events::Status;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use opentelemetry::{KeyValue, global};
use parking_lot::Mutex;

use crate::domain::job::Priority;
use billing::BillingInstruments;
use shown::{Shown, show_bus, show_load, show_settlements};
use tenants::Tenants;
use webhooks::WebhookInstruments;

pub use billing::{Called, Swept};

/// Names the meter.
const SCOPE: &str = "kinora-scheduler";

/// Seconds, for what takes as long as a transaction.
const TRANSACTION_SECONDS: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

/// Seconds, for what takes as long as a queue.
const WAIT_SECONDS: [f64; 14] = [
    0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0,
];

/// Instruments. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    instruments: Arc<Instruments>,
    billing: Arc<BillingInstruments>,
    prompts_call_duration: Histogram<f64>,
    webhooks: Arc<WebhookInstruments>,
    shown: Arc<Mutex<Shown>>,
    tenants: Arc<Tenants>,
}

struct Instruments {
    claim_duration: Histogram<f64>,
    wait_duration: Histogram<f64>,
    attempts_ended: Counter<u64>,
    leases_expired: Counter<u64>,
    reports_refused: Counter<u64>,
    watchers_dropped: Counter<u64>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a clip or a preview.
    Completed,
    /// Badly, and there is another.
    Retried,
    /// Badly, and there is no other.
    Failed,
    /// Its worker was lost, or took too long.
    Lost,
    /// Handed back for work of a higher class, or because its worker drains.
    HandedBack,
    /// On the owner's word.
    Cancelled,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Completed,
        Self::Retried,
        Self::Failed,
        Self::Lost,
        Self::HandedBack,
        Self::Cancelled,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Retried => "retried",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::HandedBack => "handed_back",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What waits, what runs, and who works.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// By model and class.
    pub queues: Vec<QueueLoad>,
    /// Workers by what they do.
    pub workers: WorkerLoad,
    /// What billing has yet to be told. None while it is not known.
    pub settlements: Option<SettlementLoad>,
}

/// What billing has yet to be told of holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettlementLoad {
    /// Settlements that are not done.
    pub waiting: u64,
    /// How long the oldest of them has waited. None when there is none.
    pub oldest: Option<Duration>,
    /// Settlements that billing will not have.
    pub set_aside: u64,
}

/// One queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueLoad {
    /// Empty for work that needs no model.
    pub model: String,
    /// The class.
    pub class: Priority,
    /// Jobs that are queued.
    pub queued: u64,
    /// How long the oldest job that may be leased has waited. None when there is none.
    pub oldest: Option<Duration>,
    /// Expected device time of what is queued.
    pub device_time: Duration,
    /// Jobs that run.
    pub running: u64,
}

impl QueueLoad {
    /// A queue in which nothing waits or runs.
    #[must_use]
    pub const fn empty(model: String, class: Priority) -> Self {
        Self {
            model,
            class,
            queued: 0,
            oldest: None,
            device_time: Duration::ZERO,
            running: 0,
        }
    }
}

/// Workers by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Heard lately, and at work.
    pub active: u64,
    /// Heard lately, but they take nothing new: draining or cordoned.
    pub draining: u64,
    /// Gone, or not heard lately.
    pub silent: u64,
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
        let shown = Arc::default();
        show_load(meter, &shown);
        show_settlements(meter, &shown);
        show_bus(meter, &shown);
        Self {
            instruments: Arc::new(Instruments::new(meter)),
            billing: Arc::new(BillingInstruments::new(meter)),
            prompts_call_duration: prompts::call_duration(meter),
            webhooks: Arc::new(WebhookInstruments::new(meter)),
            shown,
            tenants: Arc::default(),
        }
    }

    /// A claim took this long, whatever it found.
    pub fn claim(&self, took: Duration) {
        self.instruments
            .claim_duration
            .record(took.as_secs_f64(), &[]);
    }

    /// A job was leased after this long in the queue.
    pub fn waited(&self, wait: Duration, class: Priority, tenant: &str) {
        let labels = [
            KeyValue::new("class", class_name(class)),
            KeyValue::new("tenant", self.tenants.label(tenant)),
        ];
        self.instruments
            .wait_duration
            .record(wait.as_secs_f64(), &labels);
    }

    /// An attempt ended.
    pub fn attempt_ended(&self, outcome: Outcome) {
        let outcome = KeyValue::new("outcome", outcome.name());
        self.instruments.attempts_ended.add(1, &[outcome]);
    }

    /// A lease was taken away because its worker was silent or too slow.
    pub fn lease_expired(&self) {
        self.instruments.leases_expired.add(1, &[]);
    }

    /// A report came under a lease that does not stand.
    pub fn stale_report(&self) {
        self.instruments.reports_refused.add(1, &[]);
    }

    /// A watcher was too slow.
    pub fn watcher_dropped(&self) {
        self.instruments.watchers_dropped.add(1, &[]);
    }

    /// Shows what was measured until it is measured again.
    pub fn show(&self, load: Load, bus: Status) {
        *self.shown.lock() = Shown { load, bus };
    }
}

fn counter(
    meter: &Meter,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
) -> Counter<u64> {
    let counter = meter.u64_counter(name).with_unit(unit);
    counter.with_description(description).build()
}

fn seconds(
    meter: &Meter,
    name: &'static str,
    bounds: &[f64],
    description: &'static str,
) -> Histogram<f64> {
    let histogram = meter.f64_histogram(name).with_unit("s");
    let histogram = histogram.with_description(description);
    histogram.with_boundaries(bounds.to_vec()).build()
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        let made = Self {
            claim_duration: seconds(
                meter,
                "kinora.scheduler.claim.duration",
                &TRANSACTION_SECONDS,
                "Time that a claim of jobs took",
            ),
            wait_duration: seconds(
                meter,
                "kinora.scheduler.wait.duration",
                &WAIT_SECONDS,
                "Time that jobs waited once they could be leased",
            ),
            attempts_ended: counter(
                meter,
                "kinora.scheduler.attempts.ended",
                "{attempt}",
                "Attempts that ended",
            ),
            leases_expired: counter(
                meter,
                "kinora.scheduler.leases.expired",
                "{lease}",
                "Leases taken from lost workers",
            ),
            reports_refused: counter(
                meter,
                "kinora.scheduler.reports.refused",
                "{report}",
                "Reports under a stale lease",
            ),
            watchers_dropped: counter(
                meter,
                "kinora.scheduler.watchers.dropped",
                "{watcher}",
                "Watchers that were too slow",
            ),
        };
        // A rate needs a first value.
        for outcome in Outcome::ALL {
            made.attempts_ended
                .add(0, &[KeyValue::new("outcome", outcome.name())]);
        }
        for counter in [
            &made.leases_expired,
            &made.reports_refused,
            &made.watchers_dropped,
        ] {
            counter.add(0, &[]);
        }
        made
    }
}

const fn class_name(class: Priority) -> &'static str {
    match class {
        Priority::Interactive => "interactive",
        Priority::Standard => "standard",
        Priority::Batch => "batch",
    }
}

#[cfg(test)]
mod tests;
