//! Following all jobs of a group.

use std::collections::HashMap;
use std::time::Duration;

use kinora_events::{Received, Subscription};
use kinora_ids::JobId;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::outlet::{Out, Outlet};
use super::seen::{Patience, Seen, Step};
use super::{App, News, QueuePlace, Sighting, Watching};
use crate::domain::job::{Event, Job};
use crate::error::Error;
use crate::signals::{Signal, Topic};

/// A group is read no more often, however much happens in it.
const READ_SPACING: Duration = Duration::from_millis(200);

/// One watcher of a group.
pub struct GroupWatching<'a> {
    app: &'a App,
    owner: &'a str,
    group: Uuid,
    live: Subscription<Signal>,
    /// By job. A job that is not here was not read yet.
    seen: HashMap<JobId, Seen>,
    patience: Patience,
    next_look: Instant,
    last_read: Instant,
}

impl<'a> Watching<'a> {
    /// Begins to watch a group, before it is read.
    #[must_use]
    pub fn group(app: &'a App, owner: &'a str, group: Uuid) -> GroupWatching<'a> {
        GroupWatching {
            app,
            owner,
            group,
            live: app.bus.subscribe(Topic::Group(group)),
            seen: HashMap::new(),
            patience: Patience::default(),
            next_look: app.next_look(),
            last_read: Instant::now(),
        }
    }
}

impl GroupWatching<'_> {
    /// Sends the present state of each job, then what happens, until all have ended or the watcher leaves. Numbers grow
    /// within each job.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`], [`Error::ShuttingDown`], [`Error::Store`], [`Error::WatcherTooSlow`] with a number that
    /// means nothing: a watch of a group starts afresh.
    pub async fn run(mut self, out: &Out) -> Result<(), Error> {
        let outlet = Outlet::new(self.app, out);
        loop {
            for job in self.read().await? {
                if !self.show(&outlet, &job).await? {
                    return Ok(());
                }
            }
            if !self.follow(&outlet).await? {
                return Ok(());
            }
            // Several jobs are often changed at once.
            sleep_until(self.last_read + READ_SPACING).await;
        }
    }

    async fn read(&mut self) -> Result<Vec<Job>, Error> {
        self.last_read = Instant::now();
        let found = self.app.store.group(self.owner, self.group).await?;
        let (_, jobs) = found.ok_or(Error::GroupNotFound)?;
        // Deleted ones do not end any more.
        self.seen
            .retain(|id, _| jobs.iter().any(|job| job.id == *id));
        self.next_look = self.app.next_look();
        Ok(jobs)
    }

    /// Sends what the bus says. True when the group must be read again, false when there is no more to come.
    async fn follow(&mut self, outlet: &Outlet<'_>) -> Result<bool, Error> {
        while !self.seen.values().all(Seen::is_end) {
            let step = match self.next(outlet).await? {
                News::Left => return Ok(false),
                News::Reread | News::Place => return Ok(true),
                News::Signal(signal) => self.step(&signal),
            };
            match step {
                Step::Old => {}
                Step::Gap => return Ok(true),
                Step::Next(event) => {
                    if !self.send(outlet, event, None).await? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(false)
    }

    fn step(&self, signal: &Signal) -> Step {
        let (Signal::Changed(event) | Signal::Progress { event, .. }) = signal else {
            return Step::Old;
        };
        let seen = self.seen.get(&event.job);
        seen.map_or(Step::Gap, |seen| seen.step(signal))
    }

    /// Sends a job's present state if it is news.
    async fn show(&mut self, outlet: &Outlet<'_>, job: &Job) -> Result<bool, Error> {
        let is_known = |seen: &Seen| job.seq <= seen.seq;
        if self.seen.get(&job.id).is_some_and(is_known) {
            return Ok(true);
        }
        let place = self.app.queue_place(job).await?;
        self.send(outlet, job.event(self.app.now()), place).await
    }

    async fn send(
        &mut self,
        outlet: &Outlet<'_>,
        event: Event,
        place: Option<QueuePlace>,
    ) -> Result<bool, Error> {
        let seen = self.seen.entry(event.job).or_insert(Seen::up_to(0));
        let before = seen.seq;
        seen.note(&event);
        outlet.send(Sighting { event, place }, before).await
    }

    async fn next(&mut self, outlet: &Outlet<'_>) -> Result<News, Error> {
        tokio::select! {
            received = self.live.next() => match received {
                Received::Event(signal) => Ok(News::Signal(signal)),
                Received::Reread => Ok(News::Reread),
                Received::Lagged if self.patience.is_over(Instant::now()) => Err(outlet.too_slow(0)),
                Received::Lagged => Ok(News::Reread),
            },
            () = sleep_until(self.next_look) => Ok(News::Reread),
            () = outlet.closed() => Ok(News::Left),
            () = self.app.shutdown.cancelled() => Err(Error::ShuttingDown),
        }
    }
}
