use std::time::Duration;

use chrono::DateTime;
use kinora_ids::JobId;
use uuid::Uuid;

use super::*;
use crate::domain::job::{GroupRef, Job, Kind, Progress, Stage};
use crate::store::Group;

fn time(seconds: i64) -> Time {
    DateTime::from_timestamp(seconds, 0).expect("a time")
}

fn job() -> Job {
    let spec = VideoSpec {
        model: "tiny".to_owned(),
        prompt: "a red ball".to_owned(),
        negative_prompt: String::new(),
        width: 832,
        height: 480,
        frames: 33,
        steps: 20,
        guidance: 3.0,
        seed: 7,
        fps: 16,
        image: None,
        last_image: None,
    };
    Job::queued(
        JobId::generate(),
        "anna".to_owned(),
        spec,
        time(1_800_000_000),
    )
}

fn show(job: Job) -> pb::Video {
    view_to_pb(View { job, place: None })
}

fn outputs() -> Outputs {
    Outputs {
        video_key: "jobs/secret/video.mp4".to_owned(),
        duration: Duration::from_millis(2500),
        video_bytes: 9,
        ..Outputs::default()
    }
}

#[test]
fn a_video_is_flat() {
    let job = job();
    let id = job.id.to_string();
    let video = show(job);
    assert_eq!((video.id, video.object.as_str()), (id, "video"));
    assert_eq!(
        (video.size.as_str(), video.seconds.as_str()),
        ("832x480", "2.063")
    );
    assert_eq!(
        (video.width, video.frames, video.fps, video.seed),
        (832, 33, 16, 7)
    );
    assert_eq!(
        (video.created_at, video.seq, video.attempt),
        (1_800_000_000, 1, 0)
    );
    assert_eq!((video.completed_at, video.expires_at), (None, None));
    assert_eq!(
        (video.source_id, video.group_id, video.error),
        (None, None, None)
    );
    assert_eq!(video.status, i32::from(Status::Queued));
    assert_eq!(video.work.expect("set").stage(), pb::Stage::Queued);
}

#[test]
fn lengths_have_no_zeros_at_their_end() {
    for (frames, fps, expected) in [
        (80, 16, "5"),
        (81, 16, "5.063"),
        (13, 8, "1.625"),
        (20, 8, "2.5"),
        (1, 30, "0.033"),
        (100, 10, "10"),
        (0, 0, "0"),
    ] {
        assert_eq!(clip_seconds(frames, fps), expected, "{frames}/{fps}");
    }
}

#[test]
fn progress_is_a_whole_percentage_and_complete_only_at_the_end() {
    for (fraction, expected) in [
        (0.0, 0),
        (0.009, 0),
        (0.5, 50),
        (0.999, 99),
        (1.0, 100),
        (7.0, 100),
        (-1.0, 0),
        (f64::NAN, 0),
    ] {
        assert_eq!(percent(State::Running, fraction), expected, "{fraction}");
    }
    assert_eq!(percent(State::Completed, 0.97), 100);
    assert_eq!(percent(State::Failed, 0.97), 97);
}

#[test]
fn outputs_name_the_paths_to_fetch_them_from_and_hide_the_keys() {
    let mut job = job();
    job.state = State::Completed;
    job.end_time = Some(time(1_800_000_100));
    job.purge_at = Some(time(1_800_000_200));
    job.outputs = Some(Outputs {
        spritesheet_key: "jobs/secret/spritesheet.jpg".to_owned(),
        ..outputs()
    });
    job.preview_outputs = Some(Outputs {
        still_key: "jobs/secret/still.png".to_owned(),
        ..outputs()
    });
    let video = show(job);
    assert!(!format!("{video:?}").contains("secret"), "{video:?}");
    let base = format!("/v1/videos/{}", video.id);
    let made = video.outputs.expect("set");
    assert_eq!(made.content_url, format!("{base}/content"));
    assert_eq!(made.thumbnail_url, format!("{base}/thumbnail"));
    assert_eq!(made.manifest_url, format!("{base}/manifest"));
    let sheet = format!("{base}/spritesheet");
    assert_eq!(made.spritesheet_url, Some(sheet));
    assert_eq!(
        (made.still_url, made.duration_seconds, made.bytes),
        (None, 2.5, 9)
    );
    let preview = video.preview_outputs.expect("set");
    assert_eq!(preview.content_url, format!("{base}/preview"));
    assert_eq!(preview.thumbnail_url, format!("{base}/preview/thumbnail"));
    assert_eq!(preview.still_url, Some(format!("{base}/preview/still")));
    assert_eq!(video.completed_at, Some(1_800_000_100));
    assert_eq!(video.expires_at, Some(1_800_000_200));
}

#[test]
fn what_failed_says_why_and_was_never_completed() {
    let mut job = job();
    let source = JobId::generate();
    job.state = State::Failed;
    job.end_time = Some(time(1_800_000_100));
    job.source = Some(source);
    job.failure = Some(Failure {
        reason: "OUT_OF_MEMORY".to_owned(),
        message: "it did not fit".to_owned(),
        retryable: true,
    });
    let video = show(job);
    let error = video.error.expect("set");
    assert_eq!(
        (error.code.as_str(), error.retryable),
        ("OUT_OF_MEMORY", true)
    );
    assert_eq!((video.completed_at, video.end_time.is_some()), (None, true));
    let source = Some(source.to_string());
    assert_eq!(
        (&video.source_id, &video.remixed_from_video_id),
        (&source, &source)
    );
}

#[test]
fn numbers_beyond_their_range_stay_at_its_end() {
    assert_eq!((number(7), number(u64::MAX)), (7, u32::MAX));
    assert_eq!(unix_seconds(time(-5)), 0);
    assert_eq!(unix_seconds(time(i64::from(u32::MAX) + 1)), u32::MAX);
}

#[test]
fn a_state_has_one_name_everywhere() {
    for state in [
        State::AwaitingApproval,
        State::Queued,
        State::Running,
        State::Completed,
        State::Failed,
        State::Cancelled,
        State::Expired,
    ] {
        assert_eq!(state_to_pb(state).as_str_name(), state.public_name());
    }
}

fn group(kind: GroupKind, jobs: Vec<Job>) -> pb::VideoGroup {
    let id = Uuid::now_v7();
    let view = |(index, mut job): (u32, Job)| {
        job.group = Some(GroupRef { id, index });
        View { job, place: None }
    };
    group_to_pb(GroupView {
        group: Group {
            id,
            owner: "anna".to_owned(),
            kind,
            create_time: time(1_800_000_000),
        },
        views: (0..).zip(jobs).map(view).collect(),
    })
}

fn in_state(state: State) -> Job {
    Job { state, ..job() }
}

#[test]
fn a_group_has_ended_once_every_video_has() {
    use State::{AwaitingApproval, Cancelled, Completed, Expired, Failed, Queued, Running};
    let check = |states: &[State], expected: Status| {
        let jobs = states.iter().copied().map(in_state).collect();
        assert_eq!(
            group(GroupKind::Batch, jobs).status(),
            expected,
            "{states:?}"
        );
    };
    check(&[Completed, Running, Queued, Failed], Status::InProgress);
    check(&[Completed, Queued, Failed], Status::Queued);
    check(&[Completed, AwaitingApproval], Status::AwaitingApproval);
    check(&[Completed, Cancelled, Failed], Status::Failed);
    check(&[Cancelled, Expired, Completed], Status::Expired);
    check(&[Completed, Completed], Status::Completed);
}

#[test]
fn the_videos_of_a_group_are_counted_by_their_status() {
    let jobs = [State::Running, State::Completed, State::Running].map(in_state);
    let group = group(GroupKind::Batch, jobs.to_vec());
    let counts = [("in_progress", 2), ("completed", 1)];
    let counts = counts.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(group.counts, HashMap::from(counts));
    assert_eq!((group.object.as_str(), group.result_id), ("batch", None));
}

#[test]
fn a_segment_is_not_shown_as_the_whole_of_its_sequence() {
    let result = |jobs: &[&Job]| {
        let jobs = jobs.iter().copied().cloned().collect();
        group(GroupKind::Sequence, jobs).result_id
    };
    let (first, second) = (job(), job());
    let mut joined = job();
    joined.kind = Kind::Stitch;
    assert_eq!(
        result(&[&first, &second, &joined]),
        Some(joined.id.to_string())
    );
    assert_eq!(result(&[&first, &second]), None, "it was deleted");
    assert_eq!(result(&[&first]), Some(first.id.to_string()));
    let extension = Job {
        source: Some(second.id),
        ..job()
    };
    assert_eq!(result(&[&extension]), None, "a part alone");
}

#[test]
fn what_is_not_known_of_an_estimate_is_unset() {
    let estimate = Estimate {
        spec: job().spec,
        gpu_time: Some(Duration::from_millis(1500)),
        queue_time: None,
        memory_bytes: None,
        credits: 5,
        available_credits: None,
        refusal: None,
        fits: true,
    };
    let shown = estimate_to_pb(estimate);
    assert_eq!(
        (shown.object.as_str(), shown.gpu_seconds),
        ("estimate", Some(1.5))
    );
    assert_eq!(
        (shown.queue_seconds, shown.memory_bytes, shown.refusal),
        (None, None, None)
    );
    assert_eq!(shown.settings.expect("set").frames, 33);
}

#[test]
fn progress_of_a_running_attempt_is_shown_in_detail() {
    let mut job = in_state(State::Running);
    job.progress = Progress {
        step: 5,
        fraction: 0.256,
        ..Progress::at(Stage::Denoising, 20)
    };
    let video = show(job);
    assert_eq!((video.status(), video.progress), (Status::InProgress, 25));
    let work = video.work.expect("set");
    assert_eq!(
        (work.stage(), work.step, work.steps),
        (pb::Stage::Denoising, 5, 20)
    );
}
