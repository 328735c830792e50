//! Two replicas on one PostgreSQL, with polls too far apart to help: what one does, the other hears.

use std::time::Duration;

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_proto::scheduler::v1::attach_response::Message as Down;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use kinora_scheduler::signals::EventsVia;
use kinora_store::DatabaseUrl;
use kinora_testkit::nats::TestNats;
use kinora_testkit::postgres::TestPostgres;
use tokio::time::timeout;
use tonic::Code;

use crate::harness::{
    Caller, FakeWorker, PATIENCE, TestScheduler, beat, hello_of, picture, progress, prompt, reason,
    with_preview,
};

async fn replica(url: &DatabaseUrl, events: Option<&str>) -> TestScheduler {
    let events = events.map(|text| text.parse::<EventsVia>().expect("an engine"));
    TestScheduler::start_with(url, |options| {
        options.poll_interval = Duration::from_secs(3600);
        options.events = events;
    })
    .await
}

async fn database() -> DatabaseUrl {
    let url = TestPostgres::of_this_run().create_database().await;
    url.parse().expect("a URL")
}

/// Returns once work that `caller` brings reaches `worker` at the other replica.
async fn hears(caller: &Caller, worker: &mut FakeWorker) {
    loop {
        let job = caller.submit(prompt("a ball")).await.expect("accepted");
        if drain(worker).await.contains(&job.id) {
            return;
        }
        caller.cancel(&job.id).await.expect("cancels");
        drain(worker).await;
        // What was revoked is gone; and a worker that says nothing for long gets nothing.
        worker.say(beat(&[])).await;
    }
}

/// Completes what the worker is given until nothing more comes for a moment. The jobs of which it was accepted.
async fn drain(worker: &mut FakeWorker) -> Vec<String> {
    let mut completed = Vec::new();
    while let Ok(message) = timeout(Duration::from_millis(300), worker.next()).await {
        match message {
            Ok(Some(Down::Grant(grant))) => {
                let lease = grant.lease.expect("a lease");
                if worker.complete_or_lose(&lease).await {
                    completed.push(lease.job_id);
                }
            }
            Ok(Some(Down::Revocation(_))) => {}
            other => panic!("expected a grant: {other:?}"),
        }
    }
    completed
}

/// Worker at the first replica, caller at the second.
async fn pair(first: &TestScheduler, second: &TestScheduler) -> (FakeWorker, Caller) {
    let mut there = second.worker("warm").await;
    hears(&first.caller("anna").await, &mut there).await;
    drop(there);
    let attached = FakeWorker::attach(&first.endpoint, hello_of(2, "w", &[])).await;
    let mut worker = attached.expect("attaches").0;
    let anna = second.caller("anna").await;
    hears(&anna, &mut worker).await;
    (worker, anna)
}

async fn next_with(
    watcher: &mut crate::harness::Watcher,
    what: impl Fn(&pb::VideoEvent) -> bool,
) -> pb::VideoEvent {
    loop {
        let event = watcher
            .next()
            .await
            .expect("no error")
            .expect("not the end");
        if what(&event) {
            return event;
        }
    }
}

async fn check(url: &DatabaseUrl, events: Option<&str>) {
    let (first, second) = (replica(url, events).await, replica(url, events).await);
    let (mut worker, anna) = pair(&first, &second).await;

    let job = anna.submit(prompt("a ball")).await.expect("accepted");
    let mut watcher = anna.watch(&job.id, 0).await.expect("watches");
    let lease = worker.grant().await.lease.expect("a lease");
    next_with(&mut watcher, |event| {
        event.status() == VideoStatus::InProgress
    })
    .await;
    worker.say(progress(&lease, 3)).await;
    next_with(&mut watcher, |event| {
        event.work.as_ref().is_some_and(|it| it.step == 3)
    })
    .await;
    let webp = picture(32, 32);
    worker
        .say(with_preview(progress(&lease, 4), webp.clone()))
        .await;
    let shown = next_with(&mut watcher, |event| event.preview_webp.is_some()).await;
    assert_eq!(shown.preview_webp, Some(webp));
    assert!(worker.complete(&lease).await);
    let events = watcher.rest().await;
    let end = events.last().expect("an end");
    assert_eq!(end.status(), VideoStatus::Completed);
    assert_eq!(end.outputs, anna.get(&job.id).await.expect("reads").outputs);

    let job = anna.submit(prompt("a ball")).await.expect("accepted");
    let lease = worker.grant().await.lease.expect("a lease");
    anna.cancel(&job.id).await.expect("cancels");
    // It sends no heartbeat, so that nothing else can tell it.
    assert_eq!(worker.revocation().await, lease);
    let olga = second.operator("olga");
    olga.drain("w").await.expect("drains");
    let order = worker.next().await.expect("no error");
    assert_eq!(order, Some(Down::Drain(pb::DrainOrder {})));
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_hear_each_other_through_postgres() {
    check(&database().await, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_hear_each_other_through_nats() {
    let nats = TestNats::start().await;
    check(&database().await, Some(&nats.url())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_taken_at_one_replica_is_taken_at_the_other() {
    let url = database().await;
    let (first, second) = (replica(&url, None).await, replica(&url, None).await);
    let instance = |name: &str| match hello_of(2, "w", &[]) {
        Up::Hello(hello) => Up::Hello(pb::Hello {
            instance: name.to_owned(),
            ..hello
        }),
        other => other,
    };
    let attached = FakeWorker::attach(&first.endpoint, instance("1")).await;
    let mut worker = attached.expect("attaches").0;
    let anna = first.caller("anna").await;
    let job = anna.submit(prompt("a ball")).await.expect("accepted");
    let lease = worker.grant().await.lease.expect("a lease");
    let refused = FakeWorker::attach(&second.endpoint, instance("2")).await;
    let status = refused.map(|_| ()).expect_err("is refused");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::AlreadyExists, "WORKER_NAME_TAKEN")
    );
    assert!(worker.complete(&lease).await);
    let done = anna.get(&job.id).await.expect("reads");
    assert_eq!((done.status(), done.attempt), (VideoStatus::Completed, 1));
    // Once its stream has ended, the name is free.
    drop(worker);
    kinora_testkit::wait::until("the name is free", PATIENCE, || async {
        let attached = FakeWorker::attach(&second.endpoint, instance("2")).await;
        attached.map(drop).map_err(|status| reason(&status))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watcher_sees_what_happened_while_the_bus_was_away() {
    let mut nats = TestNats::start().await;
    let (url, events) = (database().await, nats.url());
    let (first, second) = (
        replica(&url, Some(&events)).await,
        replica(&url, Some(&events)).await,
    );
    let (mut worker, anna) = pair(&first, &second).await;
    let job = anna.submit(prompt("a ball")).await.expect("accepted");
    let mut watcher = anna.watch(&job.id, 0).await.expect("watches");
    let lease = worker.grant().await.lease.expect("a lease");
    next_with(&mut watcher, |event| {
        event.status() == VideoStatus::InProgress
    })
    .await;
    nats.stop().await;
    assert!(worker.complete(&lease).await);
    nats.start_again().await;
    let events = watcher.rest().await;
    assert_eq!(
        events.last().map(pb::VideoEvent::status),
        Some(VideoStatus::Completed)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upkeep_goes_on_when_the_replica_that_has_it_stops() {
    let url = database().await;
    let quick = |options: &mut kinora_scheduler::SchedulerOptions| {
        options.retention = Duration::from_millis(50);
        options.upkeep_interval = Duration::from_millis(30);
    };
    let first = TestScheduler::start_with(&url, quick).await;
    let second = TestScheduler::start_with(&url, quick).await;
    let anna = second.caller("anna").await;
    let mut worker = second.worker("w").await;
    let mut completed = async || {
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        assert!(worker.complete(&lease).await);
        job.id
    };
    let forgotten = async |id: String| {
        kinora_testkit::wait::until("a purge", PATIENCE, || async {
            match anna.get(&id).await {
                Err(status) if status.code() == Code::NotFound => Ok(()),
                other => Err(other),
            }
        })
        .await;
    };
    forgotten(completed().await).await;
    first.stop().await;
    forgotten(completed().await).await;
}
