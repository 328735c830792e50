//! Who was refused what: a line in the log and a count for each answer of 401, 403 or 429, whoever decided it.
//!
//! Lines are structured events of the target `audit`. They name the method, the caller and the id of a key, and hold
//! nothing that a request brought along: no credential, no path, no query, no body. A flood of refusals does not flood the
//! log: a caller or an address has one line a second, and what is left out is told by one more, with its number.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::visit::Visit;

/// A caller or an address has one line in it.
const SPACING: Duration = Duration::from_secs(1);

/// Callers and addresses that have lines of their own in that time; all others have one together.
const MOST: usize = 256;

/// Reasons that are counted by name. Services have fewer of them.
const MOST_REASONS: usize = 64;

/// What all reasons beyond these are counted as.
const OTHER: &str = "OTHER";

/// Those who are told together.
const CROWD: &str = "others";

/// An answer that refuses.
pub(crate) struct Refusal<'a> {
    pub(crate) status: u16,
    pub(crate) reason: &'a str,
    /// The contract's method, or the pattern of a path that has none. Empty where there is neither.
    pub(crate) method: &'a str,
    pub(crate) visit: &'a Visit,
    pub(crate) request_id: &'a str,
}

/// Notes refusals. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Audit(Arc<Inner>);

struct Inner {
    refusals: Counter<u64>,
    reasons: Mutex<HashSet<String>>,
    lines: Mutex<Lines>,
}

/// Who has had a line lately.
#[derive(Default)]
struct Lines(HashMap<String, Line>);

struct Line {
    at: Instant,
    left_out: u64,
}

impl Audit {
    /// Tells until `stopping` what was left out.
    pub(crate) fn start(stopping: CancellationToken) -> Self {
        let refusals = global::meter(crate::METER)
            .u64_counter("kinora.edge.refusals")
            .with_unit("{answer}")
            .with_description("Answers of 401, 403 and 429.")
            .build();
        let inner = Arc::new(Inner {
            refusals,
            reasons: Mutex::default(),
            lines: Mutex::default(),
        });
        let telling = Arc::clone(&inner);
        tokio::spawn(async move {
            stopping.run_until_cancelled(telling.tell()).await;
            telling.tell_older_than(Duration::ZERO);
        });
        Self(inner)
    }

    /// Counts a refusal, and logs it unless the same one's last line was a moment ago.
    pub(crate) fn note(&self, refusal: &Refusal<'_>) {
        let labels = [
            KeyValue::new("reason", self.0.label_of(refusal.reason)),
            KeyValue::new("status", i64::from(refusal.status)),
        ];
        self.0.refusals.add(1, &labels);
        let who = refusal.visit.subject().to_string();
        if !self.0.lines.lock().admit(&who, Instant::now()) {
            return;
        }
        let caller = refusal.visit.caller();
        let principal = caller.as_ref().map(|caller| caller.principal().as_str());
        let key = caller.as_ref().and_then(|caller| caller.key_id());
        let address = refusal.visit.address();
        tracing::info!(
            target: "audit",
            status = refusal.status,
            reason = refusal.reason,
            method = refusal.method,
            principal,
            key_id = key.map(tracing::field::display),
            address = address.map(tracing::field::display),
            request_id = refusal.request_id,
            "refused"
        );
    }
}

impl Inner {
    async fn tell(&self) {
        let mut ticks = interval(SPACING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tell_older_than(SPACING);
        }
    }

    fn tell_older_than(&self, age: Duration) {
        let ended = self.lines.lock().end(Instant::now(), age);
        for (who, left_out) in ended {
            tracing::info!(target: "audit", who, left_out, "refused too, and left out here");
        }
    }

    /// The reason, among a bounded number of them.
    fn label_of(&self, reason: &str) -> String {
        let mut reasons = self.reasons.lock();
        if !reasons.contains(reason) {
            if reasons.len() >= MOST_REASONS {
                return OTHER.to_owned();
            }
            reasons.insert(reason.to_owned());
        }
        reason.to_owned()
    }
}

impl Lines {
    /// Whether somebody may have a line now.
    fn admit(&mut self, who: &str, now: Instant) -> bool {
        let is_new = !self.0.contains_key(who);
        let who = if is_new && self.0.len() >= MOST {
            CROWD
        } else {
            who
        };
        match self.0.get_mut(who) {
            Some(line) => {
                line.left_out += 1;
                false
            }
            None => {
                let line = Line {
                    at: now,
                    left_out: 0,
                };
                self.0.insert(who.to_owned(), line);
                true
            }
        }
    }

    /// Ends all lines of this age; with those who had more to tell.
    fn end(&mut self, now: Instant, age: Duration) -> Vec<(String, u64)> {
        let mut ended = Vec::new();
        self.0.retain(|who, line| {
            let is_young = now.saturating_duration_since(line.at) < age;
            if !is_young && line.left_out > 0 {
                ended.push((who.clone(), line.left_out));
            }
            is_young
        });
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_is_one_line_a_second_and_a_number() {
        let mut lines = Lines::default();
        let now = Instant::now();
        let admitted = (0..1000)
            .filter(|_| lines.admit("203.0.113.9", now))
            .count();
        assert_eq!(admitted, 1);
        assert!(lines.admit("key:1", now), "others have their own");
        assert!(lines.end(now, SPACING).is_empty());
        let ended = lines.end(now + SPACING, SPACING);
        assert_eq!(ended, [("203.0.113.9".to_owned(), 999)]);
        assert!(lines.admit("203.0.113.9", now + SPACING));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_many_is_bounded_too() {
        let mut lines = Lines::default();
        let now = Instant::now();
        let names = (0..10_000).map(|number| format!("host {number}"));
        let admitted = names.filter(|who| lines.admit(who, now)).count();
        assert_eq!(admitted, MOST + 1);
        assert_eq!(lines.0.len(), MOST + 1);
        let ended = lines.end(now + SPACING, SPACING);
        assert_eq!(ended, [(CROWD.to_owned(), 10_000 - MOST as u64 - 1)]);
        assert!(lines.0.is_empty());
    }

    #[tokio::test]
    async fn reasons_that_are_counted_are_bounded() {
        let audit = Audit::start(CancellationToken::new());
        for number in 0..100 {
            audit.0.label_of(&format!("REASON_{number}"));
        }
        assert_eq!(audit.0.label_of("REASON_1"), "REASON_1");
        assert_eq!(audit.0.label_of("REASON_99"), OTHER);
    }
}
