//! Versions and names of workers, and workers that lie or talk too much.

use std::time::Duration;

use kinora_mesh::error::PublicError;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_proto::scheduler::v1::attach_response::Message as Down;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use kinora_scheduler::domain::job::SEQ_STRIDE;
use tonic::{Code, Status};

use crate::harness::{
    FakeWorker, TestScheduler, beat, checkpoint, checkpoint_key, completion, hello, progress,
    prompt, reason,
};

/// A worker of the second version, of the process `instance`.
fn instance(name: &str, instance: &str, held: &[pb::LeaseRef]) -> Up {
    match hello(name, held) {
        Up::Hello(hello) => Up::Hello(pb::Hello {
            protocol: 2,
            instance: instance.to_owned(),
            ..hello
        }),
        other => other,
    }
}

async fn refusal(scheduler: &TestScheduler, first: Up) -> Status {
    match FakeWorker::attach(&scheduler.endpoint, first).await {
        Ok(_) => panic!("was let in"),
        Err(status) => status,
    }
}

async fn attach(scheduler: &TestScheduler, first: Up) -> FakeWorker {
    let attached = FakeWorker::attach(&scheduler.endpoint, first).await;
    attached.expect("attaches").0
}

fn with_stage(report: Up, stage: i32) -> Up {
    match report {
        Up::Progress(mut report) => {
            report.progress.as_mut().expect("a progress").stage = stage;
            Up::Progress(report)
        }
        other => other,
    }
}

kinora_store::on_both_databases! {
    async fn versions_that_are_not_spoken_are_refused_with_those_that_are(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        for protocol in [3, u32::MAX] {
            let Up::Hello(hello) = hello("w", &[]) else { panic!("no hello") };
            let status = refusal(&scheduler, Up::Hello(pb::Hello { protocol, ..hello })).await;
            assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "VERSION_SKEW"));
            let metadata = PublicError::from_status(&status).metadata;
            let expected = [("newest", "2"), ("oldest", "1")];
            assert_eq!(metadata, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        }
        // The first version did not say one.
        attach(&scheduler, hello("w", &[])).await;
    }

    async fn a_name_is_taken_as_long_as_its_worker_is_attached(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let mut first = attach(&scheduler, instance("w", "1", &[])).await;
        let status = refusal(&scheduler, instance("w", "2", &[])).await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::AlreadyExists, "WORKER_NAME_TAKEN"));
        // The same process may open a new stream at any time.
        let again = attach(&scheduler, instance("w", "1", &[])).await;
        assert_eq!(reason(&first.next().await.expect_err("is closed")), "WORKER_SUPERSEDED");
        drop(again);
        let patience = Duration::from_secs(20);
        kinora_testkit::wait::until("the name is free", patience, || async {
            let attached = FakeWorker::attach(&scheduler.endpoint, instance("w", "2", &[])).await;
            attached.map(drop).map_err(|status| reason(&status))
        })
        .await;
    }

    async fn a_silent_worker_loses_its_name(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| {
            options.heartbeat_interval = Duration::from_millis(100);
            options.worker_ttl = Duration::from_millis(500);
        })
        .await;
        let mut silent = attach(&scheduler, instance("w", "1", &[])).await;
        let patience = Duration::from_secs(20);
        let heir = kinora_testkit::wait::until("the name is free", patience, || async {
            let attached = FakeWorker::attach(&scheduler.endpoint, instance("w", "2", &[])).await;
            attached.map_err(|status| reason(&status))
        })
        .await;
        assert_eq!(reason(&silent.next().await.expect_err("is closed")), "WORKER_SUPERSEDED");
        drop(heir);
    }

    async fn progress_that_goes_back_is_put_right(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let watcher = anna.watch(&job.id, 0).await.expect("watches");
        let lease = worker.grant().await.lease.expect("a lease");
        let decoding = i32::from(pb::Stage::Decoding);
        for report in [
            progress(&lease, 9),
            progress(&lease, 3),
            with_stage(progress(&lease, 12), 99),
            with_stage(progress(&lease, 0), i32::from(pb::Stage::Queued)),
            with_stage(progress(&lease, 1), decoding),
            progress(&lease, 20),
        ] {
            worker.say(report).await;
        }
        assert!(worker.complete(&lease).await);
        let mut last = (0, 0, 0.0);
        for event in watcher.rest().await {
            let seen = event.work.expect("a progress");
            if event.status() == VideoStatus::InProgress {
                let place = (seen.stage, seen.step, seen.fraction);
                assert!(place >= last, "{place:?} after {last:?}");
                last = place;
            }
        }
    }

    async fn a_flood_of_reports_costs_few_writes_and_hides_nothing(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let grant = worker.grant().await;
        let lease = grant.lease.expect("a lease");
        for count in 0..2000 {
            let step = count / 100;
            worker.say(progress(&lease, step)).await;
            worker.say(checkpoint(&lease, &checkpoint_key(&lease, step.max(1)), step.max(1))).await;
        }
        worker.say(beat(std::slice::from_ref(&lease))).await;
        let foreign = pb::LeaseRef { lease: 77, ..lease.clone() };
        for _ in 0..500 {
            worker.say(progress(&foreign, 1)).await;
        }
        worker.say(completion(&lease)).await;
        loop {
            match worker.next().await.expect("no error").expect("a message") {
                Down::Revocation(revocation) => assert_eq!(revocation.lease, Some(foreign.clone())),
                Down::Receipt(receipt) => break assert!(receipt.accepted),
                other => panic!("unexpected: {other:?}"),
            }
        }
        let done = anna.get(&job.id).await.expect("reads");
        assert_eq!(done.status(), VideoStatus::Completed);
        let writes = u64::from(done.seq) / SEQ_STRIDE;
        assert!(writes < 500, "{writes} writes");
    }

    async fn messages_beyond_the_limit_end_the_stream_with_a_reason(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let mut worker = scheduler.worker("w").await;
        let lease = pb::LeaseRef { job_id: kinora_ids::JobId::generate().to_string(), lease: 1 };
        let mut report = completion(&lease);
        if let Up::Completion(report) = &mut report {
            report.outputs.as_mut().expect("outputs").video_key = "x".repeat(5 << 20);
        }
        worker.say(report).await;
        let status = worker.next().await.expect_err("is closed");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "MESSAGE_INVALID"));
        assert!(status.message().contains("4 MiB"), "{status:?}");
        let Up::Hello(mut hello) = hello("w", &[]) else { panic!("no hello") };
        hello.version = "x".repeat(5 << 20);
        assert!(refusal(&scheduler, Up::Hello(hello)).await.message().contains("4 MiB"));
    }

    async fn outputs_outside_the_lease_are_not_taken(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| options.max_attempts = 1).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let keys: [fn(&mut pb::Outputs) -> &mut String; 2] =
            [|outputs| &mut outputs.last_frame_key, |outputs| &mut outputs.spritesheet_key];
        for key in keys {
            let job = anna.submit(prompt("a ball")).await.expect("accepted");
            let lease = worker.grant().await.lease.expect("a lease");
            let mut report = completion(&lease);
            if let Up::Completion(report) = &mut report {
                let outputs = report.outputs.as_mut().expect("outputs");
                *key(outputs) = format!("jobs/{}/inputs/first.png", job.id);
            }
            worker.say(report).await;
            assert_eq!(worker.receipt().await, (lease, false));
            let failed = anna.wait_for_state(&job.id, VideoStatus::Failed).await;
            assert_eq!(failed.error.expect("a cause").code, "OUTPUTS_INVALID");
        }
    }

    async fn a_worker_moves_to_another_replica_with_its_lease(url: DatabaseUrl) {
        let first = TestScheduler::start(&url).await;
        let mut worker = attach(&first, instance("w", "1", &[])).await;
        let second = TestScheduler::start(&url).await;
        let anna = second.caller("anna").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        first.stop().await;
        assert!(worker.next().await.expect("a clean end").is_none());
        let held = [lease.clone()];
        let attached = FakeWorker::attach(&second.endpoint, instance("w", "1", &held)).await;
        let (mut worker, welcome) = attached.expect("attaches");
        assert_eq!(welcome.revoked, []);
        worker.say(progress(&lease, 7)).await;
        assert!(worker.complete(&lease).await);
        let done = anna.get(&job.id).await.expect("reads");
        assert_eq!((done.status(), done.attempt), (VideoStatus::Completed, 1));
    }
}
