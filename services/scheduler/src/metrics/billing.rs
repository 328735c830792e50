//! What is counted of calls to billing, and of what it is told.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

use super::{Metrics, counter, seconds};

/// Seconds, for what takes as long as a call to another service.
const CALL_SECONDS: [f64; 11] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0,
];

pub struct BillingInstruments {
    call_duration: Histogram<f64>,
    settlements_ended: Counter<u64>,
    settlements_retried: Counter<u64>,
    holds_swept: Counter<u64>,
}

/// How a call to another service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// It did what was asked.
    Answered,
    /// It said no.
    Refused,
    /// It did not answer, or could not.
    Failed,
}

impl Called {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What a sweep of holds found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// A hold without a job.
    Orphaned,
    /// The hold of a job whose end was not noted for billing.
    Unsettled,
    /// A hold that billing had settled before by its own word.
    Reopened,
}

impl Swept {
    const ALL: [Self; 3] = [Self::Orphaned, Self::Unsettled, Self::Reopened];

    const fn name(self) -> &'static str {
        match self {
            Self::Orphaned => "orphaned",
            Self::Unsettled => "unsettled",
            Self::Reopened => "reopened",
        }
    }
}

/// The ends of settlements: the credits were taken, given back, or billing would not have it.
const ENDS: [&str; 3] = ["captured", "released", "set_aside"];

impl BillingInstruments {
    pub fn new(meter: &Meter) -> Self {
        let made = Self {
            call_duration: seconds(
                meter,
                "kinora.scheduler.billing.call.duration",
                &CALL_SECONDS,
                "Time of a call to billing",
            ),
            settlements_ended: counter(
                meter,
                "kinora.scheduler.settlements.ended",
                "{settlement}",
                "Settlements that are over",
            ),
            settlements_retried: counter(
                meter,
                "kinora.scheduler.settlements.retried",
                "{settlement}",
                "Tries of settlements that came to nothing",
            ),
            holds_swept: counter(
                meter,
                "kinora.scheduler.holds.swept",
                "{hold}",
                "Holds that the sweep had to put right",
            ),
        };
        // A rate needs a first value.
        for end in ENDS {
            made.settlements_ended.add(0, &[KeyValue::new("end", end)]);
        }
        made.settlements_retried.add(0, &[]);
        for found in Swept::ALL {
            made.holds_swept
                .add(0, &[KeyValue::new("found", found.name())]);
        }
        made
    }
}

impl Metrics {
    /// A call to billing ended.
    pub fn billing_called(&self, method: &'static str, how: Called, took: Duration) {
        let labels = [
            KeyValue::new("method", method),
            KeyValue::new("outcome", how.name()),
        ];
        let duration = &self.billing.call_duration;
        duration.record(took.as_secs_f64(), &labels);
    }

    /// Credits of a job were taken.
    pub fn hold_captured(&self) {
        self.settlement_ended("captured");
    }

    /// Credits of a job were given back.
    pub fn hold_released(&self) {
        self.settlement_ended("released");
    }

    /// Billing will not have a settlement.
    pub fn settlement_set_aside(&self) {
        self.settlement_ended("set_aside");
    }

    fn settlement_ended(&self, end: &'static str) {
        let ended = &self.billing.settlements_ended;
        ended.add(1, &[KeyValue::new("end", end)]);
    }

    /// A try of a settlement came to nothing.
    pub fn settlement_retried(&self) {
        self.billing.settlements_retried.add(1, &[]);
    }

    /// A sweep put holds right.
    pub fn holds_swept(&self, found: Swept, holds: u64) {
        let found = KeyValue::new("found", found.name());
        self.billing.holds_swept.add(holds, &[found]);
    }
}
