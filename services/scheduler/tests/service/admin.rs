//! Operators, and those who are none.

use kinora_access::Claims;
use kinora_access::testing::{id_of, principal_of};
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use tonic::Code;

use crate::harness::{FakeWorker, Operator, TestScheduler, failure, prompt, reason, settings_of};

async fn start(url: &kinora_store::DatabaseUrl) -> (TestScheduler, Operator) {
    let scheduler = TestScheduler::start(url).await;
    let olga = scheduler.operator("olga");
    (scheduler, olga)
}

/// Fails a job as often as it is tried.
async fn exhaust(worker: &mut FakeWorker) {
    for _ in 0..3 {
        let lease = worker.grant().await.lease.expect("a lease");
        worker.say(failure(&lease, "OUT_OF_MEMORY", true)).await;
        assert_eq!(worker.receipt().await, (lease, true));
    }
}

/// Every method refuses a caller whose token says this.
async fn check_nothing_told(scheduler: &TestScheduler, claims: &Claims) {
    let anna = Operator::connect(&scheduler.endpoint, scheduler.issuer.sign(claims));
    let mut client = anna.client.clone();
    let refused = [
        client
            .list_workers(anna.request(pb::ListWorkersRequest {}))
            .await
            .map(|_| ()),
        client
            .cordon_worker(anna.request(pb::CordonWorkerRequest::default()))
            .await
            .map(|_| ()),
        client
            .drain_worker(anna.request(pb::DrainWorkerRequest::default()))
            .await
            .map(|_| ()),
        client
            .list_queues(anna.request(pb::ListQueuesRequest {}))
            .await
            .map(|_| ()),
        client
            .list_dead_letters(anna.request(pb::ListDeadLettersRequest::default()))
            .await
            .map(|_| ()),
        client
            .retry_dead_letter(anna.request(pb::RetryDeadLetterRequest::default()))
            .await
            .map(|_| ()),
        client
            .uncordon_worker(anna.request(pb::UncordonWorkerRequest::default()))
            .await
            .map(|_| ()),
        client
            .get_tenant(anna.request(pb::GetTenantRequest::default()))
            .await
            .map(|_| ()),
        client
            .update_tenant(anna.request(pb::UpdateTenantRequest::default()))
            .await
            .map(|_| ()),
    ];
    for answer in refused {
        let status = answer.expect_err("no operator");
        let reason = reason(&status);
        assert_eq!(
            (status.code(), reason.as_str()),
            (Code::PermissionDenied, "SCOPE_MISSING")
        );
    }
}

kinora_store::on_both_databases! {
    async fn others_than_operators_are_told_nothing(url: DatabaseUrl) {
        let (scheduler, _olga) = start(&url).await;
        let claims = scheduler.issuer.operator("olga");
        // A token without the scope, and one that has it although nobody made its subject an operator.
        let without = Claims { scope: "videos:read videos:write".to_owned(), ..claims.clone() };
        let posing = Claims { adm: false, ..claims };
        for claims in [without, posing] {
            check_nothing_told(&scheduler, &claims).await;
        }
        let mut client = scheduler.operator("olga").client;
        let nameless = client.list_workers(pb::ListWorkersRequest {}).await.expect_err("nameless");
        assert_eq!((nameless.code(), reason(&nameless).as_str()), (Code::Unauthenticated, "TOKEN_MISSING"));
    }

    async fn dead_letter_is_retried_once_however_often_it_is_asked(url: DatabaseUrl) {
        let (scheduler, olga) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let early = olga.retry(&job.id).await.expect_err("has not failed");
        assert_eq!((early.code(), reason(&early).as_str()), (Code::FailedPrecondition, "NOT_A_DEAD_LETTER"));
        exhaust(&mut worker).await;
        let failed = anna.wait_for_state(&job.id, VideoStatus::Failed).await;

        let letters = olga.dead_letters(0, "").await.expect("lists").dead_letters;
        let [letter] = &letters[..] else { panic!("one: {letters:?}") };
        assert_eq!(letter.video.as_ref(), Some(&failed));
        let attempts: Vec<_> = letter.attempts.iter().map(|it| (it.attempt, it.outcome.as_str())).collect();
        assert_eq!(attempts, [(1, "OUT_OF_MEMORY"), (2, "OUT_OF_MEMORY"), (3, "OUT_OF_MEMORY")]);
        assert!(!letter.quarantined && letter.retried_as.is_none());

        let new = olga.retry(&job.id).await.expect("retries");
        assert_eq!((new.status(), new.source_id()), (VideoStatus::Queued, job.id.as_str()));
        assert_eq!(settings_of(&new), settings_of(&job));
        assert_eq!(letter.owner, principal_of("anna"));
        assert_eq!(anna.get(&new.id).await.expect("is hers"), new);
        assert_eq!(olga.retry(&job.id).await.expect("answers").id, new.id);
        let letters = olga.dead_letters(0, "").await.expect("lists").dead_letters;
        assert_eq!(letters[0].retried_as(), new.id);
        assert_eq!(anna.get(&job.id).await.expect("reads"), failed, "it stays as it ended");
        let lease = worker.grant().await.lease.expect("a lease");
        assert!(lease.job_id == new.id && worker.complete(&lease).await);
        for id in ["x", &kinora_ids::JobId::generate().to_string()] {
            assert_eq!(olga.retry(id).await.expect_err("unknown").code(), Code::NotFound);
        }
    }

    async fn job_that_costs_worker_after_worker_is_quarantined(url: DatabaseUrl) {
        let (scheduler, olga) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let poison = anna.submit(prompt("a ball")).await.expect("accepted");
        for lease in 1..=3 {
            let granted = worker.grant().await.lease.expect("a lease");
            assert_eq!((granted.job_id.as_str(), granted.lease), (poison.id.as_str(), lease));
            // It comes back with nothing.
            worker = scheduler.worker("w").await;
        }
        let failed = anna.wait_for_state(&poison.id, VideoStatus::Failed).await;
        assert_eq!(failed.error.expect("a cause").code, "POISONED");
        let letters = olga.dead_letters(0, "").await.expect("lists").dead_letters;
        let [letter] = &letters[..] else { panic!("one: {letters:?}") };
        assert!(letter.quarantined);
        let outcomes: Vec<_> = letter.attempts.iter().map(|it| it.outcome.as_str()).collect();
        assert_eq!(outcomes, ["WORKER_RESTARTED", "WORKER_RESTARTED", "POISONED"]);
        let other = anna.submit(prompt("a ball")).await.expect("accepted");
        assert_eq!(worker.grant().await.lease.expect("a lease").job_id, other.id, "others go on");
    }

    async fn dead_letters_come_in_pages(url: DatabaseUrl) {
        let (scheduler, olga) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(anna.submit(prompt("a ball")).await.expect("accepted").id);
            let lease = worker.grant().await.lease.expect("a lease");
            worker.say(failure(&lease, "REQUEST_INVALID", false)).await;
            assert_eq!(worker.receipt().await, (lease, true));
        }
        let id_of = |letter: &pb::DeadLetter| letter.video.as_ref().expect("a video").id.clone();
        let first = olga.dead_letters(2, "").await.expect("lists");
        let second = olga.dead_letters(2, &first.next_page_token).await.expect("lists");
        let mut seen: Vec<String> = first.dead_letters.iter().chain(&second.dead_letters).map(id_of).collect();
        seen.reverse();
        assert_eq!((seen, second.next_page_token.as_str()), (ids, ""));
        let own = anna.list(1, "").await.expect("lists").next_page_token;
        assert_eq!(reason(&olga.dead_letters(1, &own).await.expect_err("of jobs")), "PAGE_TOKEN_INVALID");
    }

    async fn cordoned_worker_gets_no_new_lease(url: DatabaseUrl) {
        let (scheduler, olga) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut cordoned = scheduler.worker("a").await;
        let row = olga.cordon("a").await.expect("cordons");
        assert!(row.cordoned && row.attached);
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let mut other = scheduler.worker("b").await;
        let lease = other.grant().await.lease.expect("a lease");
        assert_eq!(lease.job_id, job.id);
        let waiting = anna.submit(prompt("a ball")).await.expect("accepted");
        let row = olga.uncordon("a").await.expect("lifts it");
        assert!(!row.cordoned && row.video_ids.is_empty());
        assert_eq!(cordoned.grant().await.lease.expect("a lease").job_id, waiting.id);
        assert_eq!(reason(&olga.cordon("c").await.expect_err("unknown")), "WORKER_NOT_FOUND");
        let request = olga.request(pb::ListWorkersRequest {});
        let workers = olga.client.clone().list_workers(request).await.expect("lists").into_inner().workers;
        let jobs: Vec<_> = workers.iter().map(|worker| (worker.id.as_str(), worker.video_ids.clone())).collect();
        assert_eq!(jobs, [("a", vec![waiting.id]), ("b", vec![job.id])]);
    }

    async fn queues_and_tenants_are_shown_and_set(url: DatabaseUrl) {
        let (scheduler, olga) = start(&url).await;
        let _worker = scheduler.worker("w").await;
        let set = pb::UpdateTenantRequest { id: id_of("acme").to_string(), max_queued: Some(1), ..Default::default() };
        let tenant = olga.update_tenant(set.clone()).await.expect("sets");
        assert_eq!((tenant.weight, tenant.max_queued, tenant.object.as_str()), (100, 1, "tenant"));
        let weight = pb::UpdateTenantRequest { weight: Some(300), max_queued: None, ..set.clone() };
        let tenant = olga.update_tenant(weight).await.expect("sets");
        assert_eq!((tenant.weight, tenant.max_queued), (300, 1), "unset fields stay");
        let none = pb::UpdateTenantRequest { max_queued: None, ..set.clone() };
        assert_eq!(olga.update_tenant(none).await.expect("reads"), tenant);
        assert_eq!(olga.tenant(&tenant.id).await.expect("reads"), tenant);
        let unknown = olga.tenant("nobody").await.expect("reads");
        assert_eq!((unknown.weight, unknown.id.as_str()), (100, "nobody"));
        let refused = olga.tenant("acme:anna").await.expect_err("no tenant");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "TENANT_INVALID"));
        let anna = scheduler.caller("acme:anna").await;
        let batch = pb::CreateVideoRequest { priority: pb::Priority::Batch.into(), ..prompt("a ball") };
        let first = scheduler.caller("other").await.submit(prompt("a ball")).await.expect("accepted");
        scheduler.caller("other").await.wait_for_state(&first.id, VideoStatus::InProgress).await;
        anna.submit(batch.clone()).await.expect("accepted");
        let full = anna.submit(batch).await.expect_err("one may wait");
        assert_eq!(reason(&full), "TENANT_QUEUE_FULL");
        let request = olga.request(pb::ListQueuesRequest {});
        let queues = olga.client.clone().list_queues(request).await.expect("lists").into_inner().queues;
        let [queue] = &queues[..] else { panic!("one: {queues:?}") };
        assert_eq!((queue.model.as_str(), queue.priority(), queue.videos), ("tiny", pb::Priority::Batch, 1));
        assert!(queue.gpu_seconds > 0.0 && queue.oldest_age_seconds >= 0.0);
        for (weight, tenant) in [(0, "acme"), (1001, "acme"), (1, ""), (1, "acme:anna"), (1, "a b")] {
            let invalid = pb::UpdateTenantRequest { id: tenant.to_owned(), weight: Some(weight), ..Default::default() };
            assert_eq!(olga.update_tenant(invalid).await.expect_err("invalid").code(), Code::InvalidArgument);
        }
    }
}
