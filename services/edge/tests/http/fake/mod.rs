//! A scheduler that keeps its jobs in memory and does what tests tell it.

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
use kinora_proto::scheduler::v1::scheduler_service_server::SchedulerServiceServer;
use kinora_proto::scheduler::v1::webhook_service_server::WebhookServiceServer;
use kinora_proto::scheduler::v1::{
    Event, GroupKind, Job, JobState, Outputs, Progress, SetTenantResponse, SubmitRequest,
    VideoSpec, Worker,
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::{Request, Status};

pub use accounts::FakeAccounts;

/// No call is longer, as the real one has it.
const MAX_CALL_BYTES: usize = 33 << 20;

/// A job, its events, and the body it was submitted with.
struct Entry {
    job: Job,
    events: Vec<Event>,
    request: SubmitRequest,
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
    kind: GroupKind,
    jobs: Vec<String>,
}

struct Inner {
    jobs: Mutex<BTreeMap<String, Entry>>,
    groups: Mutex<BTreeMap<String, Known>>,
    endpoints: Mutex<BTreeMap<String, webhooks::Registered>>,
    workers: Mutex<BTreeMap<String, Worker>>,
    tenants: Mutex<BTreeMap<String, SetTenantResponse>>,
    trouble: Mutex<Trouble>,
    tokens: Authenticator,
    /// Changes whenever any job does.
    changed: watch::Sender<u64>,
    /// How many event streams are open.
    watchers: watch::Sender<usize>,
}

/// A handle on the fake; clones share their state.
#[derive(Clone)]
pub struct FakeScheduler(Arc<Inner>);

impl FakeScheduler {
    /// Takes tokens of `issuer`.
    pub fn new(issuer: &TestIssuer) -> Self {
        Self(Arc::new(Inner {
            jobs: Mutex::default(),
            groups: Mutex::default(),
            endpoints: Mutex::default(),
            workers: Mutex::default(),
            tenants: Mutex::default(),
            trouble: Mutex::new(Trouble::None),
            tokens: issuer.authenticator("scheduler"),
            changed: watch::channel(0).0,
            watchers: watch::channel(0).0,
        }))
    }

    pub fn routes(&self) -> Routes {
        let callers = SchedulerServiceServer::new(self.clone());
        Routes::new(callers.max_decoding_message_size(MAX_CALL_BYTES))
            .add_service(WebhookServiceServer::new(self.clone()))
            .add_service(AdminServiceServer::new(self.clone()))
    }

    pub fn be(&self, trouble: Trouble) {
        *self.0.trouble.lock() = trouble;
    }

    pub fn watchers(&self) -> usize {
        *self.0.watchers.borrow()
    }

    pub fn owner(&self, id: &str) -> String {
        self.0.jobs.lock()[id].job.owner.clone()
    }

    pub fn request(&self, id: &str) -> SubmitRequest {
        self.0.jobs.lock()[id].request.clone()
    }

    /// Changes a job, and appends the event of that change.
    pub fn advance(&self, id: &str, change: impl FnOnce(&mut Job)) {
        let mut jobs = self.0.jobs.lock();
        let entry = jobs.get_mut(id).unwrap();
        change(&mut entry.job);
        entry.job.seq += 1;
        let event = event_of(&entry.job);
        entry.events.push(event);
        drop(jobs);
        self.0.changed.send_modify(|version| *version += 1);
    }

    pub fn run(&self, id: &str, step: u32) {
        self.advance(id, |job| {
            job.set_state(JobState::Running);
            job.attempt = 1;
            job.progress = Some(Progress {
                stage: 4,
                step,
                steps: 8,
                ..Default::default()
            });
        });
    }

    pub fn complete(&self, id: &str) {
        self.advance(id, |job| {
            job.set_state(JobState::Completed);
            job.outputs = Some(Outputs {
                video_key: format!("jobs/{}/1/video.mp4", job.id),
                thumbnail_key: format!("jobs/{}/1/thumbnail.webp", job.id),
                manifest_key: format!("jobs/{}/1/manifest.json", job.id),
                video_bytes: 1234,
                video_sha256: "ab".repeat(32),
                ..Default::default()
            });
        });
    }

    /// Finishes the preview of a job.
    pub fn show_preview(&self, id: &str) {
        self.advance(id, |job| {
            job.set_state(JobState::AwaitingApproval);
            job.preview_outputs = Some(Outputs {
                video_key: format!("jobs/{}/1/video.mp4", job.id),
                thumbnail_key: format!("jobs/{}/1/thumbnail.webp", job.id),
                ..Default::default()
            });
        });
    }

    /// Completes a job of a single frame.
    pub fn complete_with_still(&self, id: &str) {
        self.complete(id);
        self.advance(id, |job| {
            if let Some(outputs) = &mut job.outputs {
                outputs.still_key = format!("jobs/{}/1/still.png", job.id);
            }
        });
    }

    async fn enter<T>(&self, request: &Request<T>) -> Result<String, Status> {
        let caller = self.caller(request).await?;
        Ok(caller.principal().as_str().to_owned())
    }

    async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let trouble = *self.0.trouble.lock();
        match trouble {
            Trouble::None | Trouble::DropsWatchers => {}
            Trouble::IsFull(delay) => return Err(full(delay)),
            Trouble::Hangs => std::future::pending().await,
            Trouble::Leaks => return Err(Status::internal("SELECT secret FROM jobs")),
        }
        let token = request.metadata().get("authorization");
        let token = token.and_then(|value| value.to_str().ok());
        let token = token.and_then(|text| text.strip_prefix("Bearer "));
        Ok(self
            .0
            .tokens
            .authenticate(token.unwrap_or_default())
            .await?)
    }

    fn with_job<T>(
        &self,
        owner: &str,
        id: &str,
        act: impl FnOnce(&mut Entry) -> T,
    ) -> Result<T, Status> {
        let mut jobs = self.0.jobs.lock();
        let entry = jobs.get_mut(id).filter(|entry| entry.job.owner == owner);
        entry.map(act).ok_or_else(|| not_found().into())
    }
}

fn not_found() -> PublicError {
    PublicError::new(Kind::NotFound, "JOB_NOT_FOUND", "there is no such job")
}

fn full(delay: Duration) -> Status {
    PublicError::new(Kind::ResourceExhausted, "QUEUE_FULL", "the queue is full")
        .with_retry_after(delay)
        .into()
}

/// Whether nothing changes any more.
fn is_over(job: &Job) -> bool {
    matches!(
        job.state(),
        JobState::Completed | JobState::Failed | JobState::Cancelled | JobState::Expired
    )
}

/// What a request becomes; settings are kept as far as tests look at them.
fn job_of(owner: &str, request: &SubmitRequest) -> Job {
    let spec = VideoSpec {
        model: request.model.clone(),
        prompt: request.prompt.clone(),
        seed: request.seed.unwrap_or(7),
        width: request.width.unwrap_or(64),
        ..Default::default()
    };
    let mut job = Job {
        id: JobId::generate().to_string(),
        owner: owner.to_owned(),
        seq: 1,
        priority: request.priority,
        not_before: request.not_before,
        preview_spec: request.preview_first.then(|| spec.clone()),
        spec: Some(spec),
        source_id: request.remix_of.clone(),
        ..Default::default()
    };
    job.set_state(JobState::Queued);
    job
}

fn event_of(job: &Job) -> Event {
    Event {
        job_id: job.id.clone(),
        seq: job.seq,
        time: None,
        state: job.state,
        attempt: job.attempt,
        progress: job.progress,
        failure: job.failure.clone(),
        outputs: job.outputs.clone(),
        preview_webp: Vec::new(),
        preview_outputs: job.preview_outputs.clone(),
        group_id: job.group_id.clone(),
    }
}
