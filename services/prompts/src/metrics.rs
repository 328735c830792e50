//! What operators see. Every name, with its unit and labels, is in `docs/metrics.md`.

use kinora_moderation::Verdict;
use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};

use crate::domain::order::Enhancer;
use crate::domain::prepared::Prepared;

/// Names the meter.
const SCOPE: &str = "kinora-prompts";

/// Seconds: from a lookup of words to a language model that is waited for.
const SECONDS: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// Instruments. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    verdicts: Counter<u64>,
    prompts: Counter<u64>,
    seconds: Histogram<f64>,
}

impl Metrics {
    /// On the process's own meter.
    #[must_use]
    pub fn global() -> Self {
        let meter = global::meter(SCOPE);
        Self {
            verdicts: meter
                .u64_counter("kinora.prompts.verdicts")
                .with_description("Prompts that were judged, by verdict.")
                .build(),
            prompts: meter
                .u64_counter("kinora.prompts.prepared")
                .with_description("Prompts that were prepared, by who rewrote them and why it was not somebody else.")
                .build(),
            seconds: meter
                .f64_histogram("kinora.prompts.duration")
                .with_description("How long a prompt took, by who rewrote it.")
                .with_unit("s")
                .with_boundaries(SECONDS.to_vec())
                .build(),
        }
    }

    /// A text of a person's was judged.
    pub fn judged(&self, verdict: Verdict) {
        self.verdicts
            .add(1, &[KeyValue::new("verdict", name_of(verdict))]);
    }

    /// A prompt was prepared.
    pub fn prepared(&self, prepared: &Prepared) {
        let enhancer = KeyValue::new("enhancer", enhancer(prepared.enhancer));
        let fallback = prepared.fallback.map_or("", |it| it.reason());
        let labels = [
            enhancer.clone(),
            KeyValue::new("fallback", fallback),
            KeyValue::new("cached", prepared.is_cached),
        ];
        self.prompts.add(1, &labels);
        self.seconds
            .record(prepared.elapsed.as_secs_f64(), &[enhancer]);
    }
}

const fn name_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Review => "review",
        Verdict::Refuse => "refuse",
    }
}

const fn enhancer(enhancer: Enhancer) -> &'static str {
    match enhancer {
        Enhancer::None => "none",
        Enhancer::Auto => "auto",
        Enhancer::Rules => "rules",
        Enhancer::Llm => "llm",
    }
}
