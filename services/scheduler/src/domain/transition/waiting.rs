//! The rules of jobs that wait: for their start, for an approval, for another job.

use std::time::Duration;

use kinora_ids::JobId;

use super::{end, numbered, queue};
use crate::domain::job::{
    Event, Failure, Job, NeedRole, Outputs, State, StitchPart, StoredImage, Time,
};

/// The reason a job fails for when another one that it needs has no clip.
pub const NEED_LOST: &str = "NEED_LOST";

/// The job's preview cannot be approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotApprovable {
    /// It has none, or not yet, or the job has ended.
    #[error("no preview awaits approval")]
    NotAwaiting,
    /// Too late.
    #[error("the time for the approval is over")]
    Expired,
}

/// Lets the clip be made whose preview awaits approval. No event when it was approved before.
///
/// The clip has all attempts before it. `estimated_cost` is that of the clip.
///
/// # Errors
/// [`NotApprovable`], and the job is unchanged.
pub fn approve(
    job: &mut Job,
    estimated_cost: Duration,
    now: Time,
) -> Result<Option<Event>, NotApprovable> {
    if job.is_approved {
        return Ok(None);
    }
    let is_late = job.expire_at.is_some_and(|expire_at| expire_at <= now);
    // A job that has started can expire only while it awaits approval.
    let has_expired = job.state == State::Expired && job.lease > 0;
    if has_expired || (job.state == State::AwaitingApproval && is_late) {
        return Err(NotApprovable::Expired);
    }
    if job.state != State::AwaitingApproval {
        return Err(NotApprovable::NotAwaiting);
    }
    job.is_approved = true;
    job.expire_at = None;
    job.failed_attempts = 0;
    job.lost_workers = 0;
    job.hand_backs = 0;
    job.estimated_cost = estimated_cost;
    Ok(Some(queue(job, now, now)))
}

/// Ends a job that has waited too long for its start or its approval. Does nothing to any other.
pub fn expire(job: &mut Job, now: Time) -> Option<Event> {
    let is_late = job.expire_at.is_some_and(|expire_at| expire_at <= now);
    let waits = matches!(job.state, State::Queued | State::AwaitingApproval);
    (waits && is_late).then(|| end(job, State::Expired, now))
}

/// Takes what `job` needs from `needed`, which has completed. An event once it has all that it needs; the job may
/// have changed without one. Does nothing to a job that waits for nothing of it.
pub fn need_met(job: &mut Job, needed: &Job, now: Time) -> Option<Event> {
    let outputs = needed.outputs.as_ref()?;
    if job.state.is_terminal() || job.has_what_it_needs() {
        return None;
    }
    take_from(job, needed.id, outputs);
    if !job.has_what_it_needs() {
        return None;
    }
    // It has waited since now, not since it was submitted.
    job.run_at = job.run_at.max(now);
    Some(numbered(job, now))
}

fn take_from(job: &mut Job, needed: JobId, outputs: &Outputs) {
    let mut has_part_before = false;
    let mut last_frame = None;
    for need in &mut job.needs {
        let is_part = need.role == NeedRole::Part;
        if need.job == needed && !need.is_met {
            need.is_met = true;
            if is_part || outputs.last_frame_key.is_empty() {
                // Without a picture of the last frame the worker takes it from the clip.
                need.part = Some(StitchPart {
                    video_key: outputs.video_key.clone(),
                    video_sha256: outputs.video_sha256.clone(),
                    skips_first_frame: is_part && has_part_before,
                });
            } else {
                last_frame = Some(StoredImage {
                    key: outputs.last_frame_key.clone(),
                    sha256: outputs.last_frame_sha256.clone(),
                });
            }
        }
        has_part_before |= is_part;
    }
    if last_frame.is_some() {
        job.spec.image = last_frame;
    }
}

/// Ends a job that waits for `needed`, which has no clip, or whose clip is gone. `how` tells how that one ended: its
/// cancel and its expiry are passed on; after anything else the job has failed. One that runs goes on with what it has.
pub fn need_lost(job: &mut Job, needed: JobId, how: State, now: Time) -> Option<Event> {
    let waits = matches!(job.state, State::Queued | State::AwaitingApproval);
    if !waits || !job.needs.iter().any(|need| need.job == needed) {
        return None;
    }
    let state = match how {
        State::Cancelled | State::Expired => how,
        _ => State::Failed,
    };
    if state == State::Failed {
        job.failure = Some(Failure {
            reason: NEED_LOST.to_owned(),
            message: "another video that this one goes on from has no clip".to_owned(),
            retryable: false,
        });
    }
    Some(end(job, state, now))
}

#[cfg(test)]
mod tests;
