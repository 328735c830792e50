//! A worker under test, and the scheduler's end of its stream.

use std::path::PathBuf;
use std::pin::Pin;

use kinora_blobs::BlobStore;
use kinora_ids::JobId;
use kinora_mesh::error::{Kind, PublicError};
use kinora_mesh::lifecycle::Lifecycle;
use kinora_mesh::serve::Grpc;
use kinora_proto::scheduler::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use kinora_testkit::identity::identity as mesh_identity;
use kinora_testkit::net::loopback_listener;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Streaming};

use super::super::*;
use crate::backend::Folders;
use crate::convert::lease_to_pb;
use crate::fake::{Gate, serve_store, workbench, workbench_of};

type Down = mpsc::Sender<Result<pb::AttachResponse, Status>>;

/// Hands every stream that a worker opens to the test.
pub(super) struct FakeScheduler {
    pub(super) streams: mpsc::UnboundedSender<(Streaming<pb::AttachRequest>, Down)>,
}

#[tonic::async_trait]
impl WorkerService for FakeScheduler {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<pb::AttachResponse, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<pb::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (down, outgoing) = mpsc::channel(16);
        self.streams.send((request.into_inner(), down)).unwrap();
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

/// A worker with a fake model, a real encoder and a real store, and the scheduler's end of its stream.
pub(super) struct Bench {
    pub(super) streams: Streams,
    pub(super) gate: Gate,
    pub(super) blobs: BlobStore,
    pub(super) shutdown: CancellationToken,
    pub(super) lifecycle: Lifecycle,
    pub(super) agent: tokio::task::JoinHandle<Result<(), Error>>,
    pub(super) _folder: tempfile::TempDir,
}

/// One attached stream.
pub(super) struct Attached {
    pub(super) up: Streaming<pb::AttachRequest>,
    pub(super) down: Down,
    pub(super) hello: pb::Hello,
}

pub(super) type Streams = mpsc::UnboundedReceiver<(Streaming<pb::AttachRequest>, Down)>;

pub(super) async fn start(gate: Gate, drain_timeout: Duration) -> Bench {
    let (endpoint, streams) = fake_scheduler().await;
    start_on(gate, drain_timeout, vec![endpoint], streams).await
}

/// A worker that knows two schedulers, and the streams of the second one.
pub(super) async fn start_between_two(gate: Gate) -> (Bench, Streams) {
    let (first, streams) = fake_scheduler().await;
    let (second, others) = fake_scheduler().await;
    let bench = start_on(gate, LONG, vec![first, second], streams).await;
    (bench, others)
}

/// Serves for as long as the test runs.
async fn fake_scheduler() -> (String, Streams) {
    let (sender, streams) = mpsc::unbounded_channel();
    let listener = loopback_listener().await;
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let service = WorkerServiceServer::new(FakeScheduler { streams: sender });
    let forever = CancellationToken::new();
    let routes = Routes::new(service);
    tokio::spawn(async move {
        let identity = mesh_identity("scheduler");
        let lifecycle = Lifecycle::until(&forever);
        kinora_mesh::serve::grpc(listener, &identity, Grpc::of(routes), &lifecycle).await
    });
    (endpoint, streams)
}

async fn start_on(
    gate: Gate,
    drain_timeout: Duration,
    schedulers: Vec<String>,
    streams: Streams,
) -> Bench {
    let (blobs, folder) = blobs().await;
    let bench = workbench(gate.clone(), blobs, folder.path());
    let started = Started {
        gate,
        folder,
        schedulers,
        streams,
    };
    started.run(bench, drain_timeout)
}

/// A worker with the models of folders.
pub(super) async fn start_with_models(folders: &[PathBuf]) -> Bench {
    let (blobs, folder) = blobs().await;
    let options = kinora_models::LoadOptions {
        threads: Some(1),
        ..Default::default()
    };
    let models = Folders::open(folders, options).unwrap();
    let bench = workbench_of(Box::new(models), blobs, folder.path());
    let (endpoint, streams) = fake_scheduler().await;
    let started = Started {
        gate: Gate::open(),
        folder,
        schedulers: vec![endpoint],
        streams,
    };
    started.run(bench, LONG)
}

async fn blobs() -> (BlobStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = serve_store(folder.path().join("objects")).await;
    let blobs = BlobStore::new(&store);
    blobs.ensure_bucket().await.unwrap();
    (blobs, folder)
}

/// What there is before the worker.
struct Started {
    gate: Gate,
    folder: tempfile::TempDir,
    schedulers: Vec<String>,
    streams: Streams,
}

impl Started {
    fn run(self, bench: Workbench, drain_timeout: Duration) -> Bench {
        let shutdown = CancellationToken::new();
        let schedulers = Schedulers::new(&self.schedulers, mesh_identity("worker")).unwrap();
        let blobs = bench.blobs.clone();
        let identity = identity(drain_timeout);
        let lifecycle = Lifecycle::until(&shutdown);
        let agent = Agent::new(identity, Arc::new(bench), schedulers, lifecycle.clone());
        Bench {
            streams: self.streams,
            gate: self.gate,
            blobs,
            shutdown,
            lifecycle,
            agent: tokio::spawn(agent.run()),
            _folder: self.folder,
        }
    }
}

pub(super) fn identity(drain_timeout: Duration) -> Identity {
    Identity {
        worker_id: "w".to_owned(),
        device: "cpu".to_owned(),
        pool: "desk".to_owned(),
        instance: "i".to_owned(),
        slots: 1,
        drain_timeout,
    }
}

impl Bench {
    pub(super) async fn attached(&mut self) -> Attached {
        attached(&mut self.streams).await
    }
}

/// The next stream, welcomed.
pub(super) async fn attached(streams: &mut Streams) -> Attached {
    let attached = knocking(streams).await;
    attached
        .send(pb::attach_response::Message::Welcome(pb::Welcome::default()))
        .await;
    attached
}

/// The next stream, not answered yet.
pub(super) async fn knocking(streams: &mut Streams) -> Attached {
    let (mut up, down) = streams.recv().await.unwrap();
    let first = up.message().await.unwrap().unwrap().message;
    let Some(pb::attach_request::Message::Hello(hello)) = first else {
        panic!("the first message is {first:?}");
    };
    Attached { up, down, hello }
}

impl Attached {
    pub(super) async fn send(&self, message: pb::attach_response::Message) {
        self.down
            .send(Ok(pb::AttachResponse {
                message: Some(message),
            }))
            .await
            .unwrap();
    }

    /// Ends the stream with an error.
    pub(super) async fn refuse(self, kind: Kind, reason: &str) {
        let error = PublicError::new(kind, reason, "the words of the scheduler");
        self.down.send(Err(error.into())).await.unwrap();
    }

    pub(super) async fn grant(&self, lease: LeaseRef, prompt: &str, steps: u32) {
        self.grant_from(lease, prompt, steps, None).await;
    }

    pub(super) async fn grant_from(
        &self,
        lease: LeaseRef,
        prompt: &str,
        steps: u32,
        checkpoint: Option<pb::Checkpoint>,
    ) {
        let spec = spec(prompt, steps);
        let grant = pb::LeaseGrant {
            lease: Some(lease_to_pb(lease)),
            attempt: 1,
            spec: Some(spec),
            checkpoint,
            ..Default::default()
        };
        self.send(pb::attach_response::Message::Grant(grant)).await;
    }

    pub(super) async fn receipt(&self, lease: LeaseRef, accepted: bool) {
        let receipt = pb::Receipt {
            lease: Some(lease_to_pb(lease)),
            accepted,
        };
        self.send(pb::attach_response::Message::Receipt(receipt))
            .await;
    }

    /// The next message that is neither progress, a checkpoint nor a heartbeat.
    pub(super) async fn report(&mut self) -> pb::attach_request::Message {
        use pb::attach_request::Message;
        loop {
            match self.up.message().await.unwrap().unwrap().message.unwrap() {
                Message::Progress(_) | Message::Checkpoint(_) | Message::Heartbeat(_) => {}
                report => return report,
            }
        }
    }

    /// The next preview, and the step that it came with.
    pub(super) async fn preview(&mut self) -> (u32, Vec<u8>) {
        loop {
            let message = self.up.message().await.unwrap().unwrap().message.unwrap();
            if let pb::attach_request::Message::Progress(report) = message
                && !report.preview_webp.is_empty()
            {
                return (report.progress.unwrap().step, report.preview_webp);
            }
        }
    }

    pub(super) async fn completion(&mut self) -> pb::Outputs {
        match self.report().await {
            pb::attach_request::Message::Completion(report) => report.outputs.unwrap(),
            other => panic!("expected a completion: {other:?}"),
        }
    }

    pub(super) async fn failure(&mut self) -> pb::Failure {
        match self.report().await {
            pb::attach_request::Message::Failure(report) => report.failure.unwrap(),
            other => panic!("expected a failure: {other:?}"),
        }
    }

    pub(super) async fn checkpoint(&mut self) -> pb::Checkpoint {
        loop {
            let message = self.up.message().await.unwrap().unwrap().message.unwrap();
            if let pb::attach_request::Message::Checkpoint(report) = message {
                return report.checkpoint.unwrap();
            }
        }
    }

    /// The first denoising progress.
    pub(super) async fn first_step(&mut self) -> u32 {
        loop {
            let progress = self.progress().await;
            if progress.stage() == pb::Stage::Denoising {
                return progress.step;
            }
        }
    }

    pub(super) async fn progress(&mut self) -> pb::Progress {
        loop {
            let message = self.up.message().await.unwrap().unwrap().message.unwrap();
            if let pb::attach_request::Message::Progress(report) = message {
                return report.progress.unwrap();
            }
        }
    }
}

pub(super) fn spec(prompt: &str, steps: u32) -> pb::VideoSpec {
    pb::VideoSpec {
        model: "fake".to_owned(),
        prompt: prompt.to_owned(),
        width: 16,
        height: 16,
        frames: 5,
        fps: 8,
        steps,
        ..Default::default()
    }
}

pub(super) fn lease(number: u64) -> LeaseRef {
    LeaseRef {
        job: JobId::generate(),
        lease: number,
    }
}

pub(super) const LONG: Duration = Duration::from_secs(600);

pub(super) async fn is_empty(blobs: &BlobStore, lease: LeaseRef) {
    let limit = Duration::from_secs(20);
    kinora_testkit::wait::until("the attempt's objects are gone", limit, || async {
        let objects = blobs.list(&lease.object_prefix()).await.unwrap();
        if objects.is_empty() {
            Ok(())
        } else {
            Err(objects.len())
        }
    })
    .await;
}
