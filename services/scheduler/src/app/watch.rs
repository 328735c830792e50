//! Following jobs: stored transitions, then the present, then what happens.
//!
//! The bus may lose events and says so; then, and now and then anyway, a watcher reads the row. What it was sent never
//! repeats and never goes back: numbers only grow, and an event after a gap that may hide a transition makes it read the
//! stored ones first. A watcher that does not read is cut off with the number to go on after.

mod group;
mod outlet;
mod seen;

use std::time::Duration;

use kinora_events::{Received, Subscription};
use kinora_ids::JobId;
use kinora_mesh::places::Place;
use tokio::time::{Instant, sleep_until};

use super::{App, QueuePlace};
use crate::domain::job::{Event, Job, SEQ_STRIDE, State};
use crate::error::Error;
use crate::signals::{Signal, Topic};
use outlet::Outlet;
use seen::{Patience, Seen, Step};

pub use outlet::Out;

/// A watcher whose bus is well reads the row less often than the poll interval says.
const CALM: u32 = 15;

/// A queued job's watcher looks where it stands once in so many poll intervals.
const PLACE_POLLS: u32 = 2;

/// What a watcher sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// What happened.
    pub event: Event,
    /// Where the job stands in the queue, while it is queued.
    pub place: Option<QueuePlace>,
}

/// One watcher of one job.
pub struct Watching<'a> {
    app: &'a App,
    owner: &'a str,
    live: Subscription<Signal>,
    job: Job,
    seen: Seen,
    patience: Patience,
    shown_place: Option<QueuePlace>,
    next_look: Instant,
    next_place: Instant,
}

enum News {
    Signal(Signal),
    /// Something may have happened; the database knows.
    Reread,
    /// The job may stand elsewhere in the queue.
    Place,
    /// The watcher left.
    Left,
}

impl App {
    /// A place for one more stream of an owner, kept while it is open.
    ///
    /// # Errors
    /// [`Error::TooManyWatches`].
    pub fn watch_place(&self, owner: &str) -> Result<Place, Error> {
        let limit = self.options.max_watches;
        let place = self.watches.take(owner);
        place.ok_or(Error::TooManyWatches { limit })
    }
}

impl<'a> Watching<'a> {
    /// Begins after `after_seq`. Subscribes before it reads, so that nothing falls between.
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::Store`].
    pub async fn begin(
        app: &'a App,
        owner: &'a str,
        id: JobId,
        after_seq: u64,
    ) -> Result<Self, Error> {
        let live = app.bus.subscribe(Topic::Job(id));
        let job = app.store.get(owner, id).await?.ok_or(Error::JobNotFound)?;
        // A number from the future would hide every event, and a watcher of a job that has ended
        // is told so once more.
        let newest = if job.state.is_terminal() {
            job.seq.saturating_sub(1)
        } else {
            job.seq + SEQ_STRIDE - 1
        };
        Ok(Self {
            app,
            owner,
            live,
            seen: Seen::up_to(after_seq.min(newest)),
            job,
            patience: Patience::default(),
            shown_place: None,
            next_look: app.next_look(),
            next_place: app.next_place(),
        })
    }

    /// Sends what happened and what happens, until the job has ended or the watcher leaves.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`], [`Error::JobNotFound`] when the job is deleted, [`Error::WatcherTooSlow`],
    /// [`Error::Store`].
    pub async fn run(mut self, out: &Out) -> Result<(), Error> {
        let outlet = Outlet::new(self.app, out);
        loop {
            if self.catch_up(&outlet).await? {
                return Ok(());
            }
            loop {
                match self.next(&outlet).await? {
                    News::Left => return Ok(()),
                    News::Reread => break,
                    News::Place => {
                        if self.refresh_place(&outlet).await? {
                            return Ok(());
                        }
                    }
                    News::Signal(signal) => match self.seen.step(&signal) {
                        Step::Old => {}
                        Step::Gap => break,
                        Step::Next(event) => {
                            let is_end = event.state.is_terminal();
                            if !self.send(&outlet, event).await? || is_end {
                                return Ok(());
                            }
                        }
                    },
                }
            }
            let job = self.app.store.get(self.owner, self.job.id).await?;
            self.job = job.ok_or(Error::JobNotFound)?;
            self.next_look = self.app.next_look();
        }
    }

    /// Sends stored transitions, then the present. True when there is no more to come.
    async fn catch_up(&mut self, outlet: &Outlet<'_>) -> Result<bool, Error> {
        if self.job.seq <= self.seen.seq {
            self.seen.note(&self.job.event(self.app.now()));
            let has_left = self.refresh_place(outlet).await?;
            return Ok(has_left || self.job.state.is_terminal());
        }
        let store = &self.app.store;
        for event in store.events_after(self.job.id, self.seen.seq).await? {
            let is_end = event.state.is_terminal();
            if !self.send(outlet, event).await? || is_end {
                return Ok(true);
            }
        }
        if self.job.seq > self.seen.seq {
            let event = self.job.event(self.app.now());
            if !self.send(outlet, event).await? {
                return Ok(true);
            }
        }
        Ok(self.job.state.is_terminal())
    }

    /// Tells a queued job's new place, under a number of its own. True when the watcher left.
    async fn refresh_place(&mut self, outlet: &Outlet<'_>) -> Result<bool, Error> {
        self.next_place = self.app.next_place();
        // What the bus has told since may be ahead of the row that was read.
        if !self.is_queued() {
            return Ok(false);
        }
        let place = self.app.queue_place(&self.job).await?;
        let seq = self.seen.seq.max(self.job.seq) + 1;
        if place.is_none() || place == self.shown_place || seq >= self.job.seq + SEQ_STRIDE {
            return Ok(false);
        }
        self.shown_place = place;
        let event = Event {
            seq,
            ..self.job.event(self.app.now())
        };
        Ok(!self.deliver(outlet, Sighting { event, place }).await?)
    }

    /// Whether the job is queued, as far as the watcher knows, by the row that was read last.
    fn is_queued(&self) -> bool {
        self.job.state == State::Queued && self.seen.is_at(self.job.state, self.job.attempt)
    }

    async fn next(&mut self, outlet: &Outlet<'_>) -> Result<News, Error> {
        let is_queued = self.is_queued();
        tokio::select! {
            received = self.live.next() => match received {
                Received::Event(signal) => Ok(News::Signal(signal)),
                Received::Reread => Ok(News::Reread),
                Received::Lagged if self.patience.is_over(Instant::now()) => Err(outlet.too_slow(self.seen.seq)),
                Received::Lagged => Ok(News::Reread),
            },
            () = sleep_until(self.next_look) => Ok(News::Reread),
            () = sleep_until(self.next_place), if is_queued => Ok(News::Place),
            () = outlet.closed() => Ok(News::Left),
            () = self.app.shutdown.cancelled() => Err(Error::ShuttingDown),
        }
    }

    /// False when the watcher left.
    async fn send(&mut self, outlet: &Outlet<'_>, event: Event) -> Result<bool, Error> {
        let is_waiting = event.state == State::Queued && self.job.state == State::Queued;
        let place = if is_waiting {
            self.app.queue_place(&self.job).await?
        } else {
            None
        };
        self.shown_place = place;
        self.deliver(outlet, Sighting { event, place }).await
    }

    async fn deliver(&mut self, outlet: &Outlet<'_>, sighting: Sighting) -> Result<bool, Error> {
        let before = self.seen.seq;
        self.seen.note(&sighting.event);
        outlet.send(sighting, before).await
    }
}

impl App {
    /// When a watcher reads the row although it was told nothing.
    fn next_look(&self) -> Instant {
        let interval = self.options.poll_interval;
        let is_well = self.bus.status().is_connected;
        let interval = if is_well { interval * CALM } else { interval };
        spread(interval)
    }

    /// When a queued job's watcher looks where it stands.
    fn next_place(&self) -> Instant {
        spread(self.options.poll_interval * PLACE_POLLS)
    }
}

/// Watchers that came together do not look together for ever.
fn spread(interval: Duration) -> Instant {
    Instant::now() + interval.mul_f64(rand::random_range(0.75..1.0))
}

#[cfg(test)]
mod tests;
