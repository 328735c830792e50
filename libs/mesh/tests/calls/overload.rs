//! Calls beyond what a service takes.

use kinora_mesh::error::{Kind, PublicError};
use kinora_testkit::wait::until;
use tokio::time::timeout;
use tonic::Status;

use crate::service::{PATIENCE, Server, call, health, stream};

#[track_caller]
fn check_overloaded(status: &Status) {
    let error = PublicError::from_status(status);
    assert_eq!(
        (error.kind, error.reason.as_str()),
        (Kind::Unavailable, "OVERLOADED"),
        "{status:?}"
    );
    assert!(error.retry_after.is_some());
}

#[tokio::test]
async fn flood_beyond_the_bound_is_refused_at_once_and_does_not_wait() {
    let server = Server::with_places(2).await;
    // Over connections of their own: the bound is that of the service.
    let held = [server.channel(), server.channel()].map(|channel| tokio::spawn(call(channel)));
    server.until_calls(2).await;
    let channel = server.channel();
    let flood = (0..200).map(|_| call(channel.clone()));
    // No answer is let go meanwhile, so that whoever waits would wait for ever.
    let refused = timeout(PATIENCE, futures::future::join_all(flood)).await;
    for answer in refused.unwrap() {
        check_overloaded(&answer.unwrap_err());
    }
    assert_eq!(server.calls(), 2, "none of them came through");
    server.open();
    for answer in held {
        answer.await.unwrap().unwrap();
    }
    call(channel).await.unwrap();
    assert_eq!(server.calls(), 3);
}

#[tokio::test]
async fn health_is_answered_while_calls_are_refused() {
    let server = Server::with_places(1).await;
    let held = tokio::spawn(call(server.channel()));
    server.until_calls(1).await;
    for _ in 0..20 {
        check_overloaded(&call(server.channel()).await.unwrap_err());
        assert_eq!(health(server.channel()).await, 1, "serving");
    }
    server.open();
    held.await.unwrap().unwrap();
}

#[tokio::test]
async fn open_streams_take_no_place() {
    let server = Server::with_places(1).await;
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(stream(server.channel()).await.unwrap());
    }
    let held = tokio::spawn(call(server.channel()));
    server.until_calls(1).await;
    // Opening one takes a place for a moment.
    check_overloaded(&stream(server.channel()).await.unwrap_err());
    server.open();
    held.await.unwrap().unwrap();
    open.push(stream(server.channel()).await.unwrap());
}

#[tokio::test]
async fn call_that_is_given_up_leaves_its_place_to_another() {
    let server = Server::with_places(1).await;
    let given_up = tokio::spawn(call(server.channel()));
    server.until_calls(1).await;
    check_overloaded(&call(server.channel()).await.unwrap_err());
    given_up.abort();
    let channel = server.channel();
    let next = until("a place", PATIENCE, async || {
        call(channel.clone()).await.inspect_err(check_overloaded)
    });
    // It comes through while no answer is let go.
    let has_come = async {
        server.until_calls(2).await;
        server.open();
    };
    tokio::join!(next, has_come);
}
