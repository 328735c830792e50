//! A scheduler that keeps its jobs in memory and does what tests tell it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, stream};
use kinora_ids::JobId;
use kinora_mesh::error::{Kind, PublicError};
use kinora_mesh::principal::Principal;
use kinora_proto::scheduler::v1::scheduler_service_server::{
    SchedulerService, SchedulerServiceServer,
};
use kinora_proto::scheduler::v1::{
    CancelRequest, CancelResponse, DeleteRequest, DeleteResponse, Event, GetRequest, GetResponse,
    Job, JobState, ListModelsRequest, ListModelsResponse, ListRequest, ListResponse, Model,
    Outputs, Progress, SubmitRequest, SubmitResponse, VideoSpec, WatchRequest, WatchResponse,
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

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
}

struct Inner {
    jobs: Mutex<BTreeMap<String, Entry>>,
    trouble: Mutex<Trouble>,
    /// Changes whenever any job does.
    changed: watch::Sender<u64>,
    /// How many event streams are open.
    watchers: watch::Sender<usize>,
}

/// A handle on the fake; clones share their state.
#[derive(Clone)]
pub struct FakeScheduler(Arc<Inner>);

impl FakeScheduler {
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            jobs: Mutex::default(),
            trouble: Mutex::new(Trouble::None),
            changed: watch::channel(0).0,
            watchers: watch::channel(0).0,
        }))
    }

    pub fn routes(&self) -> Routes {
        Routes::new(SchedulerServiceServer::new(self.clone()))
    }

    pub fn be(&self, trouble: Trouble) {
        *self.0.trouble.lock() = trouble;
    }

    pub fn watchers(&self) -> usize {
        *self.0.watchers.borrow()
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
        let trouble = *self.0.trouble.lock();
        match trouble {
            Trouble::None => {}
            Trouble::Hangs => std::future::pending().await,
            Trouble::Leaks => return Err(Status::internal("SELECT secret FROM jobs")),
        }
        let caller = Principal::from_metadata(request.metadata())?;
        Ok(caller.as_str().to_owned())
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
    }
}

/// Counts an open stream until it drops.
struct Watching(FakeScheduler);

impl Watching {
    fn begin(fake: FakeScheduler) -> Self {
        fake.0.watchers.send_modify(|count| *count += 1);
        Self(fake)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.0.watchers.send_modify(|count| *count -= 1);
    }
}

async fn next_event(watching: &Watching, id: &str, after: u64) -> Result<Option<Event>, Status> {
    let mut changed = watching.0.0.changed.subscribe();
    loop {
        let (event, is_terminal) = {
            let jobs = watching.0.0.jobs.lock();
            let Some(entry) = jobs.get(id) else {
                return Err(not_found().into());
            };
            let event = entry.events.iter().find(|event| event.seq > after).cloned();
            (event, entry.job.end_time.is_some() || entry.job.state >= 3)
        };
        if event.is_some() || is_terminal {
            return Ok(event);
        }
        if changed.changed().await.is_err() {
            return Ok(None);
        }
    }
}

#[tonic::async_trait]
impl SchedulerService for FakeScheduler {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let owner = self.enter(&request).await?;
        let request = request.into_inner();
        if request.frames.is_some_and(|frames| frames % 4 != 1) {
            let error = PublicError::new(Kind::InvalidArgument, "FRAMES_INVALID", "frames are off")
                .with_metadata("nearest", "17")
                .with_violation("frames", "must be 4n+1; the nearest are 13 and 17");
            return Err(error.into());
        }
        let mut jobs = self.0.jobs.lock();
        let is_same = |entry: &&Entry| {
            entry.job.owner == owner
                && !request.request_id.is_empty()
                && entry.request.request_id == request.request_id
        };
        if let Some(known) = jobs.values().find(is_same) {
            if known.request == request {
                return Ok(Response::new(SubmitResponse {
                    job: Some(known.job.clone()),
                }));
            }
            let reason = "REQUEST_ID_REUSED";
            return Err(PublicError::new(Kind::AlreadyExists, reason, "used before").into());
        }
        let mut job = Job {
            id: JobId::generate().to_string(),
            owner,
            spec: Some(VideoSpec {
                prompt: request.prompt.clone(),
                seed: request.seed.unwrap_or(7),
                ..Default::default()
            }),
            seq: 1,
            ..Default::default()
        };
        job.set_state(JobState::Queued);
        let entry = Entry {
            events: vec![event_of(&job)],
            job: job.clone(),
            request,
        };
        jobs.insert(job.id.clone(), entry);
        Ok(Response::new(SubmitResponse { job: Some(job) }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let owner = self.enter(&request).await?;
        let job = self.with_job(&owner, &request.get_ref().id, |entry| entry.job.clone())?;
        Ok(Response::new(GetResponse { job: Some(job) }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let owner = self.enter(&request).await?;
        let ListRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let size = if page_size == 0 {
            20
        } else {
            usize::try_from(page_size).unwrap()
        };
        let begin: usize = page_token.parse().unwrap_or(0);
        let jobs = self.0.jobs.lock();
        let mine: Vec<Job> = jobs
            .values()
            .map(|e| e.job.clone())
            .filter(|j| j.owner == owner)
            .collect();
        let page: Vec<Job> = mine.iter().rev().skip(begin).take(size).cloned().collect();
        let end = begin + page.len();
        let next_page_token = if end < mine.len() {
            end.to_string()
        } else {
            String::new()
        };
        Ok(Response::new(ListResponse {
            jobs: page,
            next_page_token,
        }))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let owner = self.enter(&request).await?;
        let WatchRequest { id, after_seq } = request.into_inner();
        self.with_job(&owner, &id, |_| ())?;
        let begin = (Watching::begin(self.clone()), id, after_seq);
        let stream = stream::try_unfold(begin, |(watching, id, after)| async move {
            let Some(event) = next_event(&watching, &id, after).await? else {
                return Ok(None);
            };
            let seq = event.seq;
            Ok(Some((
                WatchResponse { event: Some(event) },
                (watching, id, seq),
            )))
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn cancel(
        &self,
        request: Request<CancelRequest>,
    ) -> Result<Response<CancelResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = request.into_inner().id;
        if !self.with_job(&owner, &id, |entry| entry.job.state >= 3)? {
            self.advance(&id, |job| job.set_state(JobState::Cancelled));
        }
        let job = self.with_job(&owner, &id, |entry| entry.job.clone())?;
        Ok(Response::new(CancelResponse { job: Some(job) }))
    }

    async fn delete(
        &self,
        request: Request<DeleteRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = request.into_inner().id;
        self.with_job(&owner, &id, |_| ())?;
        self.0.jobs.lock().remove(&id);
        self.0.changed.send_modify(|version| *version += 1);
        Ok(Response::new(DeleteResponse {}))
    }

    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        self.enter(&request).await?;
        let model = Model {
            id: "kinora-tiny-t2v".to_owned(),
            ..Default::default()
        };
        Ok(Response::new(ListModelsResponse {
            models: vec![model],
        }))
    }
}
