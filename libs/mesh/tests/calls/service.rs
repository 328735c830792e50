//! A service whose answers wait until they are let go, and whose streams never say anything.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{Stream, stream};
use kinora_mesh::channel;
use kinora_mesh::lifecycle::Lifecycle;
use kinora_mesh::serve::{self, Grpc, GrpcOptions};
use kinora_proto::accounts::v1 as accounts;
use kinora_proto::accounts::v1::trust_service_client::TrustServiceClient;
use kinora_proto::accounts::v1::trust_service_server::{self, TrustService, TrustServiceServer};
use kinora_proto::scheduler::v1 as scheduler;
use kinora_proto::scheduler::v1::worker_service_client::WorkerServiceClient;
use kinora_proto::scheduler::v1::worker_service_server::{
    self, WorkerService, WorkerServiceServer,
};
use kinora_testkit::identity::identity;
use kinora_testkit::net::loopback_listener;
use kinora_testkit::wait::until;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const GET_TRUST: &str = "/kinora.accounts.v1.TrustService/GetTrust";

/// Its full names.
const SERVICES: &[&str] = &[
    trust_service_server::SERVICE_NAME,
    worker_service_server::SERVICE_NAME,
];

/// The service on a free port.
pub struct Server {
    pub endpoint: String,
    gate: Gate,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Gate {
    /// Calls that have come.
    calls: Arc<AtomicUsize>,
    /// Answers that may be given.
    answers: Arc<Semaphore>,
}

impl Server {
    pub async fn start(options: GrpcOptions) -> Self {
        let stop = CancellationToken::new();
        let lifecycle = Lifecycle::until(&stop);
        Self::start_for(options, lifecycle, stop).await
    }

    /// For so many calls at a time.
    pub async fn with_places(max_calls_under_way: u32) -> Self {
        let options = GrpcOptions {
            max_calls_under_way,
            ..GrpcOptions::default()
        };
        Self::start(options).await
    }

    pub async fn start_for(
        options: GrpcOptions,
        lifecycle: Lifecycle,
        stop: CancellationToken,
    ) -> Self {
        let listener = loopback_listener().await;
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        let gate = Gate {
            calls: Arc::default(),
            answers: Arc::new(Semaphore::new(0)),
        };
        let routes = Routes::new(TrustServiceServer::new(gate.clone()))
            .add_service(WorkerServiceServer::new(gate.clone()));
        let grpc = Grpc {
            routes,
            services: SERVICES,
            vital: &[],
            descriptors: kinora_proto::DESCRIPTORS,
            options,
        };
        tokio::spawn(async move {
            serve::grpc(listener, &identity("scheduler"), grpc, &lifecycle).await
        });
        Self {
            endpoint,
            gate,
            _stop: stop.drop_guard(),
        }
    }

    pub fn channel(&self) -> Channel {
        channel::connect_lazy(&self.endpoint, &identity("edge"), "scheduler").unwrap()
    }

    /// Lets all calls be answered, also those that come.
    pub fn open(&self) {
        self.gate.answers.add_permits(Semaphore::MAX_PERMITS);
    }

    pub fn calls(&self) -> usize {
        self.gate.calls.load(Ordering::SeqCst)
    }

    /// Waits until so many calls have come.
    pub async fn until_calls(&self, expected: usize) {
        until("calls", PATIENCE, async || {
            let calls = self.calls();
            if calls == expected {
                Ok(())
            } else {
                Err(calls)
            }
        })
        .await;
    }
}

/// One call.
pub async fn call(channel: Channel) -> Result<(), Status> {
    let request = accounts::GetTrustRequest::default();
    let answer = TrustServiceClient::new(channel).get_trust(request).await;
    answer.map(drop)
}

/// A stream that stays open for as long as the answer is held.
pub async fn stream(channel: Channel) -> Result<Streaming<scheduler::AttachResponse>, Status> {
    let mut client = WorkerServiceClient::new(channel);
    Ok(client.attach(stream::pending()).await?.into_inner())
}

pub async fn health(channel: Channel) -> i32 {
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let asked = tonic_health::pb::HealthCheckRequest::default();
    health.check(asked).await.unwrap().into_inner().status
}

#[tonic::async_trait]
impl TrustService for Gate {
    async fn get_trust(
        &self,
        _: Request<accounts::GetTrustRequest>,
    ) -> Result<Response<accounts::GetTrustResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.acquire().await.unwrap();
        drop(answer);
        Ok(Response::new(accounts::GetTrustResponse::default()))
    }
}

#[tonic::async_trait]
impl WorkerService for Gate {
    type AttachStream =
        Pin<Box<dyn Stream<Item = Result<scheduler::AttachResponse, Status>> + Send>>;

    async fn attach(
        &self,
        _: Request<Streaming<scheduler::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        Ok(Response::new(Box::pin(stream::pending())))
    }
}
