//! What a worker has reported and nobody has dealt with yet.
//!
//! The stream is read as fast as it comes, so that heartbeats never wait behind reports. What waits is bounded: of a
//! lease only the newest progress and the furthest checkpoint, and the first final report, count. The parts of one
//! lease are dealt with in their order and one at a time; leases do not wait for each other.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use kinora_ids::LeaseRef;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::domain::job::{Checkpoint, Failure, Outputs, Preview, Progress, Stage};
use crate::error::Error;

/// Leases that reports may wait for. A worker has no more.
const MAX_LEASES: usize = 4096;
/// Between two progress reports of a lease in the same stage. Nobody sees more, and each costs a write.
const PROGRESS_GAP: Duration = Duration::from_millis(100);

/// How an attempt has ended, with the time that it had the device.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// With a clip.
    Completed(Outputs, Option<Duration>),
    /// Without one.
    Failed(Failure, Option<Duration>),
}

/// What waits of a lease.
#[derive(Debug, Default, PartialEq)]
pub struct Reports {
    /// The furthest.
    pub checkpoint: Option<Checkpoint>,
    /// The newest.
    pub progress: Option<Progress>,
    /// The newest.
    pub preview: Option<Preview>,
    /// The first.
    pub ending: Option<Ending>,
}

#[derive(Debug)]
struct Waiting {
    reports: Reports,
    /// When it may be dealt with.
    due: Instant,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<LeaseRef, Waiting>,
    /// The leases of `waiting` in the order of their first report.
    order: VecDeque<LeaseRef>,
    /// Leases whose reports are being dealt with.
    busy: HashSet<LeaseRef>,
    /// The stage of a lease's last progress, and when the next one may be dealt with.
    paced: HashMap<LeaseRef, (Stage, Instant)>,
    is_closed: bool,
}

/// Reports between who reads them and who deals with them.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    changed: Notify,
}

/// What is to be done next.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would be made for every report"
)]
enum Next {
    Take(LeaseRef, Reports),
    WaitUntil(Instant),
    Wait,
    End,
}

impl Inbox {
    /// Adds how far an attempt is.
    ///
    /// # Errors
    /// [`Error::WorkerMessage`] when reports of too many leases wait.
    pub fn progress(
        &self,
        lease: LeaseRef,
        progress: Progress,
        preview: Option<Preview>,
    ) -> Result<(), Error> {
        let due = self
            .state
            .lock()
            .progress_due(lease, progress.stage, Instant::now());
        self.add(lease, due, |reports| {
            reports.progress = Some(progress);
            if preview.is_some() {
                reports.preview = preview;
            }
        })
    }

    /// Adds a checkpoint.
    ///
    /// # Errors
    /// As [`Inbox::progress`].
    pub fn checkpoint(&self, lease: LeaseRef, checkpoint: Checkpoint) -> Result<(), Error> {
        self.add(lease, Instant::now(), |reports| {
            let is_further = |known: &Checkpoint| checkpoint.step >= known.step;
            if reports.checkpoint.as_ref().is_none_or(is_further) {
                reports.checkpoint = Some(checkpoint);
            }
        })
    }

    /// Adds the end of an attempt. What is reported of it after that does not count.
    ///
    /// # Errors
    /// As [`Inbox::progress`].
    pub fn ending(&self, lease: LeaseRef, ending: Ending) -> Result<(), Error> {
        self.add(lease, Instant::now(), |reports| {
            reports.ending.get_or_insert(ending);
            reports.progress = None;
            reports.preview = None;
        })
    }

    /// Notes that nothing more comes.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// The reports of the lease that has waited longest, once they are due. None after the end. To be called by one
    /// task; what it takes is busy until [`Inbox::done`].
    pub async fn next(&self) -> Option<(LeaseRef, Reports)> {
        loop {
            let next = self.state.lock().next(Instant::now());
            match next {
                Next::Take(lease, reports) => return Some((lease, reports)),
                Next::End => return None,
                Next::Wait => self.changed.notified().await,
                Next::WaitUntil(due) => tokio::select! {
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep_until(due) => {}
                },
            }
        }
    }

    /// Notes that what was taken of a lease has been dealt with.
    pub fn done(&self, lease: LeaseRef, has_ended: bool) {
        let mut state = self.state.lock();
        state.busy.remove(&lease);
        if has_ended {
            state.paced.remove(&lease);
        }
        drop(state);
        self.changed.notify_one();
    }

    fn add(
        &self,
        lease: LeaseRef,
        due: Instant,
        change: impl FnOnce(&mut Reports),
    ) -> Result<(), Error> {
        let mut state = self.state.lock();
        if !state.waiting.contains_key(&lease) {
            if state.waiting.len() >= MAX_LEASES {
                return Err(Error::WorkerMessage {
                    field: "lease",
                    problem: "is one of too many that are reported at once",
                });
            }
            state.order.push_back(lease);
        }
        let waiting = state.waiting.entry(lease).or_insert_with(|| Waiting {
            reports: Reports::default(),
            due,
        });
        waiting.due = waiting.due.min(due);
        if waiting.reports.ending.is_none() {
            change(&mut waiting.reports);
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }
}

impl State {
    /// A new stage is news at once.
    fn progress_due(&self, lease: LeaseRef, stage: Stage, now: Instant) -> Instant {
        match self.paced.get(&lease) {
            Some((known, due)) if *known == stage => *due,
            _ => now,
        }
    }

    fn next(&mut self, now: Instant) -> Next {
        if self.is_closed && self.order.is_empty() && self.busy.is_empty() {
            return Next::End;
        }
        let mut earliest = None;
        let mut found = None;
        for (index, lease) in self.order.iter().enumerate() {
            let Some(waiting) = self.waiting.get(lease) else {
                continue;
            };
            if self.busy.contains(lease) {
                continue;
            }
            // Nothing more comes that could replace it.
            if self.is_closed || waiting.due <= now {
                found = Some((index, *lease));
                break;
            }
            earliest = Some(earliest.map_or(waiting.due, |at: Instant| at.min(waiting.due)));
        }
        let Some((index, lease)) = found else {
            return earliest.map_or(Next::Wait, Next::WaitUntil);
        };
        self.order.remove(index);
        let reports = self.waiting.remove(&lease).map(|it| it.reports);
        let reports = reports.unwrap_or_default();
        self.busy.insert(lease);
        if let Some(progress) = &reports.progress {
            self.pace(lease, progress.stage, now);
        }
        Next::Take(lease, reports)
    }

    fn pace(&mut self, lease: LeaseRef, stage: Stage, now: Instant) {
        if self.paced.len() >= MAX_LEASES {
            self.paced.retain(|_, (_, due)| *due > now);
        }
        self.paced.insert(lease, (stage, now + PROGRESS_GAP));
    }
}

#[cfg(test)]
mod tests;
