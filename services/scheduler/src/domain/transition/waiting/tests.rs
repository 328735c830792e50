use chrono::TimeDelta;
use kinora_ids::LeaseRef;

use super::*;
use crate::domain::job::{Need, Progress, Stage, VideoSpec};
use crate::domain::retry::{PREEMPTED, RetryPolicy};
use crate::domain::transition::tests::{failure, outputs, queued, start};
use crate::domain::transition::{Reporter, cancel, claim, complete, fail, stands};

const LIMIT: Duration = Duration::from_secs(60);

fn after(seconds: i64) -> Time {
    start() + TimeDelta::seconds(seconds)
}

fn previewing() -> Job {
    let mut job = queued();
    job.preview_spec = Some(VideoSpec {
        steps: 7,
        ..job.spec.clone()
    });
    job
}

fn reporter(job: &Job) -> Reporter<'static> {
    Reporter {
        worker: "w1",
        lease: job.newest_lease(),
    }
}

fn outputs_of(lease: LeaseRef) -> Outputs {
    Outputs {
        video_key: format!("{}video.mp4", lease.object_prefix()),
        ..outputs()
    }
}

fn run(job: &mut Job, now: Time) -> Event {
    claim(job, "w1", now, LIMIT).expect("claimable");
    let from = reporter(job);
    let done = complete(job, from, outputs_of(from.lease), None, now).expect("stands");
    done.expect("an event")
}

fn awaiting() -> Job {
    let mut job = previewing();
    run(&mut job, start());
    job
}

#[test]
fn preview_is_made_approved_and_followed_by_the_clip() {
    let mut job = previewing();
    claim(&mut job, "w1", start(), LIMIT).expect("claimable");
    assert_eq!(job.progress.steps, 7);
    let preview = reporter(&job);
    let made = complete(&mut job, preview, outputs_of(preview.lease), None, start());
    let event = made.expect("stands").expect("an event");
    assert_eq!(event.state, State::AwaitingApproval);
    assert_eq!(event.preview_outputs, job.preview_outputs);
    assert_eq!((&job.outputs, job.end_time), (&None, None));
    assert_eq!(job.expire_at, Some(after(24 * 60 * 60)));
    assert_eq!(claim(&mut job, "w1", after(1), LIMIT), None);

    let cost = Duration::from_secs(9);
    let approved = approve(&mut job, cost, after(1)).expect("in time");
    assert!(approved.is_some_and(|event| event.state == State::Queued));
    assert_eq!((job.expire_at, job.estimated_cost), (None, cost));
    assert_eq!(job.progress, Progress::at(Stage::Queued, 20));
    assert_eq!(approve(&mut job, cost, after(2)), Ok(None));

    assert_eq!(run(&mut job, after(3)).state, State::Completed);
    assert!(job.outputs != job.preview_outputs && job.preview_outputs.is_some());
    // The report of the preview, repeated late, must not make its worker remove what it stored.
    assert!(stands(&job, preview));
    let again = complete(&mut job, preview, outputs_of(preview.lease), None, after(4));
    assert_eq!(again, Ok(None));
}

#[test]
fn approval_is_refused_before_the_preview_and_after_its_time() {
    let mut job = previewing();
    let cost = Duration::ZERO;
    assert_eq!(
        approve(&mut job, cost, start()),
        Err(NotApprovable::NotAwaiting)
    );
    let (window, mut late) = (24 * 60 * 60, awaiting());
    assert_eq!(expire(&mut late, after(window - 1)), None);
    assert_eq!(
        approve(&mut late, cost, after(window)),
        Err(NotApprovable::Expired)
    );
    assert_eq!(late.state, State::AwaitingApproval);
    let expired = expire(&mut late, after(window)).expect("too late");
    assert_eq!(expired.state, State::Expired);
    assert_eq!(
        approve(&mut late, cost, after(window)),
        Err(NotApprovable::Expired)
    );
    let mut cancelled = awaiting();
    cancel(&mut cancelled, after(1)).expect("had not ended");
    assert_eq!(
        approve(&mut cancelled, cost, after(2)),
        Err(NotApprovable::NotAwaiting)
    );
    assert_eq!(cancelled.preview_outputs, None, "its objects go away");
}

#[test]
fn job_that_is_not_started_in_time_expires_and_one_that_is_never_does() {
    let mut job = queued();
    job.expire_at = Some(after(60));
    let mut started = job.clone();
    claim(&mut started, "w1", after(59), LIMIT).expect("in time");
    let from = reporter(&started);
    let policy = RetryPolicy {
        max_attempts: 3,
        base_delay: Duration::ZERO,
    };
    let handed_back = failure(PREEMPTED);
    fail(
        &mut started,
        from,
        handed_back,
        None,
        after(61),
        (&policy, 0.0),
    )
    .expect("stands");
    assert_eq!(expire(&mut started, after(1000)), None);
    assert_eq!((started.failed_attempts, started.hand_backs), (0, 1));

    assert_eq!(
        claim(&mut job, "w1", after(60), LIMIT),
        None,
        "too late, if not yet swept"
    );
    assert!(expire(&mut job, after(60)).is_some());
    assert_eq!(job.end_time, Some(after(60)));
    assert_eq!(job.purge_at, Some(after(60 + 30 * 24 * 60 * 60)));
}

fn needing(needed: &[(&Job, NeedRole)]) -> Job {
    let mut job = queued();
    job.needs = needed
        .iter()
        .map(|(job, role)| Need {
            job: job.id,
            role: *role,
            is_met: false,
            part: None,
        })
        .collect();
    job
}

#[test]
fn segment_goes_on_from_the_last_frame_of_the_one_before() {
    let mut first = queued();
    let mut second = needing(&[(&first, NeedRole::LastFrame)]);
    assert_eq!(claim(&mut second, "w1", start(), LIMIT), None);
    assert_eq!(
        need_met(&mut second, &first, start()),
        None,
        "not completed"
    );
    claim(&mut first, "w1", start(), LIMIT).expect("claimable");
    let from = reporter(&first);
    let with_frame = Outputs {
        last_frame_key: "last.png".to_owned(),
        last_frame_sha256: "ab".to_owned(),
        ..outputs()
    };
    complete(&mut first, from, with_frame, None, after(1)).expect("stands");
    assert!(need_met(&mut second, &first, after(5)).is_some());
    assert_eq!(
        second.spec.image.as_ref().expect("a picture").key,
        "last.png"
    );
    assert_eq!((second.run_at, &second.needs[0].part), (after(5), &None));
    assert_eq!(need_met(&mut second, &first, after(6)), None, "once");
    assert!(claim(&mut second, "w1", after(5), LIMIT).is_some());
}

#[test]
fn clip_without_a_stored_last_frame_is_handed_over_itself() {
    let mut first = queued();
    let mut second = needing(&[(&first, NeedRole::LastFrame)]);
    run(&mut first, start());
    need_met(&mut second, &first, start()).expect("has all");
    let part = second.needs[0].part.as_ref().expect("a clip");
    assert_eq!(
        Some(&part.video_key),
        first.outputs.as_ref().map(|it| &it.video_key)
    );
    assert_eq!((part.skips_first_frame, &second.spec.image), (false, &None));
}

#[test]
fn stitch_waits_for_all_parts_and_skips_repeated_frames() {
    let (mut first, mut second) = (queued(), queued());
    let needs = [(&first, NeedRole::Part), (&second, NeedRole::Part)];
    let mut stitch = needing(&needs);
    run(&mut second, start());
    assert_eq!(
        need_met(&mut stitch, &second, start()),
        None,
        "one is missing"
    );
    assert!(stitch.needs[1].is_met && !stitch.needs[0].is_met);
    run(&mut first, start());
    assert!(need_met(&mut stitch, &first, start()).is_some());
    let skips = stitch
        .needs
        .iter()
        .map(|need| need.part.as_ref().map(|part| part.skips_first_frame));
    assert_eq!(skips.collect::<Vec<_>>(), [Some(false), Some(true)]);
}

#[test]
fn job_whose_need_is_lost_ends_the_same_way_or_fails() {
    let needed = queued();
    for (how, expected) in [
        (State::Cancelled, State::Cancelled),
        (State::Expired, State::Expired),
        (State::Failed, State::Failed),
        (State::Completed, State::Failed),
    ] {
        let mut job = needing(&[(&needed, NeedRole::LastFrame)]);
        let event = need_lost(&mut job, needed.id, how, after(1)).expect("waits");
        assert_eq!((event.state, job.end_time), (expected, Some(after(1))));
        let reason = job.failure.as_ref().map(|failure| failure.reason.as_str());
        assert_eq!(reason, (expected == State::Failed).then_some(NEED_LOST));
        assert_eq!(need_lost(&mut job, needed.id, how, after(2)), None);
    }
    let mut stranger = queued();
    assert_eq!(
        need_lost(&mut stranger, needed.id, State::Failed, start()),
        None
    );
}
