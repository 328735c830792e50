//! Following a job.

use kinora_events::{Received, Subscription};
use kinora_ids::JobId;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::App;
use crate::domain::job::{Event, Job, State};
use crate::error::Error;

/// One watcher of one job.
pub struct Watching<'a> {
    app: &'a App,
    owner: &'a str,
    live: Subscription<JobId, Event>,
    job: Job,
    last_seq: u64,
    poll: Interval,
}

/// What a watcher sees: an event and, while it is queued, the jobs ahead.
pub type Sighting = (Event, u64);

type Out = mpsc::Sender<Result<Sighting, Error>>;

enum News {
    Event(Box<Event>),
    /// Something may have happened; the database knows.
    Reread,
    /// The watcher left.
    Left,
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
        let live = app.bus.subscribe(id);
        let job = app.store.get(owner, id).await?.ok_or(Error::JobNotFound)?;
        let mut poll = interval(app.options.poll_interval);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            app,
            owner,
            live,
            // A number from the future would hide every event, and a watcher of a job that has ended
            // is told so once more.
            last_seq: if job.state.is_terminal() {
                after_seq.min(job.seq.saturating_sub(1))
            } else {
                after_seq.min(job.seq)
            },
            job,
            poll,
        })
    }

    /// Sends what happened and what happens, until the job has ended or the watcher leaves.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`], [`Error::JobNotFound`] when the job is deleted, [`Error::Store`].
    pub async fn run(mut self, out: &Out) -> Result<(), Error> {
        loop {
            if self.catch_up(out).await? {
                return Ok(());
            }
            loop {
                match self.next(out).await? {
                    News::Left => return Ok(()),
                    News::Reread => break,
                    News::Event(event) if event.seq <= self.last_seq => {}
                    // A gap means that a transition is announced late: read it instead.
                    News::Event(event) if event.seq > self.last_seq + 1 => break,
                    News::Event(event) => {
                        let is_end = event.state.is_terminal();
                        if !self.send(out, *event).await? || is_end {
                            return Ok(());
                        }
                    }
                }
            }
            let id = self.job.id;
            let job = self.app.store.get(self.owner, id).await?;
            self.job = job.ok_or(Error::JobNotFound)?;
        }
    }

    /// Sends stored transitions, then the present. True when there is no more to come.
    async fn catch_up(&mut self, out: &Out) -> Result<bool, Error> {
        if self.job.seq > self.last_seq {
            let events = self
                .app
                .store
                .events_after(self.job.id, self.last_seq)
                .await?;
            for event in events {
                let is_end = event.state.is_terminal();
                if !self.send(out, event).await? || is_end {
                    return Ok(true);
                }
            }
            if self.job.seq > self.last_seq {
                let event = self.job.event(self.app.clock.now());
                if !self.send(out, event).await? {
                    return Ok(true);
                }
            }
        }
        Ok(self.job.state.is_terminal())
    }

    async fn next(&mut self, out: &Out) -> Result<News, Error> {
        tokio::select! {
            received = self.live.next() => Ok(match received {
                Received::Event(event) => News::Event(Box::new(event)),
                Received::Lagged => News::Reread,
            }),
            _ = self.poll.tick() => Ok(News::Reread),
            () = out.closed() => Ok(News::Left),
            () = self.app.shutdown.cancelled() => Err(Error::ShuttingDown),
        }
    }

    /// False when the watcher left.
    async fn send(&mut self, out: &Out, event: Event) -> Result<bool, Error> {
        self.last_seq = event.seq;
        let is_waiting = event.state == State::Queued && self.job.state == State::Queued;
        let ahead = if is_waiting {
            self.app.store.jobs_ahead(&self.job).await?
        } else {
            0
        };
        tokio::select! {
            sent = out.send(Ok((event, ahead))) => Ok(sent.is_ok()),
            () = self.app.shutdown.cancelled() => Err(Error::ShuttingDown),
        }
    }
}

#[cfg(test)]
mod tests;
