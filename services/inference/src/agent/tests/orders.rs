//! What the worker says of itself, and what schedulers order.

use kinora_mesh::error::Kind;

use super::bench::*;
use super::*;

#[tokio::test]
async fn a_worker_says_what_it_is_and_what_its_device_holds() {
    let mut bench = start(Gate::open(), LONG).await;
    let mut stream = bench.attached().await;
    let hello = &stream.hello;
    assert_eq!((hello.protocol, hello.slots), (2, 1));
    assert_eq!(
        (hello.instance.as_str(), hello.pool.as_str()),
        ("i", "desk")
    );
    let expected = pb::DeviceState {
        memory_total_bytes: 1 << 34,
        memory_free_bytes: 1 << 33,
        resident_models: vec!["fake".to_owned()],
    };
    assert_eq!(hello.device_state.as_ref(), Some(&expected));
    let need = hello.models.iter().find(|it| it.id == "fake").unwrap();
    let need = need.memory.unwrap();
    assert_eq!((need.base_bytes, need.bytes_per_pixel), (1 << 20, 2.5));
    loop {
        let message = stream.up.message().await.unwrap().unwrap().message;
        if let Some(pb::attach_request::Message::Heartbeat(heartbeat)) = message {
            assert_eq!(heartbeat.device_state, Some(expected));
            break;
        }
    }
}

#[tokio::test]
async fn a_lease_that_is_wanted_back_comes_with_its_checkpoint_and_the_next_one_is_served() {
    let mut bench = start(Gate::default(), LONG).await;
    let mut stream = bench.attached().await;
    let (lease, next) = (lease(4), lease(1));
    stream.grant(lease, "endless", 50).await;
    bench.gate.allow(2);
    while stream.checkpoint().await.step < 2 {}
    // One that is not held is no news.
    for lease in [next, lease] {
        let lease = Some(lease_to_pb(lease));
        let message = pb::attach_response::Message::Preemption(pb::Preemption { lease });
        stream.send(message).await;
    }
    assert_eq!(stream.checkpoint().await.step, 2);
    let pb::attach_request::Message::Failure(report) = stream.report().await else {
        panic!("the attempt has not failed");
    };
    let failure = report.failure.unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.retryable),
        ("PREEMPTED", true)
    );
    let device_time: Duration = report.device_time.unwrap().try_into().unwrap();
    assert!(!device_time.is_zero(), "steps take time");
    stream.receipt(lease, true).await;
    bench.gate.allow(1);
    stream.grant(next, "fine", 1).await;
    stream.completion().await;
}

#[tokio::test]
async fn a_worker_that_is_told_to_drain_hands_back_and_ends() {
    let mut bench = start(Gate::default(), Duration::ZERO).await;
    let mut stream = bench.attached().await;
    let lease = lease(1);
    stream.grant(lease, "endless", 50).await;
    bench.gate.allow(1);
    stream.progress().await;
    let order = pb::attach_response::Message::Drain(pb::DrainOrder {});
    stream.send(order).await;
    assert_eq!(stream.failure().await.reason, "WORKER_DRAINED");
    stream.receipt(lease, true).await;
    bench.agent.await.unwrap().unwrap();
    assert!(
        !bench.shutdown.is_cancelled(),
        "what runs beside it goes on"
    );
}

#[tokio::test]
async fn a_worker_is_ready_from_its_first_welcome_to_its_drain() {
    let mut bench = start(Gate::open(), Duration::ZERO).await;
    let stream = knocking(&mut bench.streams).await;
    assert!(!bench.lifecycle.is_ready(), "nobody has welcomed it");
    let welcome = pb::attach_response::Message::Welcome(pb::Welcome::default());
    stream.send(welcome).await;
    kinora_testkit::wait::until("a ready worker", LONG, async || {
        if bench.lifecycle.is_ready() {
            Ok(())
        } else {
            Err("it is not")
        }
    })
    .await;
    drop(stream);
    let stream = bench.attached().await;
    assert!(
        bench.lifecycle.is_ready(),
        "it only looks for another scheduler"
    );
    let order = pb::attach_response::Message::Drain(pb::DrainOrder {});
    stream.send(order).await;
    bench.agent.await.unwrap().unwrap();
    assert!(!bench.lifecycle.is_ready());
}

#[tokio::test]
async fn a_worker_goes_on_with_another_scheduler_when_its_own_stops() {
    let (mut bench, mut others) = start_between_two(Gate::default()).await;
    let mut stream = bench.attached().await;
    let lease = lease(7);
    stream.grant(lease, "fine", 2).await;
    bench.gate.allow(1);
    stream.progress().await;
    drop(stream);
    let mut stream = attached(&mut others).await;
    assert_eq!(stream.hello.held, [lease_to_pb(lease)]);
    bench.gate.allow(1);
    stream.completion().await;
}

#[tokio::test]
async fn a_worker_of_another_version_ends_and_says_why() {
    let mut bench = start(Gate::open(), LONG).await;
    let stream = knocking(&mut bench.streams).await;
    stream
        .refuse(Kind::FailedPrecondition, "VERSION_SKEW")
        .await;
    let error = bench.agent.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("the words of the scheduler"));
}

#[tokio::test]
async fn a_worker_whose_name_is_taken_tries_again() {
    let mut bench = start(Gate::open(), LONG).await;
    for _ in 0..2 {
        let stream = knocking(&mut bench.streams).await;
        stream
            .refuse(Kind::AlreadyExists, "WORKER_NAME_TAKEN")
            .await;
    }
    let stream = bench.attached().await;
    stream.grant(lease(1), "fine", 1).await;
}
