//! A scheduler that keeps its videos in memory and does what tests tell it.

mod accounts;
mod admin;
pub mod billing;
mod groups;
mod service;
mod webhooks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kinora_access::testing::TestIssuer;
use kinora_access::{Authenticator, Caller};
use kinora_ids::JobId;
use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::scheduler::v1::admin_service_server::AdminServiceServer;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use kinora_proto::scheduler::v1::video_service_server::VideoServiceServer;
use kinora_proto::scheduler::v1::webhook_service_server::WebhookServiceServer;
use kinora_proto::scheduler::v1::{
    CreateVideoRequest, Progress, Stage, Tenant, Video, VideoEvent, VideoOutputs, VideoSettings,
    Worker,
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::{Request, Status};

pub use accounts::FakeAccounts;

/// No call is longer, as the real one has it.
const MAX_CALL_BYTES: usize = 33 << 20;

/// A video, its events, and the request that it was made by.
struct Entry {
    owner: String,
    video: Video,
    events: Vec<VideoEvent>,
    request: CreateVideoRequest,
}

impl Entry {
    fn new(owner: &str, video: Video, request: CreateVideoRequest) -> Self {
        Self {
            owner: owner.to_owned(),
            events: vec![event_of(None, &video)],
            video,
            request,
        }
    }
}

/// How calls go wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    None,
    Hangs,
    Leaks,
    /// Every call finds the queue full, for so long.
    IsFull(Duration),
    /// Streams end after their first event, as those of slow readers do.
    DropsWatchers,
}

/// A batch or a sequence.
struct Known {
    owner: String,
    object: &'static str,
    videos: Vec<String>,
}

struct Inner {
    videos: Mutex<BTreeMap<String, Entry>>,
    groups: Mutex<BTreeMap<String, Known>>,
    webhooks: Mutex<BTreeMap<String, webhooks::Registered>>,
    workers: Mutex<BTreeMap<String, Worker>>,
    tenants: Mutex<BTreeMap<String, Tenant>>,
    models: Mutex<Vec<String>>,
    trouble: Mutex<Trouble>,
    tokens: Authenticator,
    /// Changes whenever any video does.
    changed: watch::Sender<u64>,
    /// How many event streams are open.
    watchers: watch::Sender<usize>,
    /// How many calls hang, and the deadline that the newest one came with.
    hanging: watch::Sender<usize>,
    deadline: Mutex<Option<String>>,
}

/// A handle on the fake; clones share their state.
#[derive(Clone)]
pub struct FakeScheduler(Arc<Inner>);

impl FakeScheduler {
    /// Takes tokens of `issuer`.
    pub fn new(issuer: &TestIssuer) -> Self {
        Self(Arc::new(Inner {
            videos: Mutex::default(),
            groups: Mutex::default(),
            webhooks: Mutex::default(),
            workers: Mutex::default(),
            tenants: Mutex::default(),
            models: Mutex::new(vec!["kinora-tiny-t2v".to_owned()]),
            trouble: Mutex::new(Trouble::None),
            tokens: issuer.authenticator("scheduler"),
            changed: watch::channel(0).0,
            watchers: watch::channel(0).0,
            hanging: watch::channel(0).0,
            deadline: Mutex::default(),
        }))
    }

    pub fn routes(&self) -> Routes {
        let videos = VideoServiceServer::new(self.clone());
        Routes::new(videos.max_decoding_message_size(MAX_CALL_BYTES))
            .add_service(WebhookServiceServer::new(self.clone()))
            .add_service(AdminServiceServer::new(self.clone()))
    }

    pub fn be(&self, trouble: Trouble) {
        *self.0.trouble.lock() = trouble;
    }

    /// Offers one more model.
    pub fn offer(&self, model: &str) {
        self.0.models.lock().push(model.to_owned());
    }

    /// How many videos there are.
    pub fn count(&self) -> usize {
        self.0.videos.lock().len()
    }

    pub fn watchers(&self) -> usize {
        *self.0.watchers.borrow()
    }

    pub fn hanging(&self) -> usize {
        *self.0.hanging.borrow()
    }

    /// `grpc-timeout` of the newest call that hung.
    pub fn deadline(&self) -> Option<String> {
        self.0.deadline.lock().clone()
    }

    pub fn owner(&self, id: &str) -> String {
        self.0.videos.lock()[id].owner.clone()
    }

    pub fn request(&self, id: &str) -> CreateVideoRequest {
        self.0.videos.lock()[id].request.clone()
    }

    /// Changes a video, and appends the event of that change.
    pub fn advance(&self, id: &str, change: impl FnOnce(&mut Video)) {
        let mut videos = self.0.videos.lock();
        let entry = videos.get_mut(id).unwrap();
        change(&mut entry.video);
        entry.video.seq += 1;
        let event = event_of(entry.events.last(), &entry.video);
        entry.events.push(event);
        drop(videos);
        self.0.changed.send_modify(|version| *version += 1);
    }

    pub fn run(&self, id: &str, step: u32) {
        self.advance(id, |video| {
            video.set_status(VideoStatus::InProgress);
            video.attempt = 1;
            video.progress = step * 100 / 8;
            video.work = Some(Progress {
                stage: Stage::Denoising.into(),
                step,
                steps: 8,
                ..Default::default()
            });
        });
    }

    pub fn complete(&self, id: &str) {
        self.advance(id, |video| {
            video.set_status(VideoStatus::Completed);
            video.outputs = Some(outputs(&format!("/v1/videos/{}", video.id), "content"));
        });
    }

    /// Finishes the preview of a video.
    pub fn show_preview(&self, id: &str) {
        self.advance(id, |video| {
            video.set_status(VideoStatus::AwaitingApproval);
            let path = format!("/v1/videos/{}/preview", video.id);
            let mut outputs = outputs(&path, "");
            outputs.content_url = path;
            video.preview_outputs = Some(outputs);
        });
    }

    /// Completes a video of a single frame.
    pub fn complete_with_still(&self, id: &str) {
        self.complete(id);
        self.advance(id, |video| {
            if let Some(outputs) = &mut video.outputs {
                outputs.still_url = Some(format!("/v1/videos/{}/still", video.id));
            }
        });
    }

    /// Completes a video with a sprite sheet.
    pub fn complete_with_sheet(&self, id: &str) {
        self.complete(id);
        self.advance(id, |video| {
            if let Some(outputs) = &mut video.outputs {
                outputs.spritesheet_url = Some(format!("/v1/videos/{}/spritesheet", video.id));
            }
        });
    }

    async fn enter<T>(&self, request: &Request<T>) -> Result<String, Status> {
        let caller = self.caller(request).await?;
        Ok(caller.principal().as_str().to_owned())
    }

    async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let trouble = *self.0.trouble.lock();
        let header = |name| {
            let value = request.metadata().get(name);
            value.and_then(|value| value.to_str().ok())
        };
        match trouble {
            Trouble::None | Trouble::DropsWatchers => {}
            Trouble::IsFull(delay) => return Err(full(delay)),
            Trouble::Hangs => {
                *self.0.deadline.lock() = header("grpc-timeout").map(str::to_owned);
                let _hanging = Counted::begin(&self.0.hanging);
                std::future::pending().await
            }
            Trouble::Leaks => return Err(Status::internal("SELECT secret FROM jobs")),
        }
        let token = header("authorization").and_then(|text| text.strip_prefix("Bearer "));
        Ok(self
            .0
            .tokens
            .authenticate(token.unwrap_or_default())
            .await?)
    }

    fn with_video<T>(
        &self,
        owner: &str,
        id: &str,
        act: impl FnOnce(&mut Entry) -> T,
    ) -> Result<T, Status> {
        let mut videos = self.0.videos.lock();
        let entry = videos.get_mut(id).filter(|entry| entry.owner == owner);
        entry.map(act).ok_or_else(|| not_found().into())
    }
}

/// Counts something until it drops.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn begin(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

fn not_found() -> PublicError {
    PublicError::new(Kind::NotFound, "JOB_NOT_FOUND", "there is no such video")
}

fn full(delay: Duration) -> Status {
    PublicError::new(Kind::ResourceExhausted, "QUEUE_FULL", "the queue is full")
        .with_retry_after(delay)
        .into()
}

/// Whether nothing changes any more.
fn is_over(video: &Video) -> bool {
    matches!(
        video.status(),
        VideoStatus::Completed
            | VideoStatus::Failed
            | VideoStatus::Cancelled
            | VideoStatus::Expired
    )
}

/// What a request becomes; settings are kept as far as tests look at them.
/// When every video was accepted.
const ACCEPTED: prost_types::Timestamp = prost_types::Timestamp {
    seconds: 1_800_000_000,
    nanos: 0,
};

fn video_of(request: &CreateVideoRequest) -> Video {
    let source = Some(request.remix_of.clone()).filter(|id| !id.is_empty());
    let mut video = Video {
        id: JobId::generate().to_string(),
        object: "video".to_owned(),
        model: request.model.clone(),
        prompt: request.prompt.clone(),
        seed: request.seed.unwrap_or(7),
        width: request.width.unwrap_or(64),
        seq: 1,
        priority: request.priority,
        not_before: request.not_before,
        preview_settings: request.preview_first.then(VideoSettings::default),
        create_time: Some(ACCEPTED),
        source_id: source,
        ..Default::default()
    };
    video.set_status(VideoStatus::Queued);
    video
}

fn outputs(path: &str, content: &str) -> VideoOutputs {
    VideoOutputs {
        bytes: 1234,
        sha256: "ab".repeat(32),
        content_url: format!("{path}/{content}"),
        thumbnail_url: format!("{path}/thumbnail"),
        manifest_url: format!("{path}/manifest"),
        ..Default::default()
    }
}

fn event_of(before: Option<&VideoEvent>, video: &Video) -> VideoEvent {
    let is_same =
        |before: &VideoEvent| (before.status, before.attempt) == (video.status, video.attempt);
    let name = if before.is_some_and(is_same) {
        "progress"
    } else {
        video.status().as_str_name()
    };
    VideoEvent {
        id: video.id.clone(),
        object: "video.event".to_owned(),
        r#type: name.to_owned(),
        seq: video.seq,
        status: video.status,
        progress: video.progress,
        attempt: video.attempt,
        work: video.work,
        error: video.error.clone(),
        outputs: video.outputs.clone(),
        preview_outputs: video.preview_outputs.clone(),
        group_id: video.group_id.clone(),
        ..Default::default()
    }
}
