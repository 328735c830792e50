//! Previews and what their owners make of them, starts that are put off, and estimates.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use tonic::{Code, Status};

use crate::harness::{
    FakeWorker, TestScheduler, completion, hello, prompt, reason, settings, settings_of,
    shown_outputs,
};

fn with_preview() -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        preview_first: true,
        seed: Some(7),
        ..prompt("a red ball")
    }
}

async fn make_preview(worker: &mut FakeWorker) -> pb::LeaseRef {
    let lease = worker.grant().await.lease.expect("a lease");
    assert!(worker.complete(&lease).await);
    lease
}

/// Attaches again as a worker does whose receipt was lost, and reports once more.
async fn complete_again(scheduler: &TestScheduler, lease: &pb::LeaseRef) -> FakeWorker {
    let hello = hello("w", std::slice::from_ref(lease));
    let attached = FakeWorker::attach(&scheduler.endpoint, hello).await;
    let (mut worker, _) = attached.expect("attaches");
    assert!(worker.complete(lease).await);
    worker
}

fn refused(answer: Result<pb::Video, Status>) -> (Code, String) {
    let status = answer.expect_err("refused");
    (status.code(), reason(&status))
}

fn in_days(days: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: (Utc::now() + TimeDelta::days(days)).timestamp(),
        nanos: 0,
    }
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

kinora_store::on_both_databases! {
    async fn preview_is_made_approved_and_followed_by_the_clip(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(with_preview()).await.expect("accepted");
        let grant = worker.grant().await;
        let spec = grant.spec.expect("a spec");
        assert_eq!(Some(settings(&spec)), job.preview_settings);
        assert_eq!((spec.width, spec.height, spec.steps, spec.seed), (32, 32, 7, 7));
        let preview = grant.lease.expect("a lease");
        assert!(worker.complete(&preview).await);

        let shown = anna.wait_for_state(&job.id, VideoStatus::AwaitingApproval).await;
        assert_eq!(shown.preview_outputs, Some(shown_outputs(&preview, true)));
        assert!(shown.expire_time.is_some() && shown.outputs.is_none() && shown.end_time.is_none());
        // The worker must not remove what the owner looks at.
        let mut worker = complete_again(&scheduler, &preview).await;
        let approved = anna.approve(&job.id).await.expect("in time");
        assert_eq!((approved.status(), approved.expire_time), (VideoStatus::Queued, None));

        let grant = worker.grant().await;
        assert_eq!(settings(&grant.spec.expect("a spec")), settings_of(&job));
        let clip = grant.lease.expect("a lease");
        assert!(worker.complete(&clip).await);
        let _worker = complete_again(&scheduler, &preview).await;
        let done = anna.wait_for_state(&job.id, VideoStatus::Completed).await;
        assert_eq!(done.outputs, Some(shown_outputs(&clip, false)));
        assert_eq!(done.preview_outputs, Some(shown_outputs(&preview, true)));
        assert!(done.purge_time.is_some());
        let again = anna.approve(&job.id).await.expect("was approved before");
        assert_eq!(again, done);
        let prefix = format!("jobs/{}/{}/", preview.job_id, preview.lease);
        assert!(!scheduler.removals.prefixes.lock().contains(&prefix));
    }

    async fn approval_after_its_time_is_refused(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| {
            options.approval_window = Duration::from_millis(50);
            options.upkeep_interval = Duration::from_millis(30);
        }).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(with_preview()).await.expect("accepted");
        let early = refused(anna.approve(&job.id).await);
        assert_eq!(early, (Code::FailedPrecondition, "NOT_AWAITING_APPROVAL".to_owned()));
        make_preview(&mut worker).await;
        let expired = anna.wait_for_state(&job.id, VideoStatus::Expired).await;
        assert_eq!(expired.preview_outputs, None);
        let late = refused(anna.approve(&job.id).await);
        assert_eq!(late, (Code::FailedPrecondition, "APPROVAL_EXPIRED".to_owned()));
        let ben = scheduler.caller("ben").await;
        assert_eq!(refused(ben.approve(&job.id).await), (Code::NotFound, "JOB_NOT_FOUND".to_owned()));
        assert_eq!(refused(anna.approve("x").await).0, Code::NotFound);
        scheduler.removals.wait_for(&format!("jobs/{}/", job.id), 2).await;
        let unchanged = anna.cancel(&job.id).await.expect("answers");
        assert_eq!(unchanged, expired);
    }

    async fn preview_that_nobody_wants_is_cancelled_with_its_objects(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(with_preview()).await.expect("accepted");
        make_preview(&mut worker).await;
        anna.wait_for_state(&job.id, VideoStatus::AwaitingApproval).await;
        let cancelled = anna.cancel(&job.id).await.expect("cancels");
        assert_eq!((cancelled.status(), &cancelled.preview_outputs), (VideoStatus::Cancelled, &None));
        let late = refused(anna.approve(&job.id).await);
        assert_eq!(late, (Code::FailedPrecondition, "NOT_AWAITING_APPROVAL".to_owned()));
        scheduler.removals.wait_for(&format!("jobs/{}/", job.id), 2).await;
    }

    async fn ended_jobs_are_forgotten_after_their_retention(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| {
            options.retention = Duration::from_millis(50);
            options.upkeep_interval = Duration::from_millis(30);
        }).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        make_preview(&mut worker).await;
        scheduler.removals.wait_for(&format!("jobs/{}/", job.id), 1).await;
        assert_eq!(anna.get(&job.id).await.expect_err("is gone").code(), Code::NotFound);
        assert_eq!(anna.list(0, "").await.expect("lists").data, []);
    }

    async fn start_that_is_put_off_holds_nobody_up(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let tomorrow = pb::CreateVideoRequest {
            not_before: Some(in_days(1)),
            expire_after: Some(seconds(60)),
            priority: pb::Priority::Interactive.into(),
            ..prompt("a red ball")
        };
        let later = anna.submit(tomorrow.clone()).await.expect("accepted");
        assert_eq!(later.not_before, tomorrow.not_before);
        assert_eq!(later.priority(), pb::Priority::Interactive);
        let expire = later.expire_time.expect("an end").seconds;
        assert_eq!(expire, tomorrow.not_before.expect("set").seconds + 60);
        let now = anna.submit(prompt("a ball")).await.expect("accepted");
        assert_eq!(worker.grant().await.lease.expect("a lease").job_id, now.id);
        for (request, expected) in [
            (pb::CreateVideoRequest { not_before: Some(in_days(31)), ..prompt("a") }, "NOT_BEFORE_INVALID"),
            (pb::CreateVideoRequest { not_before: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: -1 }), ..prompt("a") }, "NOT_BEFORE_INVALID"),
            (pb::CreateVideoRequest { expire_after: Some(seconds(59)), ..prompt("a") }, "EXPIRE_AFTER_INVALID"),
            (pb::CreateVideoRequest { expire_after: Some(seconds(-1)), ..prompt("a") }, "EXPIRE_AFTER_INVALID"),
            (pb::CreateVideoRequest { priority: 9, ..prompt("a") }, "PRIORITY_INVALID"),
        ] {
            assert_eq!(refused(anna.submit(request).await), (Code::InvalidArgument, expected.to_owned()));
        }
    }

    async fn worker_that_boasts_does_not_spoil_estimates(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        let Up::Completion(report) = completion(&lease) else { panic!("a completion") };
        // A year, of an attempt that took a moment.
        let device_time = Some(prost_types::Duration { seconds: 31_536_000, nanos: 0 });
        worker.say(Up::Completion(pb::CompletionReport { device_time, ..report })).await;
        assert_eq!(worker.receipt().await, (lease, true));
        let seconds = anna.estimate(prompt("a ball")).await.expect("estimates").gpu_seconds;
        assert!(seconds.is_some_and(|seconds| seconds < 3600.0), "{seconds:?}");
    }

    async fn estimate_tells_the_price_and_stores_nothing(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let worker = scheduler.worker("w").await;
        let wide = pb::CreateVideoRequest { width: Some(128), frames: Some(33), ..prompt("a ball") };
        let estimate = anna.estimate(wide.clone()).await.expect("estimates");
        let spec = estimate.settings.expect("settings");
        assert_eq!((spec.width, spec.height, spec.frames), (128, 48, 33));
        // 33 frames at 8 a second of 128x48 pixels, in thousandths of a second of 832x480.
        assert_eq!((estimate.credits, estimate.memory_bytes, estimate.fits), (64, None, true));
        assert_eq!(estimate.gpu_seconds, None, "not measured yet");
        assert_eq!(anna.list(0, "").await.expect("lists").data, []);
        let invalid = anna.estimate(pb::CreateVideoRequest { frames: Some(15), ..wide }).await;
        assert_eq!(reason(&invalid.expect_err("invalid")), "FRAMES_INVALID");
        drop(worker);
    }

    async fn remix_takes_the_values_of_an_earlier_video(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let first = pb::CreateVideoRequest { width: Some(32), steps: Some(5), seed: Some(1), ..prompt("a red ball") };
        let source = anna.submit(first).await.expect("accepted");
        let remix_of = |id: &str| pb::CreateVideoRequest { remix_of: id.to_owned(), seed: Some(2), ..prompt("") };
        let remix = anna.submit(remix_of(&source.id)).await.expect("accepted");
        assert_eq!((remix.source_id(), remix.remixed_from_video_id()), (source.id.as_str(), source.id.as_str()));
        let expected = pb::VideoSettings { seed: 2, ..settings_of(&source) };
        assert_eq!(settings_of(&remix), expected);
        let longer = pb::CreateVideoRequest { seconds: "2.1".to_owned(), size: "96x32".to_owned(), ..remix_of(&source.id) };
        let longer = anna.submit(longer).await.expect("accepted");
        assert_eq!((longer.frames, longer.width, longer.height, longer.steps), (17, 96, 32, 5), "what is said stands");
        let ben = scheduler.caller("ben").await;
        for id in [source.id.as_str(), "x", &source.id.to_uppercase()] {
            assert_eq!(refused(ben.submit(remix_of(id)).await), (Code::NotFound, "SOURCE_NOT_FOUND".to_owned()));
        }
    }
}
