//! Following all jobs of a group.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::BoxFuture;
use kinora_events::{Received, Subscription};
use kinora_ids::JobId;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::outlet::{Out, Outlet};
use super::seen::{Patience, Seen, Step};
use super::{App, News, Sighting, Watching};
use crate::domain::job::{Event, Job};
use crate::error::Error;
use crate::signals::{Signal, Topic};

/// A group is read no more often, however much happens in it.
const READ_SPACING: Duration = Duration::from_millis(200);

/// One watcher of a group.
pub struct GroupWatching<'a> {
    app: &'a App,
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
    pub fn group(app: &'a App, group: Uuid) -> GroupWatching<'a> {
        GroupWatching {
            app,
            live: app.bus.subscribe(Topic::Group(group)),
            seen: HashMap::new(),
            patience: Patience::default(),
            next_look: app.next_look(),
            last_read: Instant::now(),
        }
    }
}

impl GroupWatching<'_> {
    /// Sends the present state of each job that `read` finds, then what happens, until all have ended or the watcher
    /// leaves. Numbers grow within each job.
    ///
    /// # Errors
    /// Those of `read`; [`Error::ShuttingDown`], [`Error::WatcherTooSlow`] with a number that means nothing: a watch of a
    /// group starts afresh.
    pub async fn run(
        mut self,
        read: impl Fn() -> BoxFuture<'static, Result<Vec<Job>, Error>> + Send,
        out: &Out,
    ) -> Result<(), Error> {
        let outlet = Outlet::new(self.app, out);
        loop {
            self.last_read = Instant::now();
            let jobs = read().await?;
            // Deleted ones do not end any more.
            self.seen
                .retain(|id, _| jobs.iter().any(|job| job.id == *id));
            for job in &jobs {
                if !self.show(&outlet, job).await? {
                    return Ok(());
                }
            }
            self.next_look = self.app.next_look();
            loop {
                if self.seen.values().all(Seen::is_end) {
                    return Ok(());
                }
                let step = match self.next(&outlet).await? {
                    News::Left => return Ok(()),
                    News::Reread => Step::Gap,
                    News::Signal(signal) => self.step(&signal),
                };
                match step {
                    Step::Old => {}
                    Step::Gap => break,
                    Step::Next(event) => {
                        if !self.send(&outlet, event).await? {
                            return Ok(());
                        }
                    }
                }
            }
            // Several jobs are often changed at once.
            sleep_until(self.last_read + READ_SPACING).await;
        }
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
        self.send(outlet, job.event(self.app.now())).await
    }

    async fn send(&mut self, outlet: &Outlet<'_>, event: Event) -> Result<bool, Error> {
        let seen = self.seen.entry(event.job).or_insert(Seen::up_to(0));
        let before = seen.seq;
        seen.note(&event);
        outlet.send(Sighting { event, place: None }, before).await
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
