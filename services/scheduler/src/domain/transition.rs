//! The rules by which a job changes. The only code that sets a job's state.
//!
//! ```text
//!            claim                complete
//!   Queued ─────────▶ Running ───────────────▶ Completed
//!     ▲ ▲   ◀───────────┘ │ └── fail, lose ──▶ Failed
//!     │ │    fail, lose   │     (no attempts left, poisoned)
//!     │ │                 │ complete (a preview)
//!     │ └─ approve ── AwaitingApproval
//! ```
//!
//! `cancel` ends a job from every state that is not terminal; `expire` ends one that waits for its start or its
//! approval; `need_lost` ends one that waits for another job which will not complete.
//!
//! A report counts only when it comes from the worker that holds the newest lease of a running job;
//! the lease number is the fence. Terminal states never change.

use std::time::Duration;

use kinora_ids::LeaseRef;

use super::job::{
    Checkpoint, Event, Failure, Job, Outputs, Preview, Progress, SEQ_STRIDE, Stage, State, Time,
};
use super::retry::{
    Decision, History, MOST_LOST_WORKERS, POISONED, RetryPolicy, is_hand_back, is_worker_gone,
};

mod waiting;

pub use waiting::{NEED_LOST, NotApprovable, approve, expire, need_lost, need_met};

/// The lease does not stand: lapsed, cancelled, ended, or granted to another worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease no longer stands")]
pub struct StaleLease;

/// Who reports, under which lease.
#[derive(Clone, Copy, Debug)]
pub struct Reporter<'a> {
    /// The worker of the stream that the report came on.
    pub worker: &'a str,
    /// The lease it names.
    pub lease: LeaseRef,
}

/// Whether the reporter's lease lets it work on, or repeat its last report.
#[must_use]
pub fn stands(job: &Job, reporter: Reporter<'_>) -> bool {
    let may_work = holds_newest(job, reporter) && job.state == State::Running;
    may_work || has_completed(job, reporter)
}

/// Leases a queued job to a worker, or does nothing when it is not to be had at `now`. What has started expires no more.
pub fn claim(job: &mut Job, worker: &str, now: Time, time_limit: Duration) -> Option<Event> {
    let is_late = job.expire_at.is_some_and(|expire_at| expire_at <= now);
    if job.state != State::Queued || job.run_at > now || is_late || !job.has_what_it_needs() {
        return None;
    }
    job.state = State::Running;
    job.expire_at = None;
    job.lease += 1;
    job.attempt += 1;
    job.worker = Some(worker.to_owned());
    job.start_time = Some(now);
    job.deadline = now.checked_add_signed(signed(time_limit));
    job.progress = Progress::at(Stage::Loading, job.work().steps);
    Some(numbered(job, now))
}

/// Records how far the attempt is.
///
/// The fraction never falls within an attempt; a report that tells nothing new gives no event.
///
/// # Errors
/// [`StaleLease`], and the job is unchanged.
pub fn advance(
    job: &mut Job,
    reporter: Reporter<'_>,
    progress: Progress,
    now: Time,
) -> Result<Option<Event>, StaleLease> {
    if !is_running_under(job, reporter) {
        return Err(StaleLease);
    }
    let reported = if progress.fraction.is_finite() {
        progress.fraction.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let steps = job.work().steps;
    // Workers count within a stage; callers see denoising steps.
    let step = match progress.stage {
        Stage::Queued | Stage::Loading | Stage::Encoding => 0,
        Stage::Denoising => progress.step.min(steps),
        Stage::Decoding | Stage::Packaging | Stage::Uploading => steps,
    };
    let next = Progress {
        step,
        steps,
        fraction: reported.max(job.progress.fraction),
        ..progress
    };
    if next == job.progress {
        return Ok(None);
    }
    job.progress = next;
    Ok(Some(numbered(job, now)))
}

/// As [`advance`], with a picture to show, which is always an event.
///
/// # Errors
/// [`StaleLease`], and the job is unchanged.
pub fn advance_with_preview(
    job: &mut Job,
    reporter: Reporter<'_>,
    progress: Progress,
    preview: Preview,
    now: Time,
) -> Result<Event, StaleLease> {
    let event = advance(job, reporter, progress, now)?;
    let mut event = event.unwrap_or_else(|| numbered(job, now));
    event.preview = Some(preview);
    Ok(event)
}

/// Records where the next attempt can go on. No event: callers do not see it.
///
/// Within a lease fewer steps change nothing. The first checkpoint of a newer lease replaces an older lease's, however
/// far that was: an attempt that has fewer steps could not use the older one, and the next could not either.
///
/// # Errors
/// [`StaleLease`], and the job is unchanged.
pub fn checkpoint(
    job: &mut Job,
    reporter: Reporter<'_>,
    checkpoint: Checkpoint,
) -> Result<(), StaleLease> {
    if !is_running_under(job, reporter) {
        return Err(StaleLease);
    }
    let (newest, granted_step) = match &job.checkpoint {
        Some(own) if own.lease == job.lease => (own.step, own.granted_step),
        Some(granted) => (0, granted.step),
        None => (0, 0),
    };
    if (newest..=job.work().steps).contains(&checkpoint.step) {
        job.checkpoint = Some(Checkpoint {
            lease: job.lease,
            granted_step,
            ..checkpoint
        });
    }
    Ok(())
}

/// Ends an attempt with its outputs: the job is completed, or its preview awaits approval. No event when the same
/// lease completed it before, and its receipt was lost.
///
/// `device_time` is the worker's account; one that is missing or longer than the attempt is replaced by the
/// attempt's own length.
///
/// # Errors
/// [`StaleLease`], and the job is unchanged.
pub fn complete(
    job: &mut Job,
    reporter: Reporter<'_>,
    outputs: Outputs,
    device_time: Option<Duration>,
    now: Time,
) -> Result<Option<Event>, StaleLease> {
    if has_completed(job, reporter) {
        return Ok(None);
    }
    if !is_running_under(job, reporter) {
        return Err(StaleLease);
    }
    charge(job, device_time, now);
    job.failure = None;
    job.progress.step = job.work().steps;
    job.progress.fraction = 1.0;
    job.progress.eta = None;
    if job.preview_spec.is_some() && !job.is_approved {
        return Ok(Some(await_approval(job, outputs, now)));
    }
    job.outputs = Some(outputs);
    Ok(Some(end(job, State::Completed, now)))
}

/// Ends an attempt that failed by its worker's own account, or that its worker gives back. `device_time` is as in
/// [`complete`].
///
/// # Errors
/// [`StaleLease`], and the job is unchanged.
pub fn fail(
    job: &mut Job,
    reporter: Reporter<'_>,
    failure: Failure,
    device_time: Option<Duration>,
    now: Time,
    (policy, jitter): (&RetryPolicy, f64),
) -> Result<Event, StaleLease> {
    if !is_running_under(job, reporter) {
        return Err(StaleLease);
    }
    charge(job, device_time, now);
    Ok(end_attempt(job, failure, now, policy, jitter))
}

/// Ends an attempt whose worker is gone or too slow. Does nothing unless the job is running.
pub fn lose(job: &mut Job, failure: Failure, now: Time, policy: &RetryPolicy) -> Option<Event> {
    if job.state != State::Running {
        return None;
    }
    charge(job, None, now);
    Some(end_attempt(job, failure, now, policy, 1.0))
}

/// Ends a job on its owner's word. Does nothing to a job that has ended.
pub fn cancel(job: &mut Job, now: Time) -> Option<Event> {
    if job.state.is_terminal() {
        return None;
    }
    Some(end(job, State::Cancelled, now))
}

fn end_attempt(
    job: &mut Job,
    failure: Failure,
    now: Time,
    policy: &RetryPolicy,
    jitter: f64,
) -> Event {
    let history = History {
        failed_attempts: job.failed_attempts,
        hand_backs: job.hand_backs,
        has_advanced: job.has_advanced(),
    };
    let decision = policy.decide(history, &failure, jitter);
    job.hand_backs += u32::from(is_hand_back(&failure));
    job.lost_workers = match (is_worker_gone(&failure), history.has_advanced) {
        (true, false) => job.lost_workers + 1,
        (true, true) => 0,
        // An attempt that was given back tells nothing of the job.
        (false, false) if is_hand_back(&failure) => job.lost_workers,
        (false, _) => 0,
    };
    if job.lost_workers >= MOST_LOST_WORKERS {
        job.failed_attempts += 1;
        job.is_quarantined = true;
        job.failure = Some(poisoned());
        return end(job, State::Failed, now);
    }
    job.failure = Some(failure);
    match decision {
        Decision::Retry { delay, counts } => {
            job.failed_attempts += u32::from(counts);
            let run_at = now.checked_add_signed(signed(delay)).unwrap_or(now);
            queue(job, run_at, now)
        }
        Decision::GiveUp => {
            job.failed_attempts += 1;
            end(job, State::Failed, now)
        }
    }
}

fn poisoned() -> Failure {
    Failure {
        reason: POISONED.to_owned(),
        message: "every worker that tried this clip was lost; it is not tried again".to_owned(),
        retryable: false,
    }
}

fn queue(job: &mut Job, run_at: Time, now: Time) -> Event {
    job.state = State::Queued;
    job.worker = None;
    job.deadline = None;
    job.run_at = run_at;
    job.progress = Progress::at(Stage::Queued, job.work().steps);
    numbered(job, now)
}

fn await_approval(job: &mut Job, outputs: Outputs, now: Time) -> Event {
    job.state = State::AwaitingApproval;
    job.preview_outputs = Some(outputs);
    if let Some(hold) = &mut job.hold {
        hold.is_preview_made = true;
    }
    job.deadline = None;
    job.expire_at = now.checked_add_signed(signed(job.terms.approval_window));
    // The clip is larger and has more steps: nothing of the preview's latents fits it.
    job.checkpoint = None;
    numbered(job, now)
}

fn end(job: &mut Job, state: State, now: Time) -> Event {
    job.state = state;
    job.end_time = Some(now);
    job.deadline = None;
    job.purge_at = now.checked_add_signed(signed(job.terms.retention));
    // Its object goes away, and without a clip all others do.
    job.checkpoint = None;
    if state != State::Completed {
        job.preview_outputs = None;
    }
    numbered(job, now)
}

/// Notes the time that the running attempt had a device. A worker cannot have had it longer than the attempt took.
fn charge(job: &mut Job, device_time: Option<Duration>, now: Time) {
    let longest = attempt_length(job, now);
    job.device_time += device_time.map_or(longest, |measured| measured.min(longest));
}

/// How long the newest attempt has taken by our own clock: no device was busy with it for longer.
#[must_use]
pub fn attempt_length(job: &Job, now: Time) -> Duration {
    let started = job.start_time.unwrap_or(now);
    (now - started).to_std().unwrap_or_default()
}

fn numbered(job: &mut Job, now: Time) -> Event {
    job.seq += SEQ_STRIDE;
    job.event(now)
}

fn is_running_under(job: &Job, reporter: Reporter<'_>) -> bool {
    job.state == State::Running && holds_newest(job, reporter)
}

/// Whether the reporter's lease ended with outputs that the job keeps: its report may be repeated.
fn has_completed(job: &Job, reporter: Reporter<'_>) -> bool {
    let is_clip = job.state == State::Completed && holds_newest(job, reporter);
    is_clip || (job.id == reporter.lease.job && job.has_preview_of(reporter.lease))
}

fn holds_newest(job: &Job, reporter: Reporter<'_>) -> bool {
    job.newest_lease() == reporter.lease && job.worker.as_deref() == Some(reporter.worker)
}

/// Durations of options are far from the limit of the signed type.
fn signed(duration: Duration) -> chrono::TimeDelta {
    chrono::TimeDelta::from_std(duration).unwrap_or(chrono::TimeDelta::MAX)
}

#[cfg(test)]
mod explorer;
#[cfg(test)]
mod tests;
