//! A running scheduler, its callers and a worker that does what a test says.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use kinora_mesh::principal::Principal;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_proto::scheduler::v1::attach_response::Message as Down;
use kinora_proto::scheduler::v1::scheduler_service_client::SchedulerServiceClient;
use kinora_proto::scheduler::v1::worker_service_client::WorkerServiceClient;
use kinora_scheduler::clients::ObjectError;
use kinora_scheduler::{Objects, SchedulerOptions};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

mod requests;

pub use requests::Operator;

/// Longer than anything takes on a busy machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An object store that remembers what was stored and removed, and fails as often as told.
#[derive(Default)]
pub struct Removals {
    pub prefixes: Mutex<Vec<String>>,
    pub failures_left: Mutex<u32>,
    pub stored: Mutex<Vec<(String, Vec<u8>)>>,
    pub puts_fail: Mutex<bool>,
    /// Each put takes a permit before it ends.
    pub puts_wait: Mutex<Option<Arc<Semaphore>>>,
}

impl Objects for Removals {
    fn remove_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), ObjectError>> {
        let mut failures = self.failures_left.lock();
        let fails = *failures > 0;
        *failures = failures.saturating_sub(1);
        if !fails {
            let mut stored = self.stored.lock();
            stored.retain(|(key, _)| !key.starts_with(prefix));
            self.prefixes.lock().push(prefix.to_owned());
        }
        Box::pin(async move {
            if fails {
                Err("the store is away".into())
            } else {
                Ok(())
            }
        })
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        max: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, ObjectError>> {
        let found = self.object(key);
        Box::pin(async move {
            match found {
                Some(bytes) if bytes.len() as u64 > max => Err("too large".into()),
                found => Ok(found),
            }
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        _: &'a str,
    ) -> BoxFuture<'a, Result<(), ObjectError>> {
        let fails = *self.puts_fail.lock();
        if !fails {
            self.stored.lock().push((key.to_owned(), bytes));
        }
        let wait = self.puts_wait.lock().clone();
        Box::pin(async move {
            if let Some(wait) = wait {
                wait.acquire().await?.forget();
            }
            if fails {
                Err("the store is away".into())
            } else {
                Ok(())
            }
        })
    }
}

impl Removals {
    /// What lies at a key.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        let stored = self.stored.lock();
        let found = stored.iter().find(|(at, _)| at == key);
        found.map(|(_, bytes)| bytes.clone())
    }

    pub async fn wait_for(&self, prefix: &str, times: usize) {
        kinora_testkit::wait::until("a removal", PATIENCE, || async {
            let seen = self.prefixes.lock().clone();
            let count = seen.iter().filter(|seen| *seen == prefix).count();
            if count >= times { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

pub struct TestScheduler {
    pub endpoint: String,
    pub removals: Arc<Removals>,
    server: JoinHandle<Result<(), kinora_scheduler::Error>>,
    shutdown: DropGuard,
}

impl TestScheduler {
    /// Starts with quick loops on a database.
    pub async fn start(url: &kinora_store::DatabaseUrl) -> Self {
        Self::start_with(url, |_| {}).await
    }

    pub async fn start_with(
        url: &kinora_store::DatabaseUrl,
        change: impl FnOnce(&mut SchedulerOptions),
    ) -> Self {
        let mut options = SchedulerOptions::new(url.clone());
        options.reap_interval = Duration::from_millis(50);
        options.poll_interval = Duration::from_millis(100);
        options.sweep_interval = Duration::from_millis(50);
        options.retry_delay = Duration::from_millis(20);
        options.late_sweep_delay = Duration::from_millis(300);
        options.worker_ttl = PATIENCE;
        options.upkeep_interval = Duration::from_millis(50);
        options.max_active = 0;
        change(&mut options);
        let listener = kinora_testkit::net::loopback_listener().await;
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let removals = Arc::new(Removals::default());
        let shutdown = CancellationToken::new();
        let serving =
            kinora_scheduler::serve(options, removals.clone(), listener, shutdown.clone());
        Self {
            endpoint,
            removals,
            server: tokio::spawn(serving),
            shutdown: shutdown.drop_guard(),
        }
    }

    pub async fn caller(&self, name: &str) -> Caller {
        Caller::connect(&self.endpoint, name).await
    }

    pub async fn worker(&self, id: &str) -> FakeWorker {
        FakeWorker::attach(&self.endpoint, hello(id, &[]))
            .await
            .expect("attaches")
            .0
    }

    /// Stops and waits until everything has ended.
    pub async fn stop(self) {
        drop(self.shutdown);
        let stopped = timeout(PATIENCE, self.server).await.expect("stops in time");
        stopped.expect("does not panic").expect("stops cleanly");
    }
}

#[derive(Clone)]
pub struct Caller {
    client: SchedulerServiceClient<Channel>,
    name: Principal,
}

impl Caller {
    pub async fn connect(endpoint: &str, name: &str) -> Self {
        let client = SchedulerServiceClient::new(channel(endpoint));
        let name = Principal::new(name).expect("a principal");
        Self { client, name }
    }

    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        self.name.attach(request.metadata_mut());
        request
    }

    pub async fn submit(&self, request: pb::SubmitRequest) -> Result<pb::Job, Status> {
        let answer = self.client.clone().submit(self.request(request)).await?;
        Ok(answer.into_inner().job.expect("a job"))
    }

    pub async fn get(&self, id: &str) -> Result<pb::Job, Status> {
        let request = self.request(pb::GetRequest { id: id.to_owned() });
        let answer = self.client.clone().get(request).await?;
        Ok(answer.into_inner().job.expect("a job"))
    }

    pub async fn list(&self, page_size: i32, token: &str) -> Result<pb::ListResponse, Status> {
        let page_token = token.to_owned();
        let request = self.request(pb::ListRequest {
            page_size,
            page_token,
            states: Vec::new(),
        });
        Ok(self.client.clone().list(request).await?.into_inner())
    }

    pub async fn cancel(&self, id: &str) -> Result<pb::Job, Status> {
        let request = self.request(pb::CancelRequest { id: id.to_owned() });
        let answer = self.client.clone().cancel(request).await?;
        Ok(answer.into_inner().job.expect("a job"))
    }

    pub async fn delete(&self, id: &str) -> Result<(), Status> {
        let request = self.request(pb::DeleteRequest { id: id.to_owned() });
        self.client.clone().delete(request).await.map(|_| ())
    }

    pub async fn watch(&self, id: &str, after_seq: u64) -> Result<Watcher, Status> {
        let id = id.to_owned();
        let request = self.request(pb::WatchRequest { id, after_seq });
        Ok(Watcher(
            self.client.clone().watch(request).await?.into_inner(),
        ))
    }

    pub async fn wait_for_state(&self, id: &str, state: pb::JobState) -> pb::Job {
        kinora_testkit::wait::until("a state", PATIENCE, || async {
            let job = self.get(id).await.map_err(|status| format!("{status:?}"))?;
            if job.state() == state {
                Ok(job)
            } else {
                Err(format!("{:?}", job.state()))
            }
        })
        .await
    }
}

pub struct Watcher(Streaming<pb::WatchResponse>);

impl Watcher {
    pub async fn next(&mut self) -> Result<Option<pb::Event>, Status> {
        let next = timeout(PATIENCE, self.0.message())
            .await
            .expect("an event in time")?;
        Ok(next.map(|answer| answer.event.expect("an event")))
    }

    /// All events until the stream ends.
    pub async fn rest(mut self) -> Vec<pb::Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await.expect("no error") {
            events.push(event);
        }
        events
    }
}

pub struct FakeWorker {
    up: mpsc::Sender<pb::AttachRequest>,
    down: Streaming<pb::AttachResponse>,
}

impl FakeWorker {
    /// Opens a stream and says `first`; the scheduler's Welcome, or how it refused.
    pub async fn attach(endpoint: &str, first: Up) -> Result<(Self, pb::Welcome), Status> {
        let (up, requests) = mpsc::channel(64);
        let mut client = WorkerServiceClient::new(channel(endpoint));
        up.send(request(first)).await.expect("an open channel");
        let down = client
            .attach(ReceiverStream::new(requests))
            .await?
            .into_inner();
        let mut worker = Self { up, down };
        match worker.next().await? {
            Some(Down::Welcome(welcome)) => Ok((worker, welcome)),
            other => panic!("expected a Welcome: {other:?}"),
        }
    }

    pub async fn next(&mut self) -> Result<Option<Down>, Status> {
        let next = timeout(PATIENCE, self.down.message())
            .await
            .expect("a message in time")?;
        Ok(next.and_then(|answer| answer.message))
    }

    pub async fn say(&self, message: Up) {
        self.up
            .send(request(message))
            .await
            .expect("an open stream");
    }

    pub async fn grant(&mut self) -> pb::LeaseGrant {
        match self.next().await {
            Ok(Some(Down::Grant(grant))) => grant,
            other => panic!("expected a grant: {other:?}"),
        }
    }

    pub async fn revocation(&mut self) -> pb::LeaseRef {
        match self.next().await {
            Ok(Some(Down::Revocation(revocation))) => revocation.lease.expect("a lease"),
            other => panic!("expected a revocation: {other:?}"),
        }
    }

    pub async fn receipt(&mut self) -> (pb::LeaseRef, bool) {
        match self.next().await {
            Ok(Some(Down::Receipt(receipt))) => (receipt.lease.expect("a lease"), receipt.accepted),
            other => panic!("expected a receipt: {other:?}"),
        }
    }

    /// Reports completion, whether or not the lease was revoked meanwhile.
    pub async fn complete_or_lose(&mut self, lease: &pb::LeaseRef) -> bool {
        self.say(completion(lease)).await;
        loop {
            match self.next().await {
                Ok(Some(Down::Receipt(receipt))) => return receipt.accepted,
                Ok(Some(Down::Revocation(_))) => {}
                other => panic!("expected a receipt: {other:?}"),
            }
        }
    }

    pub async fn complete(&mut self, lease: &pb::LeaseRef) -> bool {
        self.say(completion(lease)).await;
        let (receipted, accepted) = self.receipt().await;
        assert_eq!(&receipted, lease);
        accepted
    }

    /// Sends a heartbeat that names `held` every 100 ms, until the stream ends.
    pub fn keep_beating(&self, held: Vec<pb::LeaseRef>) {
        let up = self.up.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            loop {
                ticks.tick().await;
                if up.send(request(beat(&held))).await.is_err() {
                    return;
                }
            }
        });
    }
}

pub fn beat(held: &[pb::LeaseRef]) -> Up {
    Up::Heartbeat(pb::Heartbeat {
        held: held.to_vec(),
        draining: false,
        device_state: None,
    })
}

pub fn progress(lease: &pb::LeaseRef, step: u32) -> Up {
    let progress = pb::Progress {
        stage: pb::Stage::Denoising.into(),
        step,
        steps: 20,
        fraction: f64::from(step) / 20.0,
        ..pb::Progress::default()
    };
    Up::Progress(pb::ProgressReport {
        lease: Some(lease.clone()),
        progress: Some(progress),
        preview_webp: Vec::new(),
    })
}

pub fn with_preview(progress: Up, webp: Vec<u8>) -> Up {
    match progress {
        Up::Progress(report) => Up::Progress(pb::ProgressReport {
            preview_webp: webp,
            ..report
        }),
        other => panic!("no progress: {other:?}"),
    }
}

pub fn checkpoint_key(lease: &pb::LeaseRef, step: u32) -> String {
    format!(
        "jobs/{}/checkpoints/{}-{step}.safetensors",
        lease.job_id, lease.lease
    )
}

pub fn checkpoint(lease: &pb::LeaseRef, key: &str, step: u32) -> Up {
    let checkpoint = pb::Checkpoint {
        key: key.to_owned(),
        step,
        sha256: "0a".repeat(32),
        bytes: 1234,
    };
    Up::Checkpoint(pb::CheckpointReport {
        lease: Some(lease.clone()),
        checkpoint: Some(checkpoint),
    })
}

pub fn outputs(lease: &pb::LeaseRef) -> pb::Outputs {
    let key = |name| format!("jobs/{}/{}/{name}", lease.job_id, lease.lease);
    pb::Outputs {
        video_key: key("video.mp4"),
        thumbnail_key: key("thumbnail.webp"),
        manifest_key: key("manifest.json"),
        video_bytes: 1234,
        width: 64,
        height: 48,
        frames: 13,
        fps: 8,
        duration: Some(prost_types::Duration {
            seconds: 1,
            nanos: 625_000_000,
        }),
        video_sha256: "ab".repeat(32),
        still_key: String::new(),
        ..pb::Outputs::default()
    }
}

pub fn completion(lease: &pb::LeaseRef) -> Up {
    let outputs = Some(outputs(lease));
    Up::Completion(pb::CompletionReport {
        lease: Some(lease.clone()),
        outputs,
        device_time: None,
    })
}

pub fn failure(lease: &pb::LeaseRef, reason: &str, retryable: bool) -> Up {
    let failure = pb::Failure {
        reason: reason.to_owned(),
        message: "it broke".to_owned(),
        retryable,
    };
    Up::Failure(pb::FailureReport {
        lease: Some(lease.clone()),
        failure: Some(failure),
        device_time: None,
    })
}

pub fn hello(id: &str, held: &[pb::LeaseRef]) -> Up {
    Up::Hello(pb::Hello {
        worker_id: id.to_owned(),
        version: "0.1.0".to_owned(),
        device: "cpu".to_owned(),
        models: vec![model("tiny")],
        slots: 1,
        held: held.to_vec(),
        ..pb::Hello::default()
    })
}

/// As [`hello`], of a worker that speaks a version of the contract.
pub fn hello_of(protocol: u32, id: &str, held: &[pb::LeaseRef]) -> Up {
    match hello(id, held) {
        Up::Hello(hello) => Up::Hello(pb::Hello { protocol, ..hello }),
        other => other,
    }
}

pub fn model(id: &str) -> pb::Model {
    pb::Model {
        id: id.to_owned(),
        family: "wan-t2v".to_owned(),
        title: "Tiny".to_owned(),
        licence: "Apache-2.0".to_owned(),
        defaults: Some(pb::ModelDefaults {
            width: 64,
            height: 48,
            frames: 13,
            fps: 8,
            steps: 20,
            guidance: 3.0,
            negative_prompt: String::new(),
        }),
        limits: Some(pb::ModelLimits {
            min_width: 16,
            max_width: 128,
            min_height: 16,
            max_height: 128,
            size_multiple: 16,
            max_frames: 33,
            frame_stride: 4,
            max_steps: 50,
            max_guidance: 10.0,
            max_prompt_chars: 500,
        }),
        vocabulary: ["red", "ball"].map(str::to_owned).to_vec(),
        ..pb::Model::default()
    }
}

/// A model that needs a first frame.
pub fn image_model(id: &str) -> pb::Model {
    pb::Model {
        family: "wan-i2v".to_owned(),
        image_input: pb::ImageInput::Required.into(),
        ..model(id)
    }
}

/// A small picture.
pub fn picture(width: u32, height: u32) -> Vec<u8> {
    let pixels = usize::try_from(width * height).expect("small");
    kinora_media::thumbnail_webp(&[7, 8, 9].repeat(pixels), width, height).expect("encodes")
}

/// A submission that is meant to be one of its own, however often it is made.
pub fn prompt(text: &str) -> pb::SubmitRequest {
    pb::SubmitRequest {
        prompt: text.to_owned(),
        allow_duplicate: true,
        ..pb::SubmitRequest::default()
    }
}

pub fn reason(status: &Status) -> String {
    kinora_mesh::error::PublicError::from_status(status).reason
}

fn request(message: Up) -> pb::AttachRequest {
    pb::AttachRequest {
        message: Some(message),
    }
}

fn channel(endpoint: &str) -> Channel {
    kinora_mesh::channel::connect_lazy(endpoint).expect("an endpoint")
}
