//! Repeated requests, and more requests than may be.

use std::collections::HashSet;
use std::time::Duration;

use kinora_mesh::error::PublicError;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use tonic::{Code, Status};

use crate::harness::{TestScheduler, prompt, reason};

fn check_limit(status: &Status, expected: &str, limit: &str) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let error = PublicError::from_status(status);
    assert_eq!(error.reason, expected);
    assert!(
        error
            .metadata
            .contains(&("limit".to_owned(), limit.to_owned()))
    );
    assert!(
        error
            .retry_after
            .is_some_and(|delay| delay >= Duration::from_secs(1))
    );
}

fn body(text: &str) -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        prompt: text.to_owned(),
        ..pb::CreateVideoRequest::default()
    }
}

kinora_store::on_both_databases! {
    async fn limit_of_active_jobs_is_exact(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| options.max_active = 3).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let calls = (0..10).map(|_| anna.submit(prompt("a ball")));
        let answers = futures::future::join_all(calls).await;
        let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(accepted.len(), 3);
        for answer in refused {
            check_limit(&answer.expect_err("one too many"), "CONCURRENT_LIMIT", "3");
        }
        scheduler.caller("ben").await.submit(prompt("a ball")).await.expect("has a limit of his own");
        let lease = worker.grant().await.lease.expect("a lease");
        assert!(worker.complete(&lease).await);
        anna.submit(prompt("a ball")).await.expect("one has ended");
    }

    async fn batch_is_accepted_whole_or_not_at_all(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| options.max_active = 3).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        anna.submit(prompt("a ball")).await.expect("accepted");
        let too_many = anna.batch("", vec![prompt("a"), prompt("b"), prompt("c")]).await;
        check_limit(&too_many.expect_err("one too many"), "CONCURRENT_LIMIT", "3");
        let never = anna.batch("", vec![prompt("a"); 4]).await.expect_err("can never fit");
        let error = PublicError::from_status(&never);
        assert_eq!((never.code(), error.reason.as_str()), (Code::FailedPrecondition, "REQUEST_OVER_LIMIT"));
        assert_eq!((error.metadata, error.retry_after), (vec![("limit".to_owned(), "3".to_owned())], None));
        assert_eq!(anna.list(0, "").await.expect("lists").data.len(), 1);
        let invalid = pb::CreateVideoRequest { frames: Some(15), ..prompt("b") };
        let refused = anna.batch("", vec![prompt("a"), invalid]).await.expect_err("one is invalid");
        let error = PublicError::from_status(&refused);
        assert_eq!(error.reason, "FRAMES_INVALID");
        assert!(error.metadata.contains(&("index".to_owned(), "1".to_owned())));
        assert_eq!(anna.list(0, "").await.expect("lists").data.len(), 1);
        let group = anna.batch("", vec![prompt("a"), prompt("b")]).await.expect("fits");
        let places: Vec<_> = group.videos.iter().map(|job| (job.group_id(), job.group_index)).collect();
        assert_eq!(places, [(group.id.as_str(), 0), (group.id.as_str(), 1)]);
        assert_eq!(group.object, "batch");
        for count in [0, 101] {
            let refused = anna.batch("", vec![prompt("a"); count]).await.expect_err("no batch");
            assert_eq!(reason(&refused), "BATCH_SIZE_INVALID");
        }
    }

    async fn tenants_share_a_limit_of_waiting_jobs(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| {
            options.max_queued = 2;
            options.max_queue = 3;
        }).await;
        let mut worker = scheduler.worker("w").await;
        let submit = async |name: &str| scheduler.caller(name).await.submit(prompt("a ball")).await;
        submit("busy").await.expect("accepted");
        worker.grant().await;
        submit("acme:anna").await.expect("accepted");
        submit("acme:ben").await.expect("accepted");
        check_limit(&submit("acme:anna").await.expect_err("full"), "TENANT_QUEUE_FULL", "2");
        submit("other").await.expect("accepted");
        let full = submit("third").await.expect_err("the queue is full");
        check_limit(&full, "QUEUE_FULL", "3");
        let metadata = PublicError::from_status(&full).metadata;
        assert!(metadata.contains(&("model".to_owned(), "tiny".to_owned())));
    }

    async fn equal_bodies_within_a_minute_give_one_job(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let calls = (0..10).map(|_| anna.submit(body("a ball")));
        let answers = futures::future::join_all(calls).await;
        let ids: HashSet<String> = answers.into_iter().map(|job| job.expect("accepted").id).collect();
        assert_eq!(ids.len(), 1);
        for other in [
            body("a red ball"),
            pb::CreateVideoRequest { preview_first: true, ..body("a ball") },
            pb::CreateVideoRequest { allow_duplicate: true, ..body("a ball") },
            pb::CreateVideoRequest { request_id: "r".to_owned(), ..body("a ball") },
        ] {
            assert!(!ids.contains(&anna.submit(other).await.expect("accepted").id));
        }
        let ben = scheduler.caller("ben").await.submit(body("a ball")).await.expect("accepted");
        assert!(!ids.contains(&ben.id));
        let batch = anna.batch("", vec![body("a ball")]).await.expect("accepted");
        assert!(!ids.contains(&batch.videos[0].id));
        assert_eq!(anna.batch("", vec![body("a ball")]).await.expect("known").id, batch.id);
    }

    async fn request_id_belongs_to_one_body_of_one_kind(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let group = anna.batch("r-1", vec![prompt("a"), prompt("b")]).await.expect("accepted");
        let again = anna.batch("r-1", vec![prompt("a"), prompt("b")]).await.expect("known");
        assert_eq!(again.id, group.id);
        let other = anna.batch("r-1", vec![prompt("a")]).await.expect_err("another body");
        assert_eq!((other.code(), reason(&other).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
        let single = pb::CreateVideoRequest { request_id: "r-1".to_owned(), ..prompt("a") };
        assert_eq!(reason(&anna.submit(single).await.expect_err("another kind")), "REQUEST_ID_REUSED");
        let own = pb::CreateVideoRequest { request_id: "r-2".to_owned(), ..prompt("a") };
        assert_eq!(reason(&anna.batch("", vec![own]).await.expect_err("of its own")), "REQUEST_ID_INVALID");
        assert_eq!(reason(&anna.batch("a b", vec![prompt("a")]).await.expect_err("no id")), "REQUEST_ID_INVALID");
    }

    async fn lists_are_of_the_states_that_are_asked_for(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let running = anna.submit(prompt("a")).await.expect("accepted");
        worker.grant().await;
        let mut queued = Vec::new();
        for _ in 0..3 {
            queued.push(anna.submit(prompt("a")).await.expect("accepted").id);
        }
        anna.cancel(&queued[1]).await.expect("cancels");
        let waiting = [VideoStatus::Queued];
        let page = anna.list_states(&waiting, "").await.expect("lists");
        assert_eq!(page.data[0].id, queued[2]);
        let rest = anna.list_states(&waiting, &page.next_page_token).await.expect("lists");
        assert_eq!((rest.data[0].id.as_str(), rest.next_page_token.as_str()), (queued[0].as_str(), ""));
        let both = [VideoStatus::InProgress, VideoStatus::Cancelled];
        let first = anna.list_states(&both, "").await.expect("lists");
        let second = anna.list_states(&both, &first.next_page_token).await.expect("lists");
        assert_eq!((first.data[0].id.as_str(), &second.data[0].id), (queued[1].as_str(), &running.id));
        // A token belongs to its states and its owner.
        let mixed = anna.list_states(&both, &page.next_page_token).await.expect_err("other states");
        assert_eq!(reason(&mixed), "PAGE_TOKEN_INVALID");
        let ben = scheduler.caller("ben").await;
        let stolen = ben.list_states(&waiting, &page.next_page_token).await.expect_err("another's");
        assert_eq!(reason(&stolen), "PAGE_TOKEN_INVALID");
        let unknown = anna.list_states(&[VideoStatus::Unspecified], "").await.expect_err("no state");
        assert_eq!(reason(&unknown), "STATUS_INVALID");
    }
}
