//! A service whose streams answer every message, and its callers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt};
use kinora_mesh::channel;
use kinora_mesh::identity::Identity;
use kinora_mesh::lifecycle::Lifecycle;
use kinora_mesh::serve::{self, Grpc};
use kinora_mesh::workload::Workload;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::worker_service_client::WorkerServiceClient;
use kinora_proto::scheduler::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use kinora_testkit::net::loopback_listener;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Server {
    pub endpoint: String,
    /// Streams that were opened.
    pub calls: Arc<AtomicUsize>,
    _stop: DropGuard,
}

impl Server {
    pub async fn start(identity: &Identity) -> Self {
        let listener = loopback_listener().await;
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        let calls = Arc::new(AtomicUsize::default());
        let echo = Echo(Arc::clone(&calls));
        let (identity, stop) = (identity.clone(), CancellationToken::new());
        let stopped = stop.clone();
        tokio::spawn(async move {
            let routes = Routes::new(WorkerServiceServer::new(echo));
            serve::grpc(
                listener,
                &identity,
                Grpc::of(routes),
                &Lifecycle::until(&stopped),
            )
            .await
        });
        Self {
            endpoint,
            calls,
            _stop: stop.drop_guard(),
        }
    }

    pub fn address(&self) -> &str {
        self.endpoint.trim_start_matches("https://")
    }

    pub fn channel(&self, identity: &Identity) -> Channel {
        channel::connect_lazy(&self.endpoint, identity, "scheduler").unwrap()
    }

    /// Over a connection of its own.
    pub async fn call(&self, identity: &Identity) -> Result<String, Status> {
        EchoStream::open(self.channel(identity)).await?.ask().await
    }

    /// That a caller cannot connect, and reaches nothing.
    #[track_caller]
    pub fn check_refused(&self, result: Result<String, Status>) -> String {
        let status = result.unwrap_err();
        assert_eq!(self.calls.load(Ordering::SeqCst), 0, "{status:?}");
        kinora_mesh::error::chain(&status)
    }
}

/// Every answer is empty; who called is in the head.
struct Echo(Arc<AtomicUsize>);

#[tonic::async_trait]
impl WorkerService for Echo {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<pb::AttachResponse, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<pb::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let peer = request
            .extensions()
            .get::<Workload>()
            .map(ToString::to_string);
        let answers = request
            .into_inner()
            .map(|asked| asked.map(|_| pb::AttachResponse::default()));
        let mut response = Response::new(Box::pin(answers) as Self::AttachStream);
        let peer = peer.expect("a workload").parse().unwrap();
        response.metadata_mut().insert("x-peer", peer);
        Ok(response)
    }
}

/// An open stream, and the caller as the service sees it.
pub struct EchoStream {
    up: mpsc::Sender<pb::AttachRequest>,
    down: Mutex<Streaming<pb::AttachResponse>>,
    peer: String,
}

impl EchoStream {
    pub async fn open(channel: Channel) -> Result<Self, Status> {
        let (up, outgoing) = mpsc::channel(1);
        let opened = WorkerServiceClient::new(channel)
            .attach(ReceiverStream::new(outgoing))
            .await?;
        let peer = opened.metadata().get("x-peer").unwrap();
        let peer = peer.to_str().unwrap().to_owned();
        Ok(Self {
            up,
            peer,
            down: Mutex::new(opened.into_inner()),
        })
    }

    /// Sends a message and waits for its answer.
    pub async fn ask(&self) -> Result<String, Status> {
        let sent = self.up.send(pb::AttachRequest::default()).await;
        sent.map_err(|_| Status::aborted("the stream has ended"))?;
        let answer =
            tokio::time::timeout(PATIENCE, async { self.down.lock().await.message().await });
        let answer = answer.await;
        let answer = answer.expect("an answer in time")?;
        answer.ok_or_else(|| Status::aborted("the stream has ended"))?;
        Ok(self.peer.clone())
    }
}
