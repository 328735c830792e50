//! What the courier of webhooks counts.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

use super::{Metrics, WAIT_SECONDS, counter, seconds};
use crate::webhooks::event::EventKind;
use crate::webhooks::metrics::WebhookMetrics;

/// Seconds, for what takes as long as a stranger's server.
const CALL_SECONDS: [f64; 10] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

pub struct WebhookInstruments {
    try_duration: Histogram<f64>,
    lag: Histogram<f64>,
    circuits_opened: Counter<u64>,
    relayed: Counter<u64>,
    given_up: Counter<u64>,
}

impl WebhookInstruments {
    pub fn new(meter: &Meter) -> Self {
        let made = Self {
            try_duration: seconds(
                meter,
                "kinora.scheduler.webhooks.try.duration",
                &CALL_SECONDS,
                "Time that a try of a delivery took",
            ),
            lag: seconds(
                meter,
                "kinora.scheduler.webhooks.lag",
                &WAIT_SECONDS,
                "Time from an event to its delivery",
            ),
            circuits_opened: counter(
                meter,
                "kinora.scheduler.webhooks.circuits.opened",
                "{circuit}",
                "Endpoints that are left alone for a while",
            ),
            relayed: counter(
                meter,
                "kinora.scheduler.webhooks.relayed",
                "{message}",
                "Messages that left the outbox",
            ),
            given_up: counter(
                meter,
                "kinora.scheduler.webhooks.given_up",
                "{delivery}",
                "Deliveries that are not tried again",
            ),
        };
        // A rate needs a first value.
        for counter in [&made.circuits_opened, &made.relayed, &made.given_up] {
            counter.add(0, &[]);
        }
        made
    }
}

impl WebhookMetrics for Metrics {
    fn tried(&self, event: EventKind, outcome: &'static str, took: Duration, lag: Duration) {
        let event = KeyValue::new("event", event.name());
        let labels = [event.clone(), KeyValue::new("outcome", outcome)];
        let instruments = &self.webhooks;
        let took = took.as_secs_f64();
        instruments.try_duration.record(took, &labels);
        if outcome == "delivered" {
            instruments.lag.record(lag.as_secs_f64(), &[event]);
        }
    }

    fn circuit_opened(&self) {
        self.webhooks.circuits_opened.add(1, &[]);
    }

    fn relayed(&self, messages: usize) {
        let messages = u64::try_from(messages).unwrap_or(u64::MAX);
        self.webhooks.relayed.add(messages, &[]);
    }

    fn given_up(&self, deliveries: u64) {
        self.webhooks.given_up.add(deliveries, &[]);
    }
}
