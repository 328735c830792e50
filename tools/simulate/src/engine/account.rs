//! What is added up while the clock runs.

use super::{BACKLOG, Engine, Happening, beginning};
use crate::fleet::Attempt;
use crate::outcome::{Outcome, Sample};

impl Engine {
    /// Adds up the device time of an attempt that has ended, or that the end of the run finds.
    pub(super) fn account(&mut self, tenant: Option<usize>, attempt: &Attempt) {
        let loaded = attempt.started + attempt.load;
        let until = self.now.min(attempt.ends);
        self.outcome.loading += self.window.overlap(attempt.started, loaded.min(until));
        self.outcome.working += self.window.overlap(loaded, until);
        if let Some(tenant) = tenant {
            self.outcome.tenants[tenant].served += self.window.overlap(attempt.started, until);
        }
    }

    pub(super) fn sample(&mut self) {
        self.plan(self.now + self.sample_every, Happening::Sample);
        if self.now >= self.window.begin {
            for (tenant, queued) in self.outcome.tenants.iter_mut().zip(&self.queued_by_tenant) {
                tenant.is_backlogged &= *queued >= BACKLOG;
            }
        }
        let workers = self.fleet.count();
        let shares = self.outcome.tenants.iter().map(|it| {
            it.served.as_secs_f64() * 100.0 / f64::from(it.tenant.weight)
        });
        self.outcome.samples.push(Sample {
            at: (self.now - beginning()).to_std().unwrap_or_default(),
            busy: (workers - self.fleet.idle_count()) as u64,
            queued: self.queued.unsigned_abs(),
            shares: shares.collect(),
        });
    }

    pub(super) fn finish(mut self) -> Outcome {
        self.now = self.window.end;
        for attempt in self.fleet.unfinished() {
            let tenant = self.fleet.facts(attempt.lease.job).map(|facts| facts.tenant);
            self.account(tenant, &attempt);
            self.outcome.running += 1;
        }
        self.outcome.queued = self.queued.unsigned_abs();
        self.outcome.timings = self.queue.timings.lock().clone();
        self.outcome
    }
}
