//! Gauges: what waits, what runs, who works, and how the event bus is.

use std::sync::Arc;

use kinora_events::Status;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};
use parking_lot::Mutex;

use super::{Load, QueueLoad, SettlementLoad, WorkerLoad, class_name};

/// What gauges show until it is measured again.
#[derive(Default)]
pub struct Shown {
    pub load: Load,
    pub bus: Status,
}

pub fn show_load(meter: &Meter, shown: &Arc<Mutex<Shown>>) {
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

pub fn show_settlements(meter: &Meter, shown: &Arc<Mutex<Shown>>) {
    settlements(
        meter,
        shown,
        "kinora.scheduler.settlements.waiting",
        "{settlement}",
        "Holds that billing has yet to be told the end of",
        |load| Some(count(load.waiting)),
    );
    settlements(
        meter,
        shown,
        "kinora.scheduler.settlements.oldest_age",
        "s",
        "Wait of the oldest of them",
        |load| load.oldest.map(|age| age.as_secs_f64()),
    );
    settlements(
        meter,
        shown,
        "kinora.scheduler.settlements.set_aside",
        "{settlement}",
        "Settlements that billing will not have",
        |load| Some(count(load.set_aside)),
    );
}

pub fn show_bus(meter: &Meter, shown: &Arc<Mutex<Shown>>) {
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

fn settlements(
    meter: &Meter,
    shown: &Arc<Mutex<Shown>>,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    read: impl Fn(&SettlementLoad) -> Option<f64> + Send + Sync + 'static,
) {
    gauge(
        meter,
        shown,
        name,
        unit,
        description,
        move |shown, gauge| {
            if let Some(value) = shown.load.settlements.as_ref().and_then(&read) {
                gauge.observe(value, &[]);
            }
        },
    );
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
