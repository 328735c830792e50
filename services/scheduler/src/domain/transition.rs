//! The rules by which a job changes. The only code that sets a job's state.
//!
//! ```text
//!            claim                complete
//!   Queued ─────────▶ Running ───────────────▶ Completed
//!     ▲  │  ◀───────────┘ │ └── fail, lose ──▶ Failed
//!     │  │   fail, lose   │     (no attempts left)
//!     │  └────────────────┴──── cancel ──────▶ Cancelled
//! ```
//!
//! A report counts only when it comes from the worker that holds the newest lease of a running job;
//! the lease number is the fence. Terminal states never change.

use std::time::Duration;

use kinora_ids::LeaseRef;

use super::job::{
    Checkpoint, Event, Failure, Job, Outputs, Preview, Progress, SEQ_STRIDE, Stage, State, Time,
};
use super::retry::{Decision, RetryPolicy};

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
    holds_newest(job, reporter) && matches!(job.state, State::Running | State::Completed)
}

/// Leases a queued job to a worker, or does nothing when it is not to be had at `now`.
pub fn claim(job: &mut Job, worker: &str, now: Time, time_limit: Duration) -> Option<Event> {
    if job.state != State::Queued || job.run_at > now {
        return None;
    }
    job.state = State::Running;
    job.lease += 1;
    job.attempt += 1;
    job.worker = Some(worker.to_owned());
    job.start_time = Some(now);
    job.deadline = now.checked_add_signed(signed(time_limit));
    job.progress = Progress::at(Stage::Loading, job.spec.steps);
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
    let steps = job.spec.steps;
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
    if (newest..=job.spec.steps).contains(&checkpoint.step) {
        job.checkpoint = Some(Checkpoint {
            lease: job.lease,
            granted_step,
            ..checkpoint
        });
    }
    Ok(())
}

/// Ends a job with its outputs. No event when the same lease completed it before, and its receipt was lost.
///
/// # Errors
/// [`StaleLease`], and the job is unchanged.
pub fn complete(
    job: &mut Job,
    reporter: Reporter<'_>,
    outputs: Outputs,
    now: Time,
) -> Result<Option<Event>, StaleLease> {
    if job.state == State::Completed && holds_newest(job, reporter) {
        return Ok(None);
    }
    if !is_running_under(job, reporter) {
        return Err(StaleLease);
    }
    job.outputs = Some(outputs);
    job.failure = None;
    job.progress.step = job.spec.steps;
    job.progress.fraction = 1.0;
    job.progress.eta = None;
    Ok(Some(end(job, State::Completed, now)))
}

/// Ends an attempt that failed by its worker's own account.
///
/// # Errors
/// [`StaleLease`], and the job is unchanged.
pub fn fail(
    job: &mut Job,
    reporter: Reporter<'_>,
    failure: Failure,
    now: Time,
    policy: &RetryPolicy,
    jitter: f64,
) -> Result<Event, StaleLease> {
    if !is_running_under(job, reporter) {
        return Err(StaleLease);
    }
    Ok(end_attempt(job, failure, now, policy, jitter))
}

/// Ends an attempt whose worker is gone or too slow. Does nothing unless the job is running.
pub fn lose(job: &mut Job, failure: Failure, now: Time, policy: &RetryPolicy) -> Option<Event> {
    (job.state == State::Running).then(|| end_attempt(job, failure, now, policy, 1.0))
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
    let decision = policy.decide(job.failed_attempts, &failure, job.has_advanced(), jitter);
    job.failure = Some(failure);
    match decision {
        Decision::Retry { delay, counts } => {
            job.failed_attempts += u32::from(counts);
            job.state = State::Queued;
            job.worker = None;
            job.deadline = None;
            job.run_at = now.checked_add_signed(signed(delay)).unwrap_or(now);
            job.progress = Progress::at(Stage::Queued, job.spec.steps);
            numbered(job, now)
        }
        Decision::GiveUp => {
            job.failed_attempts += 1;
            end(job, State::Failed, now)
        }
    }
}

fn end(job: &mut Job, state: State, now: Time) -> Event {
    job.state = state;
    job.end_time = Some(now);
    job.deadline = None;
    // Its object goes away.
    job.checkpoint = None;
    numbered(job, now)
}

fn numbered(job: &mut Job, now: Time) -> Event {
    job.seq += SEQ_STRIDE;
    job.event(now)
}

fn is_running_under(job: &Job, reporter: Reporter<'_>) -> bool {
    job.state == State::Running && holds_newest(job, reporter)
}

fn holds_newest(job: &Job, reporter: Reporter<'_>) -> bool {
    job.newest_lease() == reporter.lease && job.worker.as_deref() == Some(reporter.worker)
}

/// Durations of options are far from the limit of the signed type.
fn signed(duration: Duration) -> chrono::TimeDelta {
    chrono::TimeDelta::from_std(duration).unwrap_or(chrono::TimeDelta::MAX)
}

#[cfg(test)]
mod tests;
