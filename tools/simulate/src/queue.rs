//! The real store behind the dispatch loop, with a watch at its side.

use std::time::{Duration, Instant};

use kinora_scheduler::Error;
use kinora_scheduler::dispatch::Queue;
use kinora_scheduler::domain::job::{Job, Time};
use kinora_scheduler::policy::{Assignment, Bounds, Snapshot};
use kinora_scheduler::store::JobStore;
use parking_lot::Mutex;

/// How long the store took, in time of this machine.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    /// Snapshots.
    pub snapshots: Vec<Duration>,
    /// Claims: jobs leased, and how long it took.
    pub claims: Vec<(usize, Duration)>,
    /// All that the store did since it was last asked.
    pub in_round: Duration,
}

/// The store as the loop sees it.
pub struct TimedQueue {
    pub store: JobStore,
    pub timings: Mutex<Timings>,
}

impl TimedQueue {
    pub fn new(store: JobStore) -> Self {
        Self {
            store,
            timings: Mutex::new(Timings::default()),
        }
    }

    fn note(&self, since: Instant) -> Duration {
        let took = since.elapsed();
        self.timings.lock().in_round += took;
        took
    }
}

impl Queue for TimedQueue {
    async fn promote(&self, now: Time) -> Result<(), Error> {
        let since = Instant::now();
        self.store.promote(now).await?;
        self.note(since);
        Ok(())
    }

    async fn snapshot(
        &self,
        models: &[String],
        bounds: Bounds,
        _now: Time,
    ) -> Result<Snapshot, Error> {
        let since = Instant::now();
        let snapshot = self.store.snapshot(models, bounds).await?;
        let took = self.note(since);
        self.timings.lock().snapshots.push(took);
        Ok(snapshot)
    }

    async fn claim(
        &self,
        assignments: &[Assignment],
        now: Time,
        time_limit: Duration,
    ) -> Result<Vec<Job>, Error> {
        let since = Instant::now();
        let leased = self.store.claim(assignments, now, time_limit).await?;
        let took = self.note(since);
        self.timings.lock().claims.push((leased.len(), took));
        Ok(leased.into_iter().map(|(job, _)| job).collect())
    }
}
