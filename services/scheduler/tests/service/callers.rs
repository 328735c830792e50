//! What callers see: from submission to the end.

use std::collections::HashSet;

use kinora_mesh::error::PublicError;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use tonic::Code;

use crate::harness::{
    PATIENCE, TestScheduler, failure, progress, prompt, reason, settings, settings_of,
};

kinora_store::on_both_databases! {
    async fn job_goes_from_submission_to_its_clip(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a red dragon")).await.expect("accepted");
        assert_eq!(job.notes, ["words outside this model's world: dragon"]);
        let watcher = anna.watch(&job.id, 0).await.expect("watches");
        let grant = worker.grant().await;
        let lease = grant.lease.expect("a lease");
        assert_eq!((lease.job_id.as_str(), lease.lease, grant.attempt), (job.id.as_str(), 1, 1));
        assert_eq!(settings(&grant.spec.expect("a spec")), settings_of(&job));
        for step in [5, 3, 20] {
            worker.say(progress(&lease, step)).await;
        }
        assert!(worker.complete(&lease).await);
        let events = watcher.rest().await;
        assert!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq), "{events:?}");
        let fractions = events.iter().map(|event| event.work.as_ref().expect("progress").fraction);
        assert!(fractions.is_sorted(), "{events:?}");
        let last = events.last().expect("an end");
        assert_eq!((last.status(), last.outputs.as_ref().map(|o| o.frames)), (VideoStatus::Completed, Some(13)));
        let done = anna.get(&job.id).await.expect("reads");
        assert_eq!((done.seq, done.outputs.clone()), (last.seq, last.outputs.clone()));
        assert_eq!(anna.cancel(&job.id).await.expect("answers"), done, "what has ended stays as it ended");
        let again = anna.watch(&job.id, done.seq).await.expect("watches").rest().await;
        let again: Vec<_> = again.iter().map(|event| (event.seq, event.status())).collect();
        assert_eq!(again, [(done.seq, VideoStatus::Completed)], "the end once more, and nothing after it");
        let history = anna.watch(&job.id, 0).await.expect("watches").rest().await;
        let states: Vec<_> = history.iter().map(pb::VideoEvent::status).collect();
        assert_eq!(states, [VideoStatus::Queued, VideoStatus::InProgress, VideoStatus::Completed]);
        scheduler.stop().await;
    }

    async fn cancel_reaches_the_worker(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a red ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        let waiting = anna.submit(prompt("a ball")).await.expect("accepted");
        let cancelled = anna.cancel(&job.id).await.expect("cancels");
        assert_eq!(cancelled.status(), VideoStatus::Cancelled);
        assert_eq!(worker.revocation().await, lease);
        assert!(!worker.complete(&lease).await, "a late completion is refused");
        assert_eq!(worker.grant().await.lease.expect("a lease").job_id, waiting.id);
        let again = anna.cancel(&job.id).await.expect("answers");
        assert_eq!(again, anna.get(&job.id).await.expect("reads"));
        let prefix = format!("jobs/{}/", job.id);
        scheduler.removals.wait_for(&prefix, 2).await;
    }

    async fn equal_requests_give_one_job(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let request = pb::CreateVideoRequest { request_id: "r-1".to_owned(), ..prompt("a red ball") };
        let calls = (0..20).map(|_| anna.submit(request.clone()));
        let jobs = futures::future::join_all(calls).await;
        let ids: HashSet<String> = jobs.into_iter().map(|job| job.expect("accepted").id).collect();
        assert_eq!(ids.len(), 1);
        let other = pb::CreateVideoRequest { prompt: "a ball".to_owned(), ..request.clone() };
        let refused = anna.submit(other).await.expect_err("another body");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
        let ben = scheduler.caller("ben").await.submit(request).await.expect("accepted");
        assert!(!ids.contains(&ben.id));
    }

    async fn queue_position_counts_jobs_ahead(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        anna.submit(prompt("a ball")).await.expect("accepted");
        worker.grant().await;
        for _ in 0..3 {
            anna.submit(prompt("a ball")).await.expect("accepted");
        }
        // A place is as of a moment ago.
        let page = kinora_testkit::wait::until("their places", PATIENCE, || async {
            let page = anna.list(2, "").await.expect("lists");
            let place = |job: &pb::Video| job.work.as_ref().map(|work| work.queue_position);
            let places: Vec<_> = page.data.iter().map(place).collect();
            if places == [Some(2), Some(1)] { Ok(page) } else { Err(places) }
        })
        .await;
        let rest = anna.list(0, &page.next_page_token).await.expect("lists");
        assert_eq!((rest.data.len(), rest.next_page_token.as_str()), (2, ""));
    }

    async fn delete_forgets_job_and_objects(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        *scheduler.removals.failures_left.lock() = 1;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        let watcher = anna.watch(&job.id, 2).await.expect("watches");
        anna.delete(&job.id).await.expect("deletes");
        assert_eq!(worker.revocation().await, lease);
        drop(watcher);
        let gone = anna.get(&job.id).await.expect_err("is gone");
        assert_eq!(reason(&gone), "JOB_NOT_FOUND");
        assert_eq!(anna.delete(&job.id).await.expect_err("is gone").code(), Code::NotFound);
        scheduler.removals.wait_for(&format!("jobs/{}/", job.id), 2).await;
    }

    async fn failed_attempts_are_repeated_and_then_given_up(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        for attempt in 1..=3 {
            let grant = worker.grant().await;
            let lease = grant.lease.expect("a lease");
            assert_eq!((grant.attempt, lease.lease), (attempt, u64::from(attempt)));
            worker.say(failure(&lease, "OUT_OF_MEMORY", true)).await;
            assert_eq!(worker.receipt().await, (lease, true));
        }
        let failed = anna.get(&job.id).await.expect("reads");
        assert_eq!((failed.status(), failed.attempt), (VideoStatus::Failed, 3));
        assert_eq!(failed.error.expect("a cause").code, "OUT_OF_MEMORY");
        let other = anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        worker.say(failure(&lease, "not a reason", false)).await;
        let failed = anna.wait_for_state(&other.id, VideoStatus::Failed).await;
        assert_eq!((failed.attempt, failed.error.expect("a cause").code.as_str()), (1, "WORKER_ERROR"));
    }

    async fn invalid_requests_name_the_nearest_legal_value(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let early = anna.submit(prompt("a ball")).await.expect_err("no model yet");
        assert_eq!((early.code(), reason(&early).as_str()), (Code::Unavailable, "NO_MODEL_AVAILABLE"));
        let _worker = scheduler.worker("w").await;
        let request = pb::CreateVideoRequest { frames: Some(15), ..prompt("a ball") };
        let refused = PublicError::from_status(&anna.submit(request).await.expect_err("invalid"));
        assert_eq!(refused.reason, "FRAMES_INVALID");
        assert_eq!(refused.violations[0].field, "frames");
        assert!(refused.metadata.contains(&("nearest".to_owned(), "13,17".to_owned())));
        let request = pb::CreateVideoRequest { model: "gone".to_owned(), ..prompt("a ball") };
        let refused = PublicError::from_status(&anna.submit(request).await.expect_err("unknown"));
        assert_eq!(refused.reason, "UNKNOWN_MODEL");
        assert_eq!(refused.metadata, [("known".to_owned(), "tiny".to_owned())]);
    }
}
