//! Calls that are sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use kinora_mesh::channel::{self, RetryChannel};
use kinora_mesh::error::PublicError;
use kinora_proto::accounts::v1::GetTrustRequest;
use kinora_proto::accounts::v1::trust_service_client::TrustServiceClient;
use kinora_testkit::identity::identity;
use kinora_testkit::net::free_port;
use kinora_testkit::wait::until;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::Service;

use crate::service::{GET_TRUST, PATIENCE, Server, call};

/// A channel whose answers and failures are counted.
#[derive(Clone)]
struct Counted {
    channel: Channel,
    ended: Arc<AtomicUsize>,
}

impl Counted {
    fn new(channel: Channel) -> Self {
        Self {
            channel,
            ended: Arc::default(),
        }
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    async fn call(&self, safe: &'static [&'static str]) -> Result<(), Status> {
        let channel = RetryChannel::new(self.clone(), safe);
        let request = GetTrustRequest::default();
        let answer = TrustServiceClient::new(channel).get_trust(request).await;
        answer.map(drop)
    }
}

impl Service<Request<Body>> for Counted {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, tonic::transport::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.channel.call(request);
        let ended = Arc::clone(&self.ended);
        Box::pin(async move {
            let answer = answer.await;
            ended.fetch_add(1, Ordering::SeqCst);
            answer
        })
    }
}

#[tokio::test]
async fn safe_call_that_found_no_place_is_answered_a_moment_later() {
    let server = Server::with_places(1).await;
    let held = tokio::spawn(call(server.channel()));
    server.until_calls(1).await;
    let channel = Counted::new(server.channel());
    let calling = channel.clone();
    let called = tokio::spawn(async move { calling.call(&[GET_TRUST]).await });
    until("a refusal", PATIENCE, async || match channel.ended() {
        0 => Err("no answer yet"),
        _ => Ok(()),
    })
    .await;
    server.open();
    held.await.unwrap().unwrap();
    called.await.unwrap().unwrap();
    assert_eq!((channel.ended(), server.calls()), (2, 2));
}

#[tokio::test]
async fn call_that_may_not_be_repeated_is_sent_once() {
    let server = Server::with_places(1).await;
    let held = tokio::spawn(call(server.channel()));
    server.until_calls(1).await;
    let channel = Counted::new(server.channel());
    let refused = channel.call(&[]).await.unwrap_err();
    assert_eq!(PublicError::from_status(&refused).reason, "OVERLOADED");
    assert_eq!(channel.ended(), 1);
    server.open();
    held.await.unwrap().unwrap();
}

#[tokio::test]
async fn any_call_is_sent_again_where_nobody_listens() {
    let nowhere = format!("https://127.0.0.1:{}", free_port());
    let channel = channel::connect_lazy(&nowhere, &identity("edge"), "scheduler").unwrap();
    let channel = Counted::new(channel);
    let failed = channel.call(&[]).await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable);
    assert_eq!(channel.ended(), 3);
}
