use chrono::{DateTime, TimeDelta};
use kinora_ids::JobId;
use proptest::prelude::*;

use super::*;
use crate::domain::job::VideoSpec;
use crate::domain::retry::WORKER_LOST;

const LIMIT: Duration = Duration::from_secs(60);
const POLICY: RetryPolicy = RetryPolicy {
    max_attempts: 3,
    base_delay: Duration::from_secs(2),
};

pub(super) fn start() -> Time {
    DateTime::UNIX_EPOCH
}

pub(super) fn queued() -> Job {
    let spec = VideoSpec {
        model: "tiny".to_owned(),
        prompt: "a ball".to_owned(),
        negative_prompt: String::new(),
        width: 64,
        height: 48,
        frames: 13,
        steps: 20,
        guidance: 3.0,
        seed: 1,
        fps: 8,
        image: None,
        last_image: None,
    };
    Job::queued(JobId::generate(), "anna".to_owned(), spec, start())
}

fn running() -> Job {
    let mut job = queued();
    claim(&mut job, "w1", start(), LIMIT).expect("claimable");
    job
}

fn reporter(job: &Job, lease: u64) -> Reporter<'static> {
    Reporter {
        worker: "w1",
        lease: LeaseRef { job: job.id, lease },
    }
}

pub(super) fn outputs() -> Outputs {
    Outputs {
        video_key: "k".to_owned(),
        thumbnail_key: String::new(),
        manifest_key: String::new(),
        video_bytes: 1,
        width: 64,
        height: 48,
        frames: 13,
        fps: 8,
        duration: Duration::from_millis(1625),
        video_sha256: String::new(),
        still_key: String::new(),
        ..Outputs::default()
    }
}

pub(super) fn failure(reason: &str) -> Failure {
    Failure {
        reason: reason.to_owned(),
        message: "it broke".to_owned(),
        retryable: true,
    }
}

fn progress(fraction: f64) -> Progress {
    Progress {
        fraction,
        ..Progress::at(Stage::Denoising, 20)
    }
}

#[test]
fn claim_sets_lease_attempt_and_deadline() {
    let job = running();
    assert_eq!(
        (job.state, job.lease, job.attempt, job.seq),
        (State::Running, 1, 1, 1 + SEQ_STRIDE)
    );
    assert_eq!(job.deadline, Some(start() + TimeDelta::seconds(60)));
    assert_eq!(job.progress.stage, Stage::Loading);
}

#[test]
fn claim_waits_for_the_retry_delay() {
    let mut job = running();
    let lease = reporter(&job, 1);
    fail(&mut job, lease, failure("X"), None, start(), (&POLICY, 1.0)).expect("stands");
    assert_eq!(
        claim(&mut job, "w2", start() + TimeDelta::seconds(1), LIMIT),
        None
    );
    assert!(claim(&mut job, "w2", start() + TimeDelta::seconds(2), LIMIT).is_some());
    assert_eq!((job.lease, job.attempt, job.failed_attempts), (2, 2, 1));
}

#[test]
fn only_the_holder_of_the_newest_lease_reports() {
    let mut job = running();
    lose(&mut job, failure(WORKER_LOST), start(), &POLICY).expect("was running");
    claim(&mut job, "w1", start(), LIMIT).expect("claimable");
    let before = job.clone();
    let stranger = Reporter {
        worker: "w2",
        ..reporter(&job, 2)
    };
    for wrong in [
        reporter(&job, 1),
        reporter(&job, 3),
        reporter(&queued(), 2),
        stranger,
    ] {
        assert_eq!(
            advance(&mut job, wrong, progress(0.5), start()),
            Err(StaleLease)
        );
        assert_eq!(
            complete(&mut job, wrong, outputs(), None, start()),
            Err(StaleLease)
        );
        let failed = fail(&mut job, wrong, failure("X"), None, start(), (&POLICY, 0.0));
        assert_eq!(failed, Err(StaleLease));
    }
    assert_eq!(job, before);
}

#[test]
fn progress_never_falls_and_repeats_are_no_event() {
    let mut job = running();
    let lease = reporter(&job, 1);
    let mut fraction_after = |value| {
        let event = advance(&mut job, lease, progress(value), start()).expect("stands");
        event.map(|event| event.progress.fraction)
    };
    assert_eq!(fraction_after(0.5), Some(0.5));
    assert_eq!(fraction_after(0.3), None);
    assert_eq!(fraction_after(f64::NAN), None);
    assert_eq!(fraction_after(9.0), Some(1.0));
}

#[test]
fn repeated_completion_is_answered_and_changes_nothing() {
    let mut job = running();
    let lease = reporter(&job, 1);
    let done = complete(&mut job, lease, outputs(), None, start()).expect("stands");
    assert!(done.is_some_and(|event| event.state == State::Completed));
    let before = job.clone();
    assert_eq!(
        complete(&mut job, lease, outputs(), None, start()),
        Ok(None)
    );
    assert_eq!(job, before);
}

#[test]
fn job_that_kills_its_workers_fails_with_the_cause() {
    let mut job = queued();
    for attempt in 1..=3 {
        claim(&mut job, "w1", start(), LIMIT).expect("claimable");
        lose(&mut job, failure(WORKER_LOST), start(), &POLICY).expect("was running");
        let expected = if attempt < 3 {
            State::Queued
        } else {
            State::Failed
        };
        assert_eq!(job.state, expected, "after attempt {attempt}");
    }
    assert_eq!(job.failure.expect("a cause").reason, POISONED);
    assert!(job.is_quarantined);
    assert_eq!(job.end_time, Some(start()));
}

#[test]
fn device_time_is_the_workers_account_within_the_length_of_the_attempt() {
    let (second, minute) = (Duration::from_secs(1), TimeDelta::seconds(60));
    let ended = [
        (Some(second), second),
        (None, Duration::from_secs(60)),
        (Some(Duration::MAX), Duration::from_secs(60)),
    ];
    for (reported, expected) in ended {
        let mut job = running();
        let lease = reporter(&job, 1);
        complete(&mut job, lease, outputs(), reported, start() + minute).expect("stands");
        assert_eq!(job.device_time, expected, "{reported:?}");
    }
}

#[test]
fn worker_that_gets_on_ends_the_row_of_lost_ones() {
    let patient = RetryPolicy {
        max_attempts: 9,
        ..POLICY
    };
    let mut job = queued();
    let attempts = [(1, 1), (2, 2), (20, 0), (20, 1), (20, 2), (20, 3)];
    for (lease, (step, lost)) in (1..).zip(attempts) {
        claim(&mut job, "w1", start(), LIMIT).expect("claimable");
        let from = reporter(&job, lease);
        if step > 2 {
            checkpoint(&mut job, from, checkpoint_at(step)).expect("stands");
        }
        lose(&mut job, failure(WORKER_LOST), start(), &patient).expect("was running");
        assert_eq!(job.lost_workers, lost, "after lease {lease}");
    }
    assert!(job.is_quarantined && job.state == State::Failed);
}

#[test]
fn preview_is_an_event_of_its_own_and_stays_out_of_the_job() {
    let mut job = running();
    let lease = reporter(&job, 1);
    advance(&mut job, lease, progress(0.5), start()).expect("stands");
    let before = job.clone();
    let preview = Preview::new(b"RIFF\0\0\0\0WEBP").expect("a WebP");
    let shown = advance_with_preview(&mut job, lease, progress(0.5), preview.clone(), start());
    let shown = shown.expect("stands");
    assert_eq!(
        (shown.seq, &shown.preview),
        (before.seq + SEQ_STRIDE, &Some(preview.clone()))
    );
    assert_eq!(job.event(start()).preview, None);
    let stale = reporter(&job, 2);
    let refused = advance_with_preview(&mut job, stale, progress(0.6), preview, start());
    assert_eq!(refused, Err(StaleLease));
}

fn checkpoint_at(step: u32) -> Checkpoint {
    Checkpoint {
        key: format!("k{step}"),
        step,
        sha256: String::new(),
        bytes: 1,
        lease: 0,
        granted_step: 0,
    }
}

#[test]
fn checkpoint_survives_the_attempt_and_never_goes_back_within_it() {
    let mut job = running();
    let lease = reporter(&job, 1);
    let step_after = |job: &mut Job, lease, step| {
        checkpoint(job, lease, checkpoint_at(step))?;
        Ok::<_, StaleLease>(job.checkpoint.as_ref().map(|newest| newest.step))
    };
    let seq = job.seq;
    assert_eq!(step_after(&mut job, lease, 21), Ok(None), "beyond the last");
    assert_eq!(step_after(&mut job, lease, 5), Ok(Some(5)));
    assert_eq!(step_after(&mut job, lease, 3), Ok(Some(5)));
    assert_eq!(job.seq, seq, "nobody is told");
    lose(&mut job, failure(WORKER_LOST), start(), &POLICY).expect("was running");
    assert_eq!(step_after(&mut job, lease, 6), Err(StaleLease));
    claim(&mut job, "w2", start(), LIMIT).expect("claimable");
    let kept = Checkpoint {
        lease: 1,
        ..checkpoint_at(5)
    };
    assert_eq!(job.checkpoint, Some(kept));
    assert_eq!(step_after(&mut job, lease, 6), Err(StaleLease));
    let newest = Reporter {
        worker: "w2",
        ..reporter(&job, 2)
    };
    assert_eq!(step_after(&mut job, newest, 20), Ok(Some(20)));
    complete(&mut job, newest, outputs(), None, start()).expect("stands");
    assert_eq!(job.checkpoint, None, "a job that has ended needs none");
    assert_eq!(step_after(&mut job, newest, 20), Err(StaleLease));
}

#[test]
fn newer_attempt_that_started_over_replaces_the_checkpoint_it_could_not_use() {
    let mut job = running();
    let first = reporter(&job, 1);
    checkpoint(&mut job, first, checkpoint_at(15)).expect("stands");
    lose(&mut job, failure(WORKER_LOST), start(), &POLICY).expect("was running");
    claim(&mut job, "w1", start(), LIMIT).expect("claimable");
    let second = reporter(&job, 2);
    for (step, expected) in [(21, (15, 1)), (2, (2, 2)), (1, (2, 2)), (3, (3, 2))] {
        checkpoint(&mut job, second, checkpoint_at(step)).expect("stands");
        let newest = job.checkpoint.as_ref().expect("one");
        assert_eq!((newest.step, newest.lease), expected, "after {step}");
    }
}

#[test]
fn only_attempts_that_do_not_get_on_count_when_their_workers_are_lost() {
    let mut job = queued();
    // The steps that each attempt comes to, and how many have failed after it.
    let attempts = [(5, 0), (9, 0), (9, 1), (2, 2), (3, 2), (20, 2), (20, 3)];
    for (lease, (step, failed)) in (1..).zip(attempts) {
        claim(&mut job, "w1", start(), LIMIT).expect("claimable");
        let from = reporter(&job, lease);
        checkpoint(&mut job, from, checkpoint_at(1)).expect("stands");
        checkpoint(&mut job, from, checkpoint_at(step)).expect("stands");
        lose(&mut job, failure(WORKER_LOST), start(), &POLICY).expect("was running");
        assert_eq!(job.failed_attempts, failed, "after lease {lease}");
    }
    assert_eq!(job.state, State::Failed);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Checkpoint(u64, u32),
    Claim(u8),
    Advance(u64, u8),
    Complete(u64, u8),
    Fail(u64, bool),
    Lose,
    Cancel,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lease = 0..4_u64;
    let step = prop_oneof![
        (0..3_u8).prop_map(Step::Claim),
        (lease.clone(), 0..25_u32).prop_map(|(lease, step)| Step::Checkpoint(lease, step)),
        (lease.clone(), any::<u8>()).prop_map(|(lease, part)| Step::Advance(lease, part)),
        (lease.clone(), 0..3_u8).prop_map(|(lease, worker)| Step::Complete(lease, worker)),
        (lease, any::<bool>()).prop_map(|(lease, retryable)| Step::Fail(lease, retryable)),
        Just(Step::Lose),
        Just(Step::Cancel),
    ];
    prop::collection::vec(step, 0..30)
}

fn apply(job: &mut Job, step: Step, now: Time) -> Option<Event> {
    let id = job.id;
    let from = |worker, lease| Reporter {
        worker,
        lease: LeaseRef { job: id, lease },
    };
    let name = |worker| ["w0", "w1", "w2"][usize::from(worker)];
    match step {
        Step::Checkpoint(lease, step) => {
            // A stale one is refused; the invariants are checked either way.
            let _ = checkpoint(job, from("w1", lease), checkpoint_at(step));
            None
        }
        Step::Claim(worker) => claim(job, name(worker), now, LIMIT),
        Step::Advance(lease, part) => {
            let progress = progress(f64::from(part) / 255.0);
            advance(job, from("w1", lease), progress, now)
                .ok()
                .flatten()
        }
        Step::Complete(lease, worker) => {
            complete(job, from(name(worker), lease), outputs(), None, now)
                .ok()
                .flatten()
        }
        Step::Fail(lease, retryable) => {
            let failure = Failure {
                retryable,
                ..failure("X")
            };
            fail(job, from("w1", lease), failure, None, now, (&POLICY, 0.0)).ok()
        }
        Step::Lose => lose(job, failure(WORKER_LOST), now, &POLICY),
        Step::Cancel => cancel(job, now),
    }
}

proptest! {
    #[test]
    fn every_history_keeps_the_invariants(steps in steps()) {
        let mut job = queued();
        let mut now = start();
        for step in steps {
            now += TimeDelta::seconds(1);
            let before = job.clone();
            let event = apply(&mut job, step, now);
            prop_assert_eq!(event.is_some(), job.seq == before.seq + SEQ_STRIDE);
            let is_checkpoint = matches!(step, Step::Checkpoint(..));
            prop_assert!(event.is_some() || is_checkpoint || job == before);
            // By lease first, by step within it.
            let newest = |job: &Job| job.checkpoint.as_ref().map(|newest| (newest.lease, newest.step));
            prop_assert!(job.state.is_terminal() || newest(&job) >= newest(&before));
            prop_assert!(!job.state.is_terminal() || job.checkpoint.is_none());
            prop_assert!(!before.state.is_terminal() || job == before);
            prop_assert!(job.lease >= before.lease && job.attempt <= before.attempt + 1);
            prop_assert!(job.failed_attempts <= POLICY.max_attempts);
            prop_assert_eq!(job.state == State::Completed, job.outputs.is_some());
            prop_assert_eq!(job.state.is_terminal(), job.end_time.is_some());
            prop_assert!(job.state != State::Running || job.worker.is_some());
            if job.lease == before.lease && job.state == State::Running {
                prop_assert!(job.progress.fraction >= before.progress.fraction);
            }
        }
    }
}
