//! The use cases: rules, rows and watchers brought together.

mod dispatch;
mod images;
mod jobs;
pub(crate) mod page;
mod upkeep;
mod watch;

use std::sync::Arc;

use kinora_events::EventBus;
use kinora_ids::{JobId, LeaseRef, job_checkpoint_prefix, job_object_prefix};
use tokio::sync::{Semaphore, watch as signal};
use tokio_util::sync::CancellationToken;

use crate::clients::Objects;
use crate::clock::Clock;
use crate::config::SchedulerOptions;
use crate::domain::job::{Event, Job, State, Time};
use crate::sessions::Sessions;
use crate::store::{JobStore, Removal};

pub use dispatch::Greeting;
pub use jobs::View;
pub use watch::{Sighting, Watching};

/// Events kept for a slow watcher.
const WATCH_CAPACITY: usize = 64;

/// Everything that a request needs.
pub struct App {
    store: JobStore,
    bus: EventBus<JobId, Event>,
    clock: Arc<dyn Clock>,
    objects: Arc<dyn Objects>,
    /// Submissions with pictures that may be taken in at a time.
    uploads: Arc<Semaphore>,
    options: SchedulerOptions,
    /// Streams of attached workers.
    pub sessions: Sessions,
    /// Counts up whenever a job may have become leasable.
    work: signal::Sender<u64>,
    /// Cancelled when open streams must end.
    pub shutdown: CancellationToken,
}

impl App {
    /// Brings the parts together.
    #[must_use]
    pub fn new(
        store: JobStore,
        options: SchedulerOptions,
        objects: Arc<dyn Objects>,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            store,
            bus: EventBus::new(WATCH_CAPACITY),
            clock,
            objects,
            uploads: Arc::new(Semaphore::new(options.picture_uploads.into())),
            options,
            sessions: Sessions::default(),
            work: signal::Sender::new(0),
            shutdown,
        }
    }

    /// How the scheduler runs.
    #[must_use]
    pub const fn options(&self) -> &SchedulerOptions {
        &self.options
    }

    /// Changes whenever a job may have become leasable.
    #[must_use]
    pub fn work_signal(&self) -> signal::Receiver<u64> {
        self.work.subscribe()
    }

    /// Tells watchers and dispatch what was committed.
    fn announce(&self, event: Event) {
        if event.state == State::Queued {
            self.work
                .send_modify(|count| *count = count.wrapping_add(1));
        }
        let job = event.job;
        self.bus.publish(&job, event);
    }

    /// Removes everything a job has stored, now and once more later: a worker that has not yet heard of
    /// the end may still be uploading.
    fn removals(&self, job: JobId, now: Time) -> Vec<Removal> {
        self.twice(job_object_prefix(job), now)
    }

    /// The time, by the clock that everything here goes by.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Removes what attempts before the newest one have stored, and all checkpoints: a worker may have stored one
    /// that we never heard of. The preview stays.
    fn removals_after_completion(&self, job: &Job, now: Time) -> Vec<Removal> {
        (1..job.lease)
            .map(|lease| LeaseRef { job: job.id, lease })
            .filter(|lease| !job.has_preview_of(*lease))
            .map(|lease| lease.object_prefix())
            .chain([job_checkpoint_prefix(job.id)])
            .flat_map(|prefix| self.twice(prefix, now))
            .collect()
    }

    /// What the end of an attempt without a clip leaves behind.
    fn removals_after_failure(&self, job: &Job, now: Time) -> Vec<Removal> {
        if job.state == State::Failed {
            self.removals(job.id, now)
        } else {
            Vec::new()
        }
    }

    fn twice(&self, prefix: String, now: Time) -> Vec<Removal> {
        let late = now + self.options.late_sweep_delay;
        let removal = |not_before| Removal {
            prefix: prefix.clone(),
            not_before,
        };
        vec![removal(now), removal(late)]
    }
}
