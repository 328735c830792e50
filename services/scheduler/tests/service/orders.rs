//! What workers are told to do besides their leases: to give one back for a higher class, to take no more, to end.

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_proto::scheduler::v1::attach_response::Message as Down;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use kinora_store::DatabaseUrl;

use crate::harness::{
    FakeWorker, PATIENCE, TestScheduler, beat, checkpoint, checkpoint_key, failure, hello_of,
    progress, prompt,
};

async fn start(url: &DatabaseUrl) -> TestScheduler {
    let change = |options: &mut kinora_scheduler::SchedulerOptions| {
        options.max_attempts = 1;
    };
    TestScheduler::start_with(url, change).await
}

async fn attach(scheduler: &TestScheduler, held: &[pb::LeaseRef]) -> FakeWorker {
    let first = hello_of(2, "w", held);
    let attached = FakeWorker::attach(&scheduler.endpoint, first).await;
    attached.expect("attaches").0
}

fn of_class(priority: pb::Priority) -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        priority: priority.into(),
        ..prompt("a ball")
    }
}

/// The next message that is no grant.
async fn order(worker: &mut FakeWorker) -> Down {
    worker.next().await.expect("no error").expect("not the end")
}

fn asks_back(lease: &pb::LeaseRef) -> Down {
    let lease = Some(lease.clone());
    Down::Preemption(pb::Preemption { lease })
}

kinora_store::on_both_databases! {
    async fn an_interactive_job_takes_the_place_of_a_batch_job_which_goes_on_later(url: DatabaseUrl) {
        let scheduler = start(&url).await;
        let mut worker = attach(&scheduler, &[]).await;
        let anna = scheduler.caller("anna").await;
        let patient = anna.submit(of_class(pb::Priority::Batch)).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        worker.say(progress(&lease, 5)).await;
        let hurried = anna.submit(of_class(pb::Priority::Interactive)).await.expect("accepted");
        assert_eq!(order(&mut worker).await, asks_back(&lease));
        worker.say(checkpoint(&lease, &checkpoint_key(&lease, 5), 5)).await;
        worker.say(failure(&lease, "PREEMPTED", true)).await;
        assert_eq!(worker.receipt().await, (lease, true));
        let urgent = worker.grant().await.lease.expect("a lease");
        assert_eq!(urgent.job_id, hurried.id);
        assert_eq!(anna.get(&patient.id).await.expect("reads").status(), VideoStatus::Queued);
        assert!(worker.complete(&urgent).await);
        // Only one attempt may fail, and none has.
        let again = worker.grant().await;
        assert_eq!((again.attempt, again.checkpoint.expect("a checkpoint").step), (2, 5));
        let lease = again.lease.expect("a lease");
        assert_eq!(lease.job_id, patient.id);
        assert!(worker.complete(&lease).await);
    }

    async fn a_worker_that_moved_with_its_lease_is_asked_for_it(url: DatabaseUrl) {
        let first = start(&url).await;
        let mut worker = attach(&first, &[]).await;
        let second = start(&url).await;
        let anna = second.caller("anna").await;
        anna.submit(of_class(pb::Priority::Batch)).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        first.stop().await;
        let mut worker = attach(&second, std::slice::from_ref(&lease)).await;
        anna.submit(of_class(pb::Priority::Interactive)).await.expect("accepted");
        assert_eq!(order(&mut worker).await, asks_back(&lease));
    }

    async fn an_operator_reaches_workers_of_other_replicas(url: DatabaseUrl) {
        let near = start(&url).await;
        let mut worker = attach(&near, &[]).await;
        let far = start(&url).await;
        let olga = far.operator("olga");
        assert!(olga.cordon("w").await.expect("cordons").cordoned);
        let anna = far.caller("anna").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        assert!(!olga.uncordon("w").await.expect("uncordons").cordoned);
        let lease = worker.grant().await.lease.expect("a lease");
        assert_eq!(lease.job_id, job.id);
        olga.drain("w").await.expect("drains");
        // Where there is no bus between them its heartbeats tell it.
        worker.say(beat(std::slice::from_ref(&lease))).await;
        assert_eq!(order(&mut worker).await, Down::Drain(pb::DrainOrder {}));
        let draining = pb::Heartbeat { held: Vec::new(), draining: true, device_state: None };
        worker.say(Up::Heartbeat(draining)).await;
        worker.say(failure(&lease, "WORKER_DRAINED", true)).await;
        assert_eq!(worker.receipt().await, (lease, true));
        drop(worker);
        kinora_testkit::wait::until("the end of the stream", PATIENCE, || async {
            let workers = olga.workers().await.map_err(|status| format!("{status:?}"))?;
            let seen = workers.iter().map(|it| (it.attached, it.cordoned)).collect::<Vec<_>>();
            if seen == [(false, true)] { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
    }

    async fn a_worker_that_comes_back_is_told_again_to_end(url: DatabaseUrl) {
        let scheduler = start(&url).await;
        let mut worker = attach(&scheduler, &[]).await;
        let olga = scheduler.operator("olga");
        olga.drain("w").await.expect("drains");
        assert_eq!(order(&mut worker).await, Down::Drain(pb::DrainOrder {}));
        drop(worker);
        let mut worker = attach(&scheduler, &[]).await;
        assert_eq!(order(&mut worker).await, Down::Drain(pb::DrainOrder {}));
        worker.say(beat(&[])).await;
    }
}
