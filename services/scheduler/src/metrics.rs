//! What operators see. Every name, with its unit and labels, is in `docs/metrics.md`.
//!
//! Counters and histograms count what this process did. Gauges of the queue and of the workers show what the database
//! says, the same at every replica: take the maximum over replicas, not the sum.

mod tenants;

use std::sync::Arc;
use std::time::Duration;

use kinora_events::Status;
use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram, Meter};
use opentelemetry::{KeyValue, global};
use parking_lot::Mutex;

use crate::domain::job::Priority;
use tenants::Tenants;

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

/// What gauges show until it is measured again.
#[derive(Default)]
struct Shown {
    load: Load,
    bus: Status,
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

/// Workers by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Heard lately, and at work.
    pub active: u64,
    /// Heard lately, but they take nothing new: draining or cordoned.
    pub draining: u64,
    /// Not heard lately.
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
        show_bus(meter, &shown);
        Self {
            instruments: Arc::new(Instruments::new(meter)),
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

impl Instruments {
    fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, unit, description| {
            meter
                .u64_counter(name)
                .with_unit(unit)
                .with_description(description)
                .build()
        };
        let seconds = |name: &'static str, bounds: &[f64], description| {
            let histogram = meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(description);
            histogram.with_boundaries(bounds.to_vec()).build()
        };
        let made = Self {
            claim_duration: seconds(
                "kinora.scheduler.claim.duration",
                &TRANSACTION_SECONDS,
                "Time that a claim of jobs took",
            ),
            wait_duration: seconds(
                "kinora.scheduler.wait.duration",
                &WAIT_SECONDS,
                "Time that jobs waited once they could be leased",
            ),
            attempts_ended: counter(
                "kinora.scheduler.attempts.ended",
                "{attempt}",
                "Attempts that ended",
            ),
            leases_expired: counter(
                "kinora.scheduler.leases.expired",
                "{lease}",
                "Leases taken from lost workers",
            ),
            reports_refused: counter(
                "kinora.scheduler.reports.refused",
                "{report}",
                "Reports under a stale lease",
            ),
            watchers_dropped: counter(
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

fn show_load(meter: &Meter, shown: &Arc<Mutex<Shown>>) {
    gauge(
        meter,
        shown,
        "kinora.scheduler.queue.depth",
        "{job}",
        "Queued jobs",
        |shown, gauge| {
            each_queue(shown, gauge, |queue| Some(count(queue.queued)));
        },
    );
    gauge(
        meter,
        shown,
        "kinora.scheduler.queue.oldest_age",
        "s",
        "Wait of the oldest job that may be leased",
        |shown, gauge| {
            each_queue(shown, gauge, |queue| {
                queue.oldest.map(|age| age.as_secs_f64())
            });
        },
    );
    gauge(
        meter,
        shown,
        "kinora.scheduler.queue.gpu_time",
        "s",
        "Expected device time of queued jobs",
        |shown, gauge| {
            each_queue(shown, gauge, |queue| Some(queue.device_time.as_secs_f64()));
        },
    );
    gauge(
        meter,
        shown,
        "kinora.scheduler.attempts.running",
        "{attempt}",
        "Attempts that run",
        |shown, gauge| {
            each_queue(shown, gauge, |queue| Some(count(queue.running)));
        },
    );
    gauge(
        meter,
        shown,
        "kinora.scheduler.workers",
        "{worker}",
        "Workers",
        |shown, gauge| {
            let WorkerLoad {
                active,
                draining,
                silent,
            } = shown.load.workers;
            for (state, workers) in [
                ("active", active),
                ("draining", draining),
                ("silent", silent),
            ] {
                gauge.observe(count(workers), &[KeyValue::new("state", state)]);
            }
        },
    );
}

fn show_bus(meter: &Meter, shown: &Arc<Mutex<Shown>>) {
    gauge(
        meter,
        shown,
        "kinora.scheduler.events.lag",
        "s",
        "Time an event takes from this replica to itself",
        |shown, gauge| {
            if let Some(lag) = shown.bus.lag {
                gauge.observe(lag.as_secs_f64(), &[]);
            }
        },
    );
    gauge(
        meter,
        shown,
        "kinora.scheduler.events.connected",
        "1",
        "Whether other replicas are heard",
        |shown, gauge| {
            gauge.observe(f64::from(u8::from(shown.bus.is_connected)), &[]);
        },
    );
    total(
        meter,
        shown,
        "kinora.scheduler.events.dropped",
        "{event}",
        "Events that other replicas were not sent",
        |bus| bus.dropped,
    );
    total(
        meter,
        shown,
        "kinora.scheduler.events.garbage",
        "{event}",
        "Events that were not understood",
        |bus| bus.garbage,
    );
    total(
        meter,
        shown,
        "kinora.scheduler.events.losses",
        "{connection}",
        "Connections of the event bus that were lost",
        |bus| bus.losses,
    );
}

fn gauge(
    meter: &Meter,
    shown: &Arc<Mutex<Shown>>,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    observe: impl Fn(&Shown, &dyn AsyncInstrument<f64>) + Send + Sync + 'static,
) {
    let shown = Arc::clone(shown);
    let gauge = meter
        .f64_observable_gauge(name)
        .with_unit(unit)
        .with_description(description);
    gauge
        .with_callback(move |gauge| observe(&shown.lock(), gauge))
        .build();
}

fn total(
    meter: &Meter,
    shown: &Arc<Mutex<Shown>>,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    read: impl Fn(&Status) -> u64 + Send + Sync + 'static,
) {
    let shown = Arc::clone(shown);
    let counter = meter
        .u64_observable_counter(name)
        .with_unit(unit)
        .with_description(description);
    counter
        .with_callback(move |counter| counter.observe(read(&shown.lock().bus), &[]))
        .build();
}

fn each_queue(
    shown: &Shown,
    gauge: &dyn AsyncInstrument<f64>,
    read: impl Fn(&QueueLoad) -> Option<f64>,
) {
    for queue in &shown.load.queues {
        if let Some(value) = read(queue) {
            let labels = [
                KeyValue::new("model", queue.model.clone()),
                KeyValue::new("class", class_name(queue.class)),
            ];
            gauge.observe(value, &labels);
        }
    }
}

/// Exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "nobody has that many jobs")]
const fn count(number: u64) -> f64 {
    number as f64
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
