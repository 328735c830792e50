//! Input that no honest peer sends.

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use kinora_proto::scheduler::v1::video_service_client::VideoServiceClient;
use tonic::Code;

use crate::harness::{
    FakeWorker, TestScheduler, beat, channel, completion, hello, model, prompt, reason,
};

async fn refused(scheduler: &TestScheduler, first: Up, expected: &str) {
    match FakeWorker::attach(&scheduler.endpoint, first).await {
        Ok(_) => panic!("was let in: {expected}"),
        Err(status) => {
            assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
            assert_eq!(reason(&status), expected);
        }
    }
}

fn changed_hello(change: impl FnOnce(&mut pb::Hello)) -> Up {
    match hello("w", &[]) {
        Up::Hello(mut hello) => {
            change(&mut hello);
            Up::Hello(hello)
        }
        other => other,
    }
}

kinora_store::on_both_databases! {
    async fn callers_cannot_break_the_scheduler(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let check = async |request: pb::CreateVideoRequest, expected: &str| {
            let status = anna.submit(request).await.expect_err(expected);
            assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, expected));
        };
        check(prompt(""), "PROMPT_EMPTY").await;
        check(prompt(&"x".repeat(501)), "PROMPT_TOO_LONG").await;
        check(prompt(&"x".repeat(1_000_000)), "PROMPT_TOO_LONG").await;
        let request_id = "two words".to_owned();
        check(pb::CreateVideoRequest { request_id, ..prompt("a ball") }, "REQUEST_ID_INVALID").await;
        let seed = Some(u64::MAX);
        check(pb::CreateVideoRequest { seed, ..prompt("a ball") }, "SEED_OUT_OF_RANGE").await;
        let guidance = Some(f64::NAN);
        check(pb::CreateVideoRequest { guidance, ..prompt("a ball") }, "GUIDANCE_INVALID").await;
check(prompt("a \0 ball"), "PROMPT_INVALID").await;

        let ben = scheduler.caller("ben").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        for id in [job.id.as_str(), "", "x", "../../etc", &job.id.to_uppercase()] {
            assert_eq!(ben.get(id).await.expect_err("foreign").code(), Code::NotFound);
            assert_eq!(ben.cancel(id).await.expect_err("foreign").code(), Code::NotFound);
            assert_eq!(ben.delete(id).await.expect_err("foreign").code(), Code::NotFound);
            let watched = ben.watch(id, 0).await.map(|_| ());
            assert_eq!(watched.expect_err("foreign").code(), Code::NotFound);
        }
        anna.submit(prompt("a ball")).await.expect("accepted");
        let token = anna.list(1, "").await.expect("lists").next_page_token;
        for (size, token) in [(-1, ""), (i32::MIN, ""), (1, "%%"), (1, &token[1..])] {
            let status = anna.list(size, token).await.expect_err("invalid");
            assert_eq!(status.code(), Code::InvalidArgument);
        }
        let stolen = ben.list(1, &token).await.expect_err("another caller's");
        assert_eq!(reason(&stolen), "PAGE_TOKEN_INVALID");
        // A number from the future hides nothing.
        let watcher = anna.watch(&job.id, u32::MAX).await.expect("watches");
        anna.cancel(&job.id).await.expect("cancels");
        let events = watcher.rest().await;
        assert_eq!(events.last().map(pb::VideoEvent::status), Some(VideoStatus::Cancelled));
    }

    async fn nameless_calls_are_refused(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let channel = channel(&scheduler.endpoint, "edge");
        let mut client = VideoServiceClient::new(channel);
        let status = client.create_video(prompt("a ball")).await.expect_err("nameless");
        assert_eq!(status.code(), Code::Unauthenticated);
        let status = client.list_models(pb::ListModelsRequest {}).await.expect_err("nameless");
        assert_eq!(status.code(), Code::Unauthenticated);
    }

    async fn workers_must_introduce_themselves(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        refused(&scheduler, beat(&[]), "MESSAGE_INVALID").await;
        refused(&scheduler, hello("", &[]), "MESSAGE_INVALID").await;
        refused(&scheduler, hello(&"x".repeat(129), &[]), "MESSAGE_INVALID").await;
        let nonsense = pb::LeaseRef { job_id: "x".to_owned(), lease: 1 };
        refused(&scheduler, hello("w", &[nonsense]), "MESSAGE_INVALID").await;
        refused(&scheduler, changed_hello(|hello| hello.slots = u32::MAX), "MESSAGE_INVALID").await;
        let no_limits = pb::Model { limits: None, ..model("tiny") };
        let hello = changed_hello(|hello| hello.models = vec![no_limits]);
        refused(&scheduler, hello, "MODEL_INVALID").await;
        let second = changed_hello(|_| {});
        let (mut worker, _) = FakeWorker::attach(&scheduler.endpoint, second.clone()).await.expect("attaches");
        worker.say(second).await;
        assert_eq!(reason(&worker.next().await.expect_err("twice")), "MESSAGE_INVALID");
    }

    async fn odd_texts_of_workers_are_cleaned(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let first = changed_hello(|hello| {
            hello.device = "c\0pu".to_owned();
            hello.version = "x\0".repeat(500);
        });
        let attached = FakeWorker::attach(&scheduler.endpoint, first).await;
        let (mut worker, _) = attached.expect("attaches");
        let odd = pb::Model { title: "\0".to_owned(), ..model("tiny") };
        let second = changed_hello(|hello| hello.models = vec![odd]);
        refused(&scheduler, second, "MODEL_INVALID").await;
        let anna = scheduler.caller("anna").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        let failure = pb::Failure { message: "\0".repeat(9000), ..pb::Failure::default() };
        let report = pb::FailureReport { lease: Some(lease.clone()), failure: Some(failure), device_time: None };
        worker.say(Up::Failure(report)).await;
        assert_eq!(worker.receipt().await, (lease, true));
        anna.wait_for_state(&job.id, VideoStatus::Failed).await;
    }

    async fn reports_on_unknown_jobs_change_nothing(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let mut worker = scheduler.worker("w").await;
        let job_id = kinora_ids::JobId::generate().to_string();
        for lease in [0, 1, u64::MAX] {
            let lease = pb::LeaseRef { job_id: job_id.clone(), lease };
            assert!(!worker.complete(&lease).await);
            worker.say(beat(std::slice::from_ref(&lease))).await;
            assert_eq!(worker.revocation().await, lease);
        }
        let mut broken = completion(&pb::LeaseRef { job_id, lease: 1 });
        if let Up::Completion(report) = &mut broken {
            report.lease = None;
        }
        worker.say(broken).await;
        assert_eq!(reason(&worker.next().await.expect_err("no lease")), "MESSAGE_INVALID");
    }
}
