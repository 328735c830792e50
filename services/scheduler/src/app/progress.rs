//! Progress of running attempts: often to watchers, seldom to the row.
//!
//! The first report that a process gets of a lease is stored, and so is every change of the stage and whatever is there
//! once [`SchedulerOptions::progress_interval`](crate::SchedulerOptions) has passed. Reports between those are
//! announced under numbers that follow the stored one (see [`SEQ_STRIDE`]). Only the process that stored a number gives
//! those out that follow it: after a move to another replica the first report is stored again, under a higher number.
//! Whether the lease stands is therefore checked at every write, and in between taken from the last one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinora_ids::{JobId, LeaseRef};
use parking_lot::Mutex;

use super::App;
use crate::domain::job::{Event, Job, Preview, Progress, SEQ_STRIDE, State, Time};
use crate::domain::transition::{self, Reporter};
use crate::error::Error;
use crate::signals::Signal;
use crate::store::Change;

/// Watchers of this process hear of single steps no more often, unless a picture comes along.
const LEAST_SPACING: Duration = Duration::from_millis(50);

/// What has not been reported on for this long has gone elsewhere.
const FORGET_AFTER: Duration = Duration::from_secs(120);

/// What running attempts have reported since it was stored.
#[derive(Debug, Default)]
pub struct ProgressBoard {
    attempts: Mutex<HashMap<JobId, Attempt>>,
}

#[derive(Debug)]
struct Attempt {
    worker: String,
    /// As it was stored, with the newest progress.
    job: Job,
    /// Numbers given out after the stored one.
    given: u64,
    stored_at: Instant,
    announced_at: Instant,
    /// Whether there is progress that is not stored.
    is_ahead: bool,
}

/// What becomes of a report.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would be made for every report"
)]
#[derive(Debug)]
enum Noted {
    /// It must be stored.
    Store,
    /// It is told to watchers.
    Announce(Event),
    /// A later one will do.
    Keep,
}

impl ProgressBoard {
    /// Forgets what was reported on a job: something else happened to it.
    pub fn forget(&self, job: JobId) {
        self.attempts.lock().remove(&job);
    }

    fn note(
        &self,
        from: Reporter<'_>,
        progress: &Progress,
        preview: Option<&Preview>,
        now: Time,
        interval: Duration,
    ) -> Noted {
        let mut attempts = self.attempts.lock();
        let Some(attempt) = attempts.get_mut(&from.lease.job) else {
            return Noted::Store;
        };
        let is_same = attempt.job.newest_lease() == from.lease && attempt.worker == from.worker;
        let is_due = attempt.stored_at.elapsed() >= interval
            || attempt.given + 1 >= SEQ_STRIDE
            || attempt.job.progress.stage != progress.stage;
        if !is_same || is_due {
            return Noted::Store;
        }
        attempt.advance(from, progress, preview, now)
    }

    fn stored(&self, from: Reporter<'_>, job: Job) {
        let mut attempts = self.attempts.lock();
        attempts.retain(|_, attempt| attempt.stored_at.elapsed() < FORGET_AFTER);
        let now = Instant::now();
        let attempt = Attempt {
            worker: from.worker.to_owned(),
            job,
            given: 0,
            stored_at: now,
            announced_at: now,
            is_ahead: false,
        };
        attempts.insert(from.lease.job, attempt);
    }

    /// Shows a job as far as it is known to be, where this process knows more than was stored.
    pub fn freshen(&self, job: &mut Job) {
        let attempts = self.attempts.lock();
        let known = attempts.get(&job.id).map(|attempt| &attempt.job);
        let is_same = |known: &&Job| known.newest_lease() == job.newest_lease();
        if let Some(known) = known.filter(is_same)
            && job.state == State::Running
            && job.seq == known.seq
        {
            job.progress = known.progress.clone();
        }
    }

    /// How far watchers think that a lease is.
    fn fraction(&self, lease: LeaseRef) -> f64 {
        let attempts = self.attempts.lock();
        let attempt = attempts.get(&lease.job);
        attempt
            .filter(|attempt| attempt.job.newest_lease() == lease)
            .map_or(0.0, |attempt| attempt.job.progress.fraction)
    }

    /// Leases with progress that is not stored although it is time.
    fn late(&self, interval: Duration) -> Vec<LeaseRef> {
        let attempts = self.attempts.lock();
        let late = attempts.values().filter(|it| it.is_late(interval));
        late.map(|it| it.job.newest_lease()).collect()
    }

    /// That progress, and whose it is.
    fn late_of(&self, lease: LeaseRef, interval: Duration) -> Option<(String, Progress)> {
        let attempts = self.attempts.lock();
        let attempt = attempts.get(&lease.job)?;
        let is_late = attempt.job.newest_lease() == lease && attempt.is_late(interval);
        is_late.then(|| (attempt.worker.clone(), attempt.job.progress.clone()))
    }
}

impl Attempt {
    fn is_late(&self, interval: Duration) -> bool {
        self.is_ahead && self.stored_at.elapsed() >= interval
    }

    fn advance(
        &mut self,
        from: Reporter<'_>,
        progress: &Progress,
        preview: Option<&Preview>,
        now: Time,
    ) -> Noted {
        let stored = self.job.seq;
        let progress = progress.clone();
        let advanced = match preview {
            Some(preview) => transition::advance_with_preview(
                &mut self.job,
                from,
                progress,
                preview.clone(),
                now,
            )
            .map(Some),
            None => transition::advance(&mut self.job, from, progress, now),
        };
        self.job.seq = stored;
        let mut event = match advanced {
            Ok(Some(event)) => event,
            Ok(None) => return Noted::Keep,
            // The database decides.
            Err(_) => return Noted::Store,
        };
        self.is_ahead = true;
        if event.preview.is_none() && self.announced_at.elapsed() < LEAST_SPACING {
            return Noted::Keep;
        }
        self.announced_at = Instant::now();
        self.given += 1;
        event.seq = stored + self.given;
        Noted::Announce(event)
    }
}

impl App {
    /// Records progress and shows a picture, if there is one. False when the lease is known not to stand.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn progress(
        &self,
        from: Reporter<'_>,
        progress: Progress,
        preview: Option<Preview>,
    ) -> Result<bool, Error> {
        let interval = self.options.progress_interval;
        match self.board.note(
            from,
            &progress,
            preview.as_ref(),
            self.clock.now(),
            interval,
        ) {
            Noted::Store => self.store_progress(from, progress, preview).await,
            Noted::Keep => Ok(true),
            Noted::Announce(event) => {
                self.announce_progress(event, false);
                Ok(true)
            }
        }
    }

    /// Stores progress that no later report has stored.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn store_late_progress(&self) -> Result<(), Error> {
        let interval = self.options.progress_interval;
        for lease in self.board.late(interval) {
            // A report may have been stored while the ones before were.
            let Some((worker, progress)) = self.board.late_of(lease, interval) else {
                continue;
            };
            let worker = &worker;
            self.store_progress(Reporter { worker, lease }, progress, None)
                .await?;
        }
        Ok(())
    }

    async fn store_progress(
        &self,
        from: Reporter<'_>,
        progress: Progress,
        preview: Option<Preview>,
    ) -> Result<bool, Error> {
        let now = self.clock.now();
        let seen = self.board.fraction(from.lease);
        let mut old_stage = progress.stage;
        let rule = |job: &mut Job| {
            old_stage = job.progress.stage;
            let progress = Progress {
                fraction: if progress.fraction.is_finite() {
                    progress.fraction.max(seen)
                } else {
                    seen
                },
                ..progress
            };
            let event = match preview {
                Some(preview) => {
                    transition::advance_with_preview(job, from, progress, preview, now).map(Some)
                }
                None => transition::advance(job, from, progress, now),
            }?;
            Ok::<_, transition::StaleLease>(Change {
                event,
                removals: Vec::new(),
            })
        };
        match self.store.change(from.lease.job, None, rule).await? {
            Some(Ok((job, change))) => {
                let is_new_stage = job.progress.stage != old_stage;
                self.board.stored(from, job);
                if let Some(event) = change.event {
                    self.announce_progress(event, is_new_stage);
                }
                Ok(true)
            }
            Some(Err(transition::StaleLease)) | None => {
                self.refuse(from);
                Ok(false)
            }
        }
    }

    fn announce_progress(&self, event: Event, is_new_stage: bool) {
        let event = Arc::new(event);
        self.bus.publish(Signal::Progress {
            event,
            is_new_stage,
        });
    }
}

#[cfg(test)]
mod tests;
