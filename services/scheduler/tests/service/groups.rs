//! Batches, sequences and extensions, with a worker that does as it is told.

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use tonic::{Code, Status};

use crate::harness::{
    FakeWorker, TestScheduler, completion, failure, hello, image_model, picture, prompt, reason,
};

/// A worker of the present contract with a model that goes on from pictures.
async fn with_image_model(scheduler: &TestScheduler) -> FakeWorker {
    let Up::Hello(mut hello) = hello("w", &[]) else {
        panic!("a hello is one");
    };
    hello.models = vec![image_model("i2v")];
    hello.protocol = 2;
    hello.instance = "one".to_owned();
    let attached = FakeWorker::attach(&scheduler.endpoint, Up::Hello(hello));
    attached.await.expect("attaches").0
}

fn sequence(prompts: &[&str]) -> pb::CreateSequenceRequest {
    pb::CreateSequenceRequest {
        segment: Some(pb::CreateVideoRequest {
            image: picture(64, 48),
            seed: Some(7),
            ..prompt("a ball")
        }),
        prompts: prompts.iter().map(|&text| text.to_owned()).collect(),
        ..pb::CreateSequenceRequest::default()
    }
}

fn last_frame_of(lease: &pb::LeaseRef) -> String {
    format!("jobs/{}/{}/last.png", lease.job_id, lease.lease)
}

/// Completes a lease, with its last frame if that was asked for.
async fn complete(worker: &mut FakeWorker, grant: &pb::LeaseGrant) -> pb::LeaseRef {
    let lease = grant.lease.clone().expect("a lease");
    let mut report = completion(&lease);
    if let Up::Completion(report) = &mut report
        && grant.wants_last_frame
    {
        let outputs = report.outputs.as_mut().expect("outputs");
        outputs.last_frame_key = last_frame_of(&lease);
        outputs.last_frame_sha256 = "cd".repeat(32);
    }
    worker.say(report).await;
    assert_eq!(worker.receipt().await, (lease.clone(), true));
    lease
}

fn check_not_found<T: std::fmt::Debug>(answer: Result<T, Status>, expected: &str) {
    let status = answer.expect_err("not the caller's");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, expected)
    );
}

kinora_store::on_both_databases! {
    async fn segments_follow_each_other_and_are_joined(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| options.max_active = 1).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = with_image_model(&scheduler).await;
        let group = anna.sequence(sequence(&["it rolls", ""])).await.expect("counts as one");
        assert_eq!((group.videos.len(), group.object.as_str()), (3, "sequence"));
        let watcher = anna.watch_group(&group.id).await.expect("watches");
        let single = pb::CreateVideoRequest { image: picture(64, 48), ..prompt("a ball") };
        let check_full = async || {
            let full = anna.sequence(sequence(&["", "it stops"])).await.expect_err("one at a time");
            assert_eq!(reason(&full), "CONCURRENT_LIMIT");
            assert_eq!(reason(&anna.submit(single.clone()).await.expect_err("one at a time")), "CONCURRENT_LIMIT");
        };
        check_full().await;

        let first = worker.grant().await;
        let spec = first.spec.clone().expect("a spec");
        assert_eq!((spec.prompt.as_str(), spec.seed), ("it rolls", 7));
        assert_eq!(spec.image_key, format!("jobs/{}/inputs/first.webp", group.videos[0].id));
        let first = complete(&mut worker, &first).await;
        check_full().await;
        let second = worker.grant().await;
        let spec = second.spec.clone().expect("a spec");
        assert_eq!((spec.prompt.as_str(), spec.seed), ("a ball", 8));
        assert_eq!(spec.image_key, last_frame_of(&first));
        assert!(!second.wants_last_frame && second.parts.is_empty());
        let second = complete(&mut worker, &second).await;

        let stitch = worker.grant().await;
        assert_eq!(stitch.kind(), pb::JobKind::Stitch);
        let parts: Vec<_> = stitch.parts.iter().map(|part| (part.video_key.clone(), part.skips_first_frame)).collect();
        let key = |lease: &pb::LeaseRef| format!("jobs/{}/{}/video.mp4", lease.job_id, lease.lease);
        assert_eq!(parts, [(key(&first), false), (key(&second), true)]);
        complete(&mut worker, &stitch).await;

        let done = anna.group(&group.id).await.expect("reads");
        assert!(done.videos.iter().all(|job| job.status() == VideoStatus::Completed));
        assert_eq!(done.videos[2].kind(), pb::JobKind::Stitch);
        let events = watcher.rest().await;
        let ends = events.iter().filter(|event| event.status() == VideoStatus::Completed);
        assert_eq!(ends.count(), 3);
        assert!(events.iter().all(|event| event.r#type == "end" || event.group_id() == group.id));
    }

    async fn failed_segment_ends_what_needs_it(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = with_image_model(&scheduler).await;
        let group = anna.sequence(sequence(&["", "", ""])).await.expect("accepted");
        let first = worker.grant().await;
        complete(&mut worker, &first).await;
        let lease = worker.grant().await.lease.expect("a lease");
        assert_eq!(lease.job_id, group.videos[1].id);
        worker.say(failure(&lease, "REQUEST_INVALID", false)).await;
        assert_eq!(worker.receipt().await, (lease, true));
        let ended = anna.group(&group.id).await.expect("reads");
        let states: Vec<VideoStatus> = ended.videos.iter().map(pb::Video::status).collect();
        use VideoStatus::{Completed, Failed};
        assert_eq!(states, [Completed, Failed, Failed, Failed]);
        for job in &ended.videos[2..] {
            assert_eq!(job.error.as_ref().expect("a cause").code, "NEED_LOST");
        }
        let other = anna.submit(pb::CreateVideoRequest { image: picture(64, 48), ..prompt("a ball") }).await;
        let other = other.expect("accepted");
        assert_eq!(worker.grant().await.lease.expect("a lease").job_id, other.id);
    }

    async fn extension_begins_with_the_clip_it_extends(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let (anna, ben) = (scheduler.caller("anna").await, scheduler.caller("ben").await);
        let mut worker = with_image_model(&scheduler).await;
        let source = anna.submit(pb::CreateVideoRequest { image: picture(64, 48), ..prompt("a ball") }).await;
        let source = source.expect("accepted");
        let order = pb::CreateSequenceRequest {
            segment: Some(prompt("it stops")),
            prompts: vec![String::new()],
            source_id: source.id.clone(),
            ..pb::CreateSequenceRequest::default()
        };
        let early = anna.sequence(order.clone()).await.expect_err("has no clip yet");
        assert_eq!((early.code(), reason(&early).as_str()), (Code::FailedPrecondition, "SOURCE_NOT_COMPLETED"));
        let grant = worker.grant().await;
        let made = complete(&mut worker, &grant).await;
        check_not_found(ben.sequence(order.clone()).await, "SOURCE_NOT_FOUND");
        let wide = pb::CreateVideoRequest { width: Some(128), ..prompt("it stops") };
        let misfit = pb::CreateSequenceRequest { segment: Some(wide), ..order.clone() };
        assert_eq!(reason(&anna.sequence(misfit).await.expect_err("another size")), "SOURCE_MISMATCH");

        let group = anna.sequence(order).await.expect("accepted");
        assert_eq!((group.videos.len(), group.videos[1].source_id()), (2, source.id.as_str()));
        let segment = worker.grant().await;
        assert_eq!(segment.kind(), pb::JobKind::Generate);
        let key = format!("jobs/{}/{}/video.mp4", made.job_id, made.lease);
        // The clip has no stored last frame: the worker takes it from there.
        assert_eq!(segment.parts.iter().map(|part| &part.video_key).collect::<Vec<_>>(), [&key]);
        complete(&mut worker, &segment).await;
        let stitch = worker.grant().await;
        assert_eq!((stitch.parts.len(), &stitch.parts[0].video_key), (2, &key));
        complete(&mut worker, &stitch).await;
        anna.wait_for_state(&group.videos[1].id, VideoStatus::Completed).await;

        // Without a word the scene goes on.
        let bare = pb::CreateSequenceRequest { source_id: source.id.clone(), segments: 2, ..Default::default() };
        let group = anna.sequence(bare).await.expect("accepted");
        let prompts: Vec<&str> = group.videos.iter().map(|video| video.prompt.as_str()).collect();
        assert_eq!(prompts, ["a ball"; 3]);
        assert_eq!(group.result_id(), group.videos[2].id);
    }

    async fn sequences_that_cannot_be_made_are_refused(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _text_only = scheduler.worker("text").await;
        let mut order = sequence(&["", ""]);
        order.segment.as_mut().expect("set").image = Vec::new();
        let refused = anna.sequence(order.clone()).await.expect_err("takes no picture");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "IMAGE_NOT_SUPPORTED"));
        order.prompts.clear();
        order.segment.as_mut().expect("set").prompt.clear();
        assert_eq!(reason(&anna.sequence(order).await.expect_err("empty")), "SEQUENCE_LENGTH_INVALID");
        let mut preview = sequence(&[""]);
        preview.segment.as_mut().expect("set").preview_first = true;
        assert_eq!(reason(&anna.sequence(preview).await.expect_err("no sense")), "SEGMENT_INVALID");
        let nothing = pb::CreateSequenceRequest { prompts: vec![String::new()], ..Default::default() };
        assert_eq!(reason(&anna.sequence(nothing).await.expect_err("no prompt")), "PROMPT_EMPTY");
        assert_eq!(anna.list(0, "").await.expect("lists").data, []);
    }

    async fn cancelling_a_group_ends_its_jobs_and_nobody_elses(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let (anna, ben) = (scheduler.caller("anna").await, scheduler.caller("ben").await);
        let mut worker = with_image_model(&scheduler).await;
        let group = anna.sequence(sequence(&["", "", ""])).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        for id in [group.id.as_str(), "", "x", &group.id.to_uppercase(), &group.videos[0].id] {
            check_not_found(ben.group(id).await, "GROUP_NOT_FOUND");
            check_not_found(ben.cancel_group(id).await, "GROUP_NOT_FOUND");
            check_not_found(ben.watch_group(id).await.map(|_| ()), "GROUP_NOT_FOUND");
        }
        for collection in ["batches", "sequence", "x"] {
            let id = group.id.as_str();
            check_not_found(anna.group_in(collection, id).await, "GROUP_NOT_FOUND");
            check_not_found(anna.cancel_group_in(collection, id).await, "GROUP_NOT_FOUND");
            check_not_found(anna.watch_group_in(collection, id).await.map(|_| ()), "GROUP_NOT_FOUND");
        }
        let found = anna.group_in("sequences", &group.id).await.expect("finds");
        assert_eq!((found.id, found.object.as_str()), (group.id.clone(), "sequence"));
        let video = pb::CreateVideoRequest { image: picture(64, 48), ..prompt("a ball") };
        let batch = anna.batch("", vec![video]).await.expect("accepted");
        anna.group_in("batches", &batch.id).await.expect("finds");
        check_not_found(anna.group_in("sequences", &batch.id).await, "GROUP_NOT_FOUND");
        let cancelled = anna.cancel_group_in("sequences", &group.id).await.expect("cancels");
        assert!(cancelled.videos.iter().all(|job| job.status() == VideoStatus::Cancelled));
        assert_eq!(worker.revocation().await, lease);
        let again = anna.cancel_group(&group.id).await.expect("answers");
        assert_eq!(again, cancelled);
        let events = anna.watch_group(&group.id).await.expect("watches").rest().await;
        assert_eq!(events.len(), cancelled.videos.len() + 1, "and the end");
    }
}
