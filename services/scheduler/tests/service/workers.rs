//! Workers that break, vanish, come back, or quarrel.

use std::time::Duration;

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use kinora_scheduler::domain::job::SEQ_STRIDE;
use tonic::Code;

use crate::harness::{
    FakeWorker, TestScheduler, beat, checkpoint, checkpoint_key, completion, failure, hello,
    picture, progress, prompt, reason, with_preview,
};

kinora_store::on_both_databases! {
    async fn lost_worker_gives_way_under_a_higher_lease(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| {
            options.heartbeat_interval = Duration::from_millis(100);
            options.worker_ttl = Duration::from_millis(1500);
        })
        .await;
        let anna = scheduler.caller("anna").await;
        let mut zombie = scheduler.worker("w1").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let old = zombie.grant().await.lease.expect("a lease");
        let mut heir = scheduler.worker("w2").await;
        heir.keep_beating(Vec::new());
        // The zombie's stream stays open, but it says nothing.
        let grant = heir.grant().await;
        let new = grant.lease.expect("a lease");
        assert_eq!((new.job_id.as_str(), new.lease, grant.attempt), (job.id.as_str(), 2, 2));
        assert_eq!(zombie.revocation().await, old);
        let cause = anna.get(&job.id).await.expect("reads").error.expect("a cause");
        assert_eq!(cause.code, "WORKER_LOST");
        assert!(!zombie.complete(&old).await, "the older lease is refused");
        zombie.say(progress(&old, 19)).await;
        assert_eq!(zombie.revocation().await, old);
        assert!(heir.complete(&new).await);
        let done = anna.get(&job.id).await.expect("reads");
        assert_eq!((done.status(), done.attempt), (VideoStatus::Completed, 2));
        scheduler.removals.wait_for(&format!("jobs/{}/1/", job.id), 2).await;
        let removed = scheduler.removals.prefixes.lock().clone();
        assert!(!removed.contains(&format!("jobs/{}/2/", job.id)), "{removed:?}");
    }

    async fn checkpoint_reaches_the_next_attempt_and_goes_with_the_job(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let grant = worker.grant().await;
        assert_eq!(grant.checkpoint, None);
        let lease = grant.lease.expect("a lease");
        let seq = anna.get(&job.id).await.expect("reads").seq;
        worker.say(checkpoint(&lease, &format!("jobs/{}/1/video.mp4", job.id), 9)).await;
        worker.say(checkpoint(&lease, &checkpoint_key(&lease, 5), 5)).await;
        worker.say(checkpoint(&lease, &checkpoint_key(&lease, 4), 4)).await;
        worker.say(failure(&lease, "WORKER_DRAINED", true)).await;
        assert!(worker.receipt().await.1);
        let grant = worker.grant().await;
        let newest = grant.checkpoint.expect("a checkpoint");
        assert_eq!((newest.step, newest.key), (5, checkpoint_key(&lease, 5)));
        let told = anna.get(&job.id).await.expect("reads");
        assert_eq!(u64::from(told.seq), u64::from(seq) + 2 * SEQ_STRIDE, "the failure and the claim, no more");
        let lease = grant.lease.expect("a lease");
        assert!(worker.complete(&lease).await);
        scheduler.removals.wait_for(&format!("jobs/{}/checkpoints/", job.id), 2).await;
        worker.say(checkpoint(&lease, &checkpoint_key(&lease, 6), 6)).await;
        assert_eq!(worker.revocation().await, lease, "the job has ended");
    }

    async fn preview_is_shown_while_it_happens_and_kept_nowhere(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| {
            // A poll that comes between storing and showing may lose a preview.
            options.poll_interval = std::time::Duration::from_secs(600);
        })
        .await;
        let anna = scheduler.caller("anna").await;
        let job = anna.submit(prompt("a ball")).await;
        assert!(job.is_err(), "no model yet");
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        let mut watcher = anna.watch(&job.id, 0).await.expect("watches");
        while watcher.next().await.expect("an event").expect("more").attempt < 1 {}
        let webp = picture(8, 8);
        let mut shown = None;
        for _ in 0..2 {
            worker.say(with_preview(progress(&lease, 3), webp.clone())).await;
            let event = watcher.next().await.expect("an event").expect("more");
            assert_eq!(event.work.expect("a progress").step, 3);
            shown = event.preview_webp;
        }
        assert_eq!(shown, Some(webp), "also when nothing else is new");
        worker.say(with_preview(progress(&lease, 4), vec![0; 70 << 10])).await;
        let event = watcher.next().await.expect("an event").expect("more");
        assert_eq!((event.work.expect("a progress").step, event.preview_webp), (4, None));
        let mut late = anna.watch(&job.id, 0).await.expect("watches");
        for _ in 0..3 {
            let event = late.next().await.expect("an event").expect("more");
            assert_eq!(event.preview_webp, None, "nothing keeps it");
        }
    }

    async fn broken_stream_keeps_its_lease(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        drop(worker);
        let held = [lease.clone()];
        let (mut worker, welcome) =
            FakeWorker::attach(&scheduler.endpoint, hello("w", &held)).await.expect("attaches");
        assert_eq!(welcome.revoked, []);
        assert!(worker.complete(&lease).await);
        // The receipt is lost: the report is repeated on a new stream.
        drop(worker);
        let (mut worker, welcome) =
            FakeWorker::attach(&scheduler.endpoint, hello("w", &held)).await.expect("attaches");
        assert_eq!(welcome.revoked, [], "a completed lease may still be reported");
        worker.say(beat(&held)).await;
        assert!(worker.complete(&lease).await);
        let done = anna.get(&job.id).await.expect("reads");
        assert_eq!((done.status(), done.attempt), (VideoStatus::Completed, 1));
    }

    async fn restarted_worker_gets_its_job_again(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let old = worker.grant().await.lease.expect("a lease");
        drop(worker);
        let mut worker = scheduler.worker("w").await;
        let new = worker.grant().await.lease.expect("a lease");
        assert_eq!((new.job_id.as_str(), new.lease), (job.id.as_str(), 2));
        assert!(!worker.complete(&old).await);
        assert!(worker.complete(&new).await);
    }

    async fn newer_stream_of_a_worker_wins(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut older = scheduler.worker("w").await;
        let mut newer = scheduler.worker("w").await;
        let ended = older.next().await.expect_err("is closed");
        assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Aborted, "WORKER_SUPERSEDED"));
        anna.submit(prompt("a ball")).await.expect("accepted");
        newer.grant().await;
    }

    async fn drained_worker_hands_back_without_penalty(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| options.max_attempts = 1).await;
        let anna = scheduler.caller("anna").await;
        let mut leaving = scheduler.worker("w1").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = leaving.grant().await.lease.expect("a lease");
        leaving.say(Up::Heartbeat(pb::Heartbeat { held: vec![lease.clone()], draining: true, device_state: None })).await;
        leaving.say(failure(&lease, "WORKER_DRAINED", true)).await;
        assert_eq!(leaving.receipt().await, (lease, true));
        let mut heir = scheduler.worker("w2").await;
        let grant = heir.grant().await;
        assert_eq!((grant.attempt, grant.lease.expect("a lease").job_id), (2, job.id));
    }

    async fn overdue_attempt_is_taken_away(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| {
            options.heartbeat_interval = Duration::from_millis(100);
            options.worker_ttl = Duration::from_secs(2);
            options.time_limit = Duration::from_millis(1);
            options.max_attempts = 1;
        })
        .await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        worker.keep_beating(Vec::new());
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        assert_eq!(worker.revocation().await, lease);
        let failed = anna.wait_for_state(&job.id, VideoStatus::Failed).await;
        assert_eq!(failed.error.expect("a cause").code, "ATTEMPT_TIME_LIMIT");
    }

    async fn cancel_at_another_replica_reaches_the_worker(url: DatabaseUrl) {
        let near = TestScheduler::start(&url).await;
        let mut worker = near.worker("w").await;
        let far = TestScheduler::start(&url).await;
        let anna = far.caller("anna").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let watcher = far.caller("anna").await.watch(&job.id, 0).await.expect("watches");
        let lease = worker.grant().await.lease.expect("a lease");
        anna.cancel(&job.id).await.expect("cancels");
        worker.say(beat(std::slice::from_ref(&lease))).await;
        assert_eq!(worker.revocation().await, lease);
        let end = watcher.rest().await.pop().expect("an end");
        assert_eq!(end.status(), VideoStatus::Cancelled);
    }

    async fn stop_ends_streams_and_loses_nothing(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        let mut watcher = anna.watch(&job.id, 0).await.expect("watches");
        watcher.next().await.expect("an event");
        scheduler.stop().await;
        assert!(worker.next().await.expect("a clean end").is_none());
        let ended = loop {
            match watcher.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the job has not ended"),
                Err(status) => break status,
            }
        };
        assert_eq!(reason(&ended), "SHUTTING_DOWN");
        let scheduler = TestScheduler::start(&url).await;
        let attached = FakeWorker::attach(&scheduler.endpoint, hello("w", std::slice::from_ref(&lease))).await;
        let (mut worker, _) = attached.expect("attaches");
        assert!(worker.complete(&lease).await);
        let done = scheduler.caller("anna").await.get(&job.id).await.expect("reads");
        assert_eq!((done.status(), done.attempt), (VideoStatus::Completed, 1));
    }

    async fn report_on_another_workers_lease_is_refused(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut owner = scheduler.worker("w1").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = owner.grant().await.lease.expect("a lease");
        let mut thief = scheduler.worker("w2").await;
        assert!(!thief.complete(&lease).await);
        thief.say(failure(&lease, "X", false)).await;
        assert!(!thief.receipt().await.1);
        thief.say(progress(&lease, 9)).await;
        assert_eq!(thief.revocation().await, lease);
        let untouched = anna.get(&job.id).await.expect("reads");
        assert_eq!((untouched.status(), untouched.seq.into()), (VideoStatus::InProgress, 1 + SEQ_STRIDE));
        let mut foreign = completion(&lease);
        if let Up::Completion(report) = &mut foreign {
            report.outputs.as_mut().expect("outputs").video_key = "jobs/other/1/video.mp4".to_owned();
        }
        owner.say(foreign).await;
        assert!(!owner.receipt().await.1, "outputs must be the attempt's own");
        let failure = anna.get(&job.id).await.expect("reads").error.expect("a cause");
        assert_eq!(failure.code, "OUTPUTS_INVALID");
    }
}
