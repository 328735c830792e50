//! The queue and the workers as the dispatch of this process sees them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kinora_ids::LeaseRef;
use kinora_mesh::error::chain;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::App;
use crate::dispatch::{DispatchOptions, Fleet, Queue};
use crate::domain::job::{Failure, Job, Time};
use crate::domain::retry::WORKER_DRAINED;
use crate::domain::transition::Reporter;
use crate::error::Error;
use crate::policy::{Assignment, Bounds, Snapshot, WorkerView};
use crate::signals::Signal;

/// Jobs whose time has come are looked for no more often, however often dispatch is woken.
const PROMOTION_GAP: Duration = Duration::from_millis(250);

/// Where jobs and workers meet.
pub struct Floor {
    app: Arc<App>,
    /// Leases that found no stream are taken back beside the loop.
    tasks: TaskTracker,
    promoted: Mutex<Option<Instant>>,
}

impl Floor {
    /// The jobs and the workers of `app`.
    #[must_use]
    pub fn new(app: Arc<App>, tasks: TaskTracker) -> Self {
        Self {
            app,
            tasks,
            promoted: Mutex::new(None),
        }
    }

    fn is_promotion_due(&self) -> bool {
        let gap = PROMOTION_GAP.min(self.app.options.poll_interval / 2);
        let mut promoted = self.promoted.lock();
        let is_due = promoted.is_none_or(|at| at.elapsed() >= gap);
        if is_due {
            *promoted = Some(Instant::now());
        }
        is_due
    }
}

impl Queue for Floor {
    async fn promote(&self, now: Time) -> Result<(), Error> {
        if self.is_promotion_due() {
            self.app.store.promote(now).await?;
        }
        Ok(())
    }

    async fn snapshot(
        &self,
        models: &[String],
        bounds: Bounds,
        _now: Time,
    ) -> Result<Snapshot, Error> {
        // Nearly always there is nothing, and this is cheaper.
        if !self.app.store.has_work(models).await? {
            return Ok(Snapshot::default());
        }
        Ok(self.app.store.snapshot(models, bounds).await?)
    }

    async fn claim(
        &self,
        assignments: &[Assignment],
        now: Time,
        time_limit: Duration,
    ) -> Result<Vec<Job>, Error> {
        self.app.lease(assignments, now, time_limit).await
    }
}

impl Fleet for Floor {
    fn idle(&self) -> Vec<WorkerView> {
        self.app.sessions.idle()
    }

    fn busy(&self) -> Vec<WorkerView> {
        self.app.sessions.busy()
    }

    fn grant(&self, worker: &str, session: Uuid, job: Job) {
        if let Err(job) = self.app.sessions.grant(worker, session, job) {
            let (app, worker) = (Arc::clone(&self.app), worker.to_owned());
            self.tasks
                .spawn(async move { app.take_back(&worker, &job).await });
        }
    }

    fn attach_again(&self, worker: &str, session: Uuid) {
        self.app.sessions.attach_again(worker, session);
    }

    fn preempt(&self, lease: LeaseRef) {
        // Its worker may have moved to another replica since it was looked at.
        if !self.app.sessions.preempt(lease) {
            self.app.bus.publish_elsewhere(Signal::Preempted { lease });
        }
    }
}

impl App {
    /// How dispatch runs.
    #[must_use]
    pub fn dispatch_options(&self) -> DispatchOptions {
        // A worker reports an overdue attempt itself; we step in when it does not.
        let time_limit = self.options.time_limit + self.options.worker_ttl;
        DispatchOptions {
            policy: self.options.policy(),
            ..DispatchOptions::new(time_limit, self.options.poll_interval)
        }
    }

    /// Leases jobs to workers as far as that is still right, and tells watchers.
    pub(super) async fn lease(
        &self,
        assignments: &[Assignment],
        now: Time,
        time_limit: Duration,
    ) -> Result<Vec<Job>, Error> {
        let began = Instant::now();
        let claimed = self.store.claim(assignments, now, time_limit).await?;
        self.metrics.claim(began.elapsed());
        let mut jobs = Vec::with_capacity(claimed.len());
        for (job, event) in claimed {
            let wait = (now - job.run_at).to_std().unwrap_or_default();
            self.metrics.waited(wait, job.priority, &job.tenant);
            self.announce(event);
            jobs.push(job);
        }
        Ok(jobs)
    }

    /// Queues a leased job again that its worker has never seen: the stream ended first. Where this process stops the
    /// worker only moves to another replica, and is told there.
    pub(crate) async fn take_back(&self, worker: &str, job: &Job) {
        if self.shutdown.is_cancelled() {
            return;
        }
        let lease = job.newest_lease();
        let failure = Failure {
            reason: WORKER_DRAINED.to_owned(),
            message: "the worker left before it got the job".to_owned(),
            retryable: true,
        };
        let from = Reporter { worker, lease };
        if let Err(error) = self.fail(from, failure, None).await {
            // The worker settles its leases when it attaches again, and the reaper when it does not.
            tracing::warn!(job_id = %job.id, error = %chain(&error), "lease was not taken back");
        }
    }
}
