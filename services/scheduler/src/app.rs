//! The use cases: rules, rows and watchers brought together.

mod admin;
mod approvals;
mod billing;
mod content;
mod dispatch;
mod floor;
mod groups;
mod holds;
mod images;
mod jobs;
mod lists;
mod outlook;
mod places;
mod prepare;
mod progress;
mod prompts;
mod settle;
mod submit;
#[cfg(test)]
mod testing;
mod upkeep;
mod uploads;
mod watch;

use std::sync::Arc;

use kinora_events::{EventBus, Received};
use kinora_ids::{JobId, LeaseRef, job_checkpoint_prefix, job_object_prefix};
use kinora_store::page::Sizes;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::clients::Objects;
use crate::clients::ledger::Ledger;
use crate::clients::prompts::Prompts;
use crate::clock::Clock;
use crate::config::SchedulerOptions;
use crate::dispatch::Waker;
use crate::domain::job::{Event, Job, State, Time};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::sessions::Sessions;
use crate::signals::{Signal, Topic, engine};
use crate::store::{JobStore, Removal, Wishes};
use billing::Billing;
use outlook::OutlookCache;

pub use admin::DeadLetter;
pub use approvals::Estimate;
pub use content::{Content, ContentKind};
pub use dispatch::Greeting;
pub use floor::Floor;
pub use groups::{GroupName, GroupView};
pub use jobs::View;
pub use lists::VideoQuery;
use places::Places;
pub use places::QueuePlace;
use progress::ProgressBoard;
use prompts::PromptDesk;
pub use uploads::{Announced, Upload};
pub use watch::{Out, Sighting, Watching};

/// How many rows lists show at a time.
pub(crate) const PAGES: Sizes = Sizes {
    usual: 20,
    most: 100,
};

/// Events kept for a slow watcher.
const WATCH_CAPACITY: usize = 64;

/// Everything that a request needs.
pub struct App {
    store: JobStore,
    bus: EventBus<Signal>,
    /// What running attempts have reported since it was stored.
    board: ProgressBoard,
    /// What operators see.
    pub metrics: Metrics,
    clock: Arc<dyn Clock>,
    objects: Arc<dyn Objects>,
    /// None where nothing costs anything.
    billing: Option<Billing>,
    /// None where prompts are taken as they come.
    prompts: Option<PromptDesk>,
    /// Submissions with pictures that may be taken in at a time.
    uploads: Arc<Semaphore>,
    /// Submissions whose pictures may be copied from other jobs at a time; more wait for their turn.
    copies: Semaphore,
    /// Streams on which jobs are followed.
    watches: kinora_mesh::places::Places,
    options: SchedulerOptions,
    /// What waits and who works, as of a moment ago.
    outlook: OutlookCache,
    /// Where queued jobs stand.
    places: Places,
    /// Names this process where duties are shared out.
    replica: String,
    /// Streams of attached workers.
    pub sessions: Sessions,
    /// Wakes dispatch.
    waker: Waker,
    /// Cancelled when open streams must end.
    pub shutdown: CancellationToken,
    /// The bus goes on until the last call is answered.
    _bus_stop: DropGuard,
}

impl App {
    /// Brings the parts together. Must be called within a Tokio runtime: the event bus connects in the background.
    #[must_use]
    pub fn new(
        store: JobStore,
        options: SchedulerOptions,
        objects: Arc<dyn Objects>,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Self {
        let bus_stop = CancellationToken::new();
        let waker = Waker::default();
        Self {
            store,
            bus: EventBus::open(engine(&options), WATCH_CAPACITY, bus_stop.clone()),
            board: ProgressBoard::default(),
            metrics: Metrics::global(),
            clock,
            objects,
            billing: None,
            prompts: None,
            uploads: Arc::new(Semaphore::new(options.picture_uploads.into())),
            copies: Semaphore::new(options.picture_uploads.into()),
            watches: kinora_mesh::places::Places::new(0, options.max_watches),
            options,
            outlook: OutlookCache::default(),
            places: Places::default(),
            replica: Uuid::now_v7().to_string(),
            sessions: Sessions::new(waker.clone()),
            waker,
            shutdown,
            _bus_stop: bus_stop.drop_guard(),
        }
    }

    /// Has jobs cost what the ledger says.
    #[must_use]
    pub fn with_ledger(self, ledger: Option<Arc<dyn Ledger>>) -> Self {
        let metrics = self.metrics.clone();
        let billing = ledger.map(|ledger| Billing::new(ledger, metrics));
        Self { billing, ..self }
    }

    /// Has prompts moderated, and rewritten where that is wanted.
    #[must_use]
    pub fn with_prompts(self, prompts: Option<Arc<dyn Prompts>>) -> Self {
        let metrics = self.metrics.clone();
        let prompts = prompts.map(|prompts| PromptDesk::new(prompts, metrics));
        Self { prompts, ..self }
    }

    /// How the scheduler runs.
    #[must_use]
    pub const fn options(&self) -> &SchedulerOptions {
        &self.options
    }

    /// Wakes dispatch: a job may have become leasable, or a worker can take one.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The clock that everything here goes by.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Tells watchers and dispatch, here and at other replicas, what was committed.
    fn announce(&self, event: Event) {
        self.board.forget(event.job);
        if event.state == State::Queued {
            self.waker.wake();
            self.bus.publish_elsewhere(Signal::Work);
        }
        self.bus.publish(Signal::Changed(Arc::new(event)));
    }

    /// Tells a worker that a lease no longer stands, at whichever replica it is attached.
    pub(crate) fn revoke(&self, worker: &str, lease: LeaseRef) {
        self.sessions.revoke(worker, lease);
        let worker = worker.to_owned();
        self.bus
            .publish_elsewhere(Signal::Revoked { worker, lease });
    }

    /// Tells a worker what operators want of it, at whichever replica it is attached.
    fn wish(&self, worker: &str, wishes: Wishes) {
        self.sessions.heed(worker, wishes);
        let worker = worker.to_owned();
        self.bus
            .publish_elsewhere(Signal::Wished { worker, wishes });
    }

    /// Shows operators what waits, what runs and who works.
    ///
    /// # Errors
    /// [`Error::Store`]; then nothing is shown rather than what was.
    pub async fn measure(&self) -> Result<(), Error> {
        let load = self.store.load(self.now(), self.options.worker_ttl).await;
        let shown = load.as_ref().cloned().unwrap_or_default();
        self.metrics.show(shown, self.bus.status());
        load.map(drop).map_err(Error::from)
    }

    /// Acts on what other replicas say, until `stop`.
    pub async fn hear(&self, stop: &CancellationToken) {
        let mut work = self.bus.subscribe(Topic::Work);
        let mut revocations = self.bus.subscribe(Topic::Revocations);
        let mut orders = self.bus.subscribe(Topic::Orders);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = work.next() => self.waker.wake(),
                // One that was lost is found by the next heartbeat.
                revoked = revocations.next() => {
                    if let Received::Event(Signal::Revoked { worker, lease }) = revoked {
                        self.sessions.revoke(&worker, lease);
                    }
                }
                order = orders.next() => match order {
                    Received::Event(Signal::Preempted { lease }) => {
                        self.sessions.preempt(lease);
                    }
                    Received::Event(Signal::Wished { worker, wishes }) => {
                        self.sessions.heed(&worker, wishes);
                    }
                    _ => {}
                },
            }
        }
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

    /// What the end of an attempt without a clip leaves behind. The pictures that came with a failed job stay until it is
    /// purged: an operator may try it again.
    fn removals_after_failure(&self, job: &Job, now: Time) -> Vec<Removal> {
        if job.state != State::Failed {
            return Vec::new();
        }
        (1..=job.lease)
            .map(|lease| LeaseRef { job: job.id, lease }.object_prefix())
            .chain([job_checkpoint_prefix(job.id)])
            .flat_map(|prefix| self.twice(prefix, now))
            .collect()
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
