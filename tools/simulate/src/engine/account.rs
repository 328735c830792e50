//! What is added up while the clock runs.

use std::time::Duration;

use kinora_scheduler::domain::job::Time;

use super::{BACKLOG, Engine, Happening};
use crate::fleet::Attempt;
use crate::outcome::{Outcome, Sample};

/// 2026-01-01 in seconds, so that ids depend on the seed alone.
const BEGIN: u64 = 1_767_225_600;

pub(super) fn beginning() -> Time {
    Time::UNIX_EPOCH + Duration::from_secs(BEGIN)
}

impl Engine {
    /// Adds up the device time of an attempt that has ended.
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
        if self.now >= self.window.begin && self.now <= self.window.end {
            for (tenant, queued) in self.outcome.tenants.iter_mut().zip(&self.queued_by_tenant) {
                tenant.is_backlogged &= *queued >= BACKLOG;
            }
        }
        let workers = self.fleet.count();
        let shares = self
            .outcome
            .tenants
            .iter()
            .map(|it| it.served.as_secs_f64() * 100.0 / f64::from(it.tenant.weight));
        self.outcome.samples.push(Sample {
            at: (self.now - beginning()).to_std().unwrap_or_default(),
            busy: (workers - self.fleet.idle_count()) as u64,
            queued: self.queued.unsigned_abs(),
            shares: shares.collect(),
        });
    }

    pub(super) fn finish(mut self, took: Duration) -> Outcome {
        self.outcome.simulated = (self.now - beginning()).to_std().unwrap_or_default();
        self.outcome.took = took;
        self.outcome.timings = self.queue.timings.lock().clone();
        self.outcome
    }
}
