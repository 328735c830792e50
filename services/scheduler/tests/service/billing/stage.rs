//! A scheduler with a ledger that tests command, and what workers and callers do there.

use std::time::Duration;

use chrono::Utc;
use kinora_mesh::error::PublicError;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_proto::scheduler::v1::attach_response::Message as Down;
use kinora_scheduler::SchedulerOptions;
use kinora_scheduler::store::JobStore;
use kinora_store::{Database, DatabaseUrl};
use kinora_testkit::wait::until;
use tonic::{Code, Status};

use crate::harness::{
    Caller, FakeLedger, FakeWorker, PATIENCE, TestScheduler, completion, failure, prompt, reason,
};

pub(super) async fn start(url: &DatabaseUrl, credits: u64) -> (TestScheduler, FakeLedger) {
    start_with(url, credits, |_| {}).await
}

pub(super) async fn start_with(
    url: &DatabaseUrl,
    credits: u64,
    change: impl FnOnce(&mut SchedulerOptions),
) -> (TestScheduler, FakeLedger) {
    let ledger = FakeLedger::new(credits);
    let endpoint = ledger.serve().await;
    let scheduler = TestScheduler::start_with(url, |options| {
        options.billing_endpoint = Some(endpoint);
        options.billing_timeout = Duration::from_secs(2);
        options.settle_interval = Duration::from_millis(30);
        options.hold_sweep_interval = Duration::from_millis(50);
        change(options);
    });
    (scheduler.await, ledger)
}

pub(super) fn named(id: &str) -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        request_id: id.to_owned(),
        ..prompt("a ball")
    }
}

pub(super) fn with_preview() -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        preview_first: true,
        ..prompt("a ball")
    }
}

/// What a worker hears next, but for what was cancelled.
pub(super) async fn next(worker: &mut FakeWorker) -> Down {
    loop {
        match worker.next().await.expect("no error").expect("a message") {
            Down::Revocation(_) => {}
            other => return other,
        }
    }
}

pub(super) async fn lease(worker: &mut FakeWorker) -> pb::LeaseRef {
    match next(worker).await {
        Down::Grant(grant) => grant.lease.expect("a lease"),
        other => panic!("expected a grant: {other:?}"),
    }
}

pub(super) async fn report(worker: &mut FakeWorker, what: Up) {
    worker.say(what).await;
    match next(worker).await {
        Down::Receipt(receipt) => assert!(receipt.accepted),
        other => panic!("expected a receipt: {other:?}"),
    }
}

/// Completes the next lease with so many frames.
pub(super) async fn complete_with(worker: &mut FakeWorker, frames: u32) -> String {
    let lease = lease(worker).await;
    let mut done = completion(&lease);
    if let Up::Completion(done) = &mut done {
        done.outputs.as_mut().expect("outputs").frames = frames;
    }
    report(worker, done).await;
    lease.job_id
}

/// Fails the next lease for good.
pub(super) async fn fail(worker: &mut FakeWorker) -> String {
    let lease = lease(worker).await;
    report(worker, failure(&lease, "CLIP_REFUSED", false)).await;
    lease.job_id
}

pub(super) async fn complete(worker: &mut FakeWorker) -> String {
    complete_with(worker, 13).await
}

pub(super) fn told(status: &Status, name: &str) -> Option<String> {
    let metadata = PublicError::from_status(status).metadata;
    let found = metadata.into_iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value)
}

pub(super) fn check_unavailable(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let error = PublicError::from_status(status);
    assert_eq!(error.reason, "BILLING_UNAVAILABLE");
    assert!(error.retry_after.is_some(), "{error:?}");
}

/// Submits until billing is asked again.
pub(super) async fn submit_once_it_is_back(
    caller: &Caller,
    request: &pb::CreateVideoRequest,
) -> pb::Video {
    until("billing", PATIENCE, || async {
        let answer = caller.submit(request.clone()).await;
        answer.map_err(|status| reason(&status))
    })
    .await
}

pub(super) async fn waits_for(
    ledger: &FakeLedger,
    what: &str,
    is_so: impl Fn(&FakeLedger) -> bool,
) {
    until(what, PATIENCE, || async {
        if is_so(ledger) {
            Ok(())
        } else {
            Err(ledger.look(|book| format!("{:?}", book.holds)))
        }
    })
    .await;
}

/// Waits until so many settlements wait and so many are set aside.
pub(super) async fn wait_for_settlements(url: &DatabaseUrl, expected: (u64, u64)) {
    let store = JobStore::new(Database::connect(url).await.expect("opens"));
    until("settlements", PATIENCE, || async {
        let load = store.settlement_load(Utc::now()).await.expect("sums up");
        if (load.waiting, load.set_aside) == expected {
            Ok(())
        } else {
            Err(load)
        }
    })
    .await;
}
