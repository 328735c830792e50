//! What is counted of calls to the prompts service.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};

use super::{Called, Metrics, seconds};

/// Seconds: rules take milliseconds, and a language model as long as it may.
const CALL_SECONDS: [f64; 11] = [
    0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// The instrument of these calls.
pub fn call_duration(meter: &Meter) -> Histogram<f64> {
    seconds(
        meter,
        "kinora.scheduler.prompts.call.duration",
        &CALL_SECONDS,
        "Time of a call that moderates prompts, and rewrites them",
    )
}

impl Metrics {
    /// A call to the prompts service ended.
    pub fn prompts_called(&self, how: Called, took: Duration) {
        let outcome = KeyValue::new("outcome", how.name());
        self.prompts_call_duration
            .record(took.as_secs_f64(), &[outcome]);
    }
}
