//! A running scheduler, its callers, and what stands in for what it calls.

use std::sync::Arc;
use std::time::Duration;

use kinora_access::Claims;
use kinora_access::testing::{ServedTrust, TestIssuer};
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::video_service_client::VideoServiceClient;
use kinora_scheduler::SchedulerOptions;
use kinora_testkit::identity::identity;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

mod ledger;
mod prompts;
mod removals;
mod requests;
mod worker;

pub use ledger::{End, FakeLedger};
pub use prompts::{DOUBTFUL, FORBIDDEN, FakePrompts};
pub use removals::Removals;
pub use requests::Operator;
pub use worker::{
    FakeWorker, beat, checkpoint, checkpoint_key, completion, failure, hello, hello_of,
    image_model, model, progress, shown_outputs, with_preview,
};

/// Longer than anything takes on a busy machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct TestScheduler {
    pub endpoint: String,
    pub removals: Arc<Removals>,
    pub issuer: TestIssuer,
    _trust: ServedTrust,
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
        let issuer = TestIssuer::new();
        let trust = issuer
            .serve(kinora_testkit::identity::identity("accounts"))
            .await;
        options.accounts_endpoint.clone_from(&trust.endpoint);
        change(&mut options);
        let listener = kinora_testkit::net::loopback_listener().await;
        let endpoint = format!("https://{}", listener.local_addr().expect("an address"));
        let removals = Arc::new(Removals::default());
        let shutdown = CancellationToken::new();
        let (objects, identity) = (removals.clone(), identity("scheduler"));
        let serving =
            kinora_scheduler::serve(options, objects, identity, listener, shutdown.clone());
        Self {
            endpoint,
            removals,
            issuer,
            _trust: trust,
            server: tokio::spawn(serving),
            shutdown: shutdown.drop_guard(),
        }
    }

    pub async fn caller(&self, name: &str) -> Caller {
        self.caller_with(&self.issuer.claims(name))
    }

    /// Somebody whose token says just this.
    pub fn caller_with(&self, claims: &Claims) -> Caller {
        Caller::connect(&self.endpoint, self.issuer.sign(claims))
    }

    pub fn operator(&self, name: &str) -> Operator {
        Operator::connect(
            &self.endpoint,
            self.issuer.sign(&self.issuer.operator(name)),
        )
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
    client: VideoServiceClient<Channel>,
    token: String,
}

impl Caller {
    pub fn connect(endpoint: &str, token: String) -> Self {
        let client = VideoServiceClient::new(channel(endpoint, "edge"));
        Self { client, token }
    }

    pub fn request<T>(&self, message: T) -> Request<T> {
        request_with(&self.token, message)
    }

    pub async fn submit(&self, request: pb::CreateVideoRequest) -> Result<pb::Video, Status> {
        let request = self.request(request);
        let answer = self.client.clone().create_video(request).await?;
        Ok(answer.into_inner().video.expect("a video"))
    }

    pub async fn get(&self, id: &str) -> Result<pb::Video, Status> {
        let request = self.request(pb::GetVideoRequest { id: id.to_owned() });
        let answer = self.client.clone().get_video(request).await?;
        Ok(answer.into_inner().video.expect("a video"))
    }

    pub async fn list(
        &self,
        page_size: i32,
        token: &str,
    ) -> Result<pb::ListVideosResponse, Status> {
        let request = pb::ListVideosRequest {
            page_size,
            page_token: token.to_owned(),
            ..pb::ListVideosRequest::default()
        };
        self.list_by(request).await
    }

    pub async fn cancel(&self, id: &str) -> Result<pb::Video, Status> {
        let request = self.request(pb::CancelVideoRequest { id: id.to_owned() });
        let answer = self.client.clone().cancel_video(request).await?;
        Ok(answer.into_inner().video.expect("a video"))
    }

    pub async fn delete(&self, id: &str) -> Result<(), Status> {
        let request = self.request(pb::DeleteVideoRequest { id: id.to_owned() });
        let answer = self.client.clone().delete_video(request).await?;
        let expected = pb::DeleteVideoResponse {
            id: id.to_owned(),
            object: "video.deleted".to_owned(),
            deleted: true,
        };
        assert_eq!(answer.into_inner(), expected);
        Ok(())
    }

    pub async fn watch(&self, id: &str, after_seq: u32) -> Result<Watcher, Status> {
        let id = id.to_owned();
        let request = self.request(pb::WatchVideoRequest { id, after_seq });
        let stream = self.client.clone().watch_video(request).await?;
        Ok(Watcher(stream.into_inner()))
    }

    pub async fn wait_for_state(&self, id: &str, state: pb::video::Status) -> pb::Video {
        kinora_testkit::wait::until("a state", PATIENCE, || async {
            let job = self.get(id).await.map_err(|status| format!("{status:?}"))?;
            if job.status() == state {
                Ok(job)
            } else {
                Err(format!("{:?}", job.status()))
            }
        })
        .await
    }
}

pub struct Watcher(Streaming<pb::WatchVideoResponse>);

impl Watcher {
    pub async fn next(&mut self) -> Result<Option<pb::VideoEvent>, Status> {
        let next = timeout(PATIENCE, self.0.message())
            .await
            .expect("an event in time")?;
        Ok(next.map(|answer| answer.event.expect("an event")))
    }

    /// All events until the stream ends.
    pub async fn rest(mut self) -> Vec<pb::VideoEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await.expect("no error") {
            events.push(event);
        }
        events
    }
}

/// A small picture.
pub fn picture(width: u32, height: u32) -> Vec<u8> {
    let pixels = usize::try_from(width * height).expect("small");
    kinora_media::thumbnail_webp(&[7, 8, 9].repeat(pixels), width, height).expect("encodes")
}

/// A submission that is meant to be one of its own, however often it is made.
pub fn prompt(text: &str) -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        prompt: text.to_owned(),
        allow_duplicate: true,
        ..pb::CreateVideoRequest::default()
    }
}

/// What a worker is told to make, as callers see it.
pub fn settings(spec: &pb::VideoSpec) -> pb::VideoSettings {
    let spec = spec.clone();
    pb::VideoSettings {
        model: spec.model,
        prompt: spec.prompt,
        negative_prompt: spec.negative_prompt,
        width: spec.width,
        height: spec.height,
        frames: spec.frames,
        fps: spec.fps,
        steps: spec.steps,
        guidance: spec.guidance,
        seed: spec.seed,
    }
}

/// What a video is made with.
pub fn settings_of(video: &pb::Video) -> pb::VideoSettings {
    let video = video.clone();
    pb::VideoSettings {
        model: video.model,
        prompt: video.prompt,
        negative_prompt: video.negative_prompt,
        width: video.width,
        height: video.height,
        frames: video.frames,
        fps: video.fps,
        steps: video.steps,
        guidance: video.guidance,
        seed: video.seed,
    }
}

pub fn reason(status: &Status) -> String {
    kinora_mesh::error::PublicError::from_status(status).reason
}

fn request_with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("a header");
    request.metadata_mut().insert("authorization", value);
    request
}

/// As that service calls a scheduler.
pub fn channel(endpoint: &str, service: &str) -> Channel {
    let identity = identity(service);
    kinora_mesh::channel::connect_lazy(endpoint, &identity, "scheduler").expect("an endpoint")
}
