//! What holds in every state and on every step.

use std::sync::Arc;

use kinora_ids::LeaseRef;

use super::world::{Action, World, made};
use crate::domain::job::{Job, State};
use crate::domain::transition::{Reporter, stands};

/// Checks one step of the world.
///
/// # Errors
/// A sentence that says what is broken.
pub fn check(before: &World, action: Action, after: &World) -> Result<(), &'static str> {
    match action {
        Action::Claim { job, .. } => check_claim(before, after, job)?,
        Action::Deliver { message, .. } => {
            let (was, is) = (&before.jobs[message.job], &after.jobs[message.job]);
            let is_newest = was.lease == message.lease && was.state == State::Running;
            ensure(is_newest || was == is, "a stale report changed the job")?;
        }
        _ => {}
    }
    for (index, (was, is)) in before.jobs.iter().zip(&after.jobs).enumerate() {
        if !Arc::ptr_eq(was, is) || before.objects != after.objects {
            check_change(was, is)?;
            check_state(after, index, is)?;
        }
    }
    Ok(())
}

fn check_change(was: &Job, is: &Job) -> Result<(), &'static str> {
    ensure(
        !was.state.is_terminal() || was == is,
        "a job changed after its end",
    )?;
    ensure(
        is.lease >= was.lease && is.attempt >= was.attempt,
        "a lease number fell",
    )?;
    ensure(is.seq >= was.seq, "an event number fell")?;
    ensure(
        was.state == is.state || is.seq > was.seq,
        "a transition without an event",
    )?;
    ensure(
        !was.is_approved || is.is_approved,
        "an approval was taken back",
    )?;
    ensure(is.device_time >= was.device_time, "device time fell")
}

fn check_state(world: &World, index: usize, job: &Job) -> Result<(), &'static str> {
    let is_completed = job.state == State::Completed;
    ensure(
        is_completed == job.outputs.is_some(),
        "outputs and completion disagree",
    )?;
    ensure(
        job.state.is_terminal() == job.end_time.is_some(),
        "an end without its time",
    )?;
    ensure(
        job.state.is_terminal() == job.purge_at.is_some(),
        "an end that is never purged",
    )?;
    ensure(
        (job.state == State::Running) == job.deadline.is_some(),
        "no deadline",
    )?;
    ensure(
        job.failed_attempts <= world.shape.max_attempts,
        "too many attempts",
    )?;
    let is_preview_made = job.preview_outputs.is_some();
    ensure(
        job.state != State::AwaitingApproval || is_preview_made,
        "nothing to approve",
    )?;
    ensure(
        !is_completed || job.preview_spec.is_none() || job.is_approved,
        "not approved",
    )?;
    ensure(
        !job.state.is_terminal() || job.checkpoint.is_none(),
        "a checkpoint after the end",
    )?;
    check_checkpoint(job)?;
    check_objects(world, index, job)?;
    check_leases(job)
}

/// A checkpoint of the preview is of no use to the clip.
fn check_checkpoint(job: &Job) -> Result<(), &'static str> {
    let lease_of_preview = (1..=job.lease).find(|lease| {
        job.has_preview_of(LeaseRef {
            job: job.id,
            lease: *lease,
        })
    });
    let newest = job.checkpoint.as_ref().map(|checkpoint| checkpoint.lease);
    let is_of_this_phase = newest.is_none_or(|lease| lease_of_preview.is_none_or(|of| lease > of));
    ensure(is_of_this_phase, "a checkpoint of another phase")
}

fn check_objects(world: &World, index: usize, job: &Job) -> Result<(), &'static str> {
    for named in [&job.outputs, &job.preview_outputs].into_iter().flatten() {
        let lease_of = |lease: &u64| {
            let lease = LeaseRef {
                job: job.id,
                lease: *lease,
            };
            made(lease).video_key == named.video_key
        };
        let lease = (1..=job.lease).find(lease_of);
        let lease = lease.ok_or("outputs of no lease of this job")?;
        ensure(
            world.objects.contains(&(index, lease)),
            "objects that the job names are gone",
        )?;
    }
    let newest = made(job.newest_lease()).video_key;
    let is_newest = job
        .outputs
        .as_ref()
        .is_none_or(|outputs| outputs.video_key == newest);
    ensure(is_newest, "outputs of a stale lease")
}

/// While a job runs, one worker's newest lease may work on it, and nothing else.
fn check_leases(job: &Job) -> Result<(), &'static str> {
    let mut standing = 0;
    for worker in ["w0", "w1"] {
        for lease in 1..=job.lease {
            let lease = LeaseRef { job: job.id, lease };
            let may_repeat = job.has_preview_of(lease);
            standing += u32::from(stands(job, Reporter { worker, lease }) && !may_repeat);
        }
    }
    let expected = u32::from(matches!(job.state, State::Running | State::Completed));
    ensure(standing == expected, "not one standing lease")
}

fn check_claim(before: &World, after: &World, job: usize) -> Result<(), &'static str> {
    let (was, is) = (&before.jobs[job], &after.jobs[job]);
    if was == is {
        return Ok(());
    }
    ensure(is.lease == was.lease + 1, "a claim did not raise the lease")?;
    ensure(is.expire_at.is_none(), "a job that has started may expire")?;
    let needs_first = before.jobs.len() > 1 && job == 1;
    let has_first = before.jobs[0].state == State::Completed;
    ensure(
        !needs_first || has_first,
        "a job ran before the one that it needs",
    )
}

fn ensure(holds: bool, broken: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(broken) }
}
