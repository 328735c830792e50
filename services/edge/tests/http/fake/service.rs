//! The calls of callers.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, stream};
use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::scheduler::v1::scheduler_service_server::SchedulerService;
use kinora_proto::scheduler::v1::{
    ApproveRequest, ApproveResponse, CancelGroupRequest, CancelGroupResponse, CancelRequest,
    CancelResponse, DeleteRequest, DeleteResponse, EstimateRequest, EstimateResponse, Event,
    GetGroupRequest, GetGroupResponse, GetRequest, GetResponse, GroupKind, Job, JobState,
    ListModelsRequest, ListModelsResponse, ListRequest, ListResponse, Model, SubmitBatchRequest,
    SubmitBatchResponse, SubmitRequest, SubmitResponse, SubmitSequenceRequest,
    SubmitSequenceResponse, WatchGroupRequest, WatchRequest, WatchResponse,
};
use tonic::{Request, Response, Status};

use super::groups::EventsOfGroup;
use super::{Entry, FakeScheduler, Trouble, event_of, is_over, job_of, not_found};

/// Counts an open stream until it drops.
pub(super) struct Watching(pub(super) FakeScheduler);

impl Watching {
    pub(super) fn begin(fake: FakeScheduler) -> Self {
        fake.0.watchers.send_modify(|count| *count += 1);
        Self(fake)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.0.watchers.send_modify(|count| *count -= 1);
    }
}

async fn next_event(fake: &FakeScheduler, id: &str, after: u64) -> Result<Option<Event>, Status> {
    let mut changed = fake.0.changed.subscribe();
    loop {
        let (event, is_terminal) = {
            let jobs = fake.0.jobs.lock();
            let Some(entry) = jobs.get(id) else {
                return Err(not_found().into());
            };
            let event = entry.events.iter().find(|event| event.seq > after).cloned();
            (event, is_over(&entry.job))
        };
        if event.is_some() || is_terminal {
            return Ok(event);
        }
        if changed.changed().await.is_err() {
            return Ok(None);
        }
    }
}

fn check(request: &SubmitRequest) -> Result<(), Status> {
    if request.frames.is_none_or(|frames| frames % 4 == 1) {
        return Ok(());
    }
    let error = PublicError::new(Kind::InvalidArgument, "FRAMES_INVALID", "frames are off")
        .with_metadata("nearest", "17")
        .with_violation("frames", "must be 4n+1; the nearest are 13 and 17");
    Err(error.into())
}

#[tonic::async_trait]
impl SchedulerService for FakeScheduler {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;
    type WatchGroupStream = EventsOfGroup;

    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let owner = self.enter(&request).await?;
        let request = request.into_inner();
        check(&request)?;
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
        let job = job_of(&owner, &request);
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
            states,
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
            .filter(|j| j.owner == owner && (states.is_empty() || states.contains(&j.state)))
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
            let fake = &watching.0;
            if after > 0 && *fake.0.trouble.lock() == Trouble::DropsWatchers {
                let reason = "WATCHER_TOO_SLOW";
                return Err(PublicError::new(Kind::Unavailable, reason, "too slow").into());
            }
            let Some(event) = next_event(fake, &id, after).await? else {
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
        if !self.with_job(&owner, &id, |entry| is_over(&entry.job))? {
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

    async fn approve(
        &self,
        request: Request<ApproveRequest>,
    ) -> Result<Response<ApproveResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = request.into_inner().id;
        let state = self.with_job(&owner, &id, |entry| entry.job.state())?;
        if state != JobState::AwaitingApproval {
            let reason = "NOT_AWAITING_APPROVAL";
            return Err(PublicError::new(Kind::FailedPrecondition, reason, "no preview").into());
        }
        self.advance(&id, |job| job.set_state(JobState::Queued));
        let job = self.with_job(&owner, &id, |entry| entry.job.clone())?;
        Ok(Response::new(ApproveResponse { job: Some(job) }))
    }

    async fn estimate(
        &self,
        request: Request<EstimateRequest>,
    ) -> Result<Response<EstimateResponse>, Status> {
        let owner = self.enter(&request).await?;
        let submission = request.into_inner().submission.unwrap_or_default();
        check(&submission)?;
        Ok(Response::new(EstimateResponse {
            spec: job_of(&owner, &submission).spec,
            gpu_time: prost_types::Duration::try_from(Duration::from_millis(1500)).ok(),
            queue_time: None,
            memory_bytes: 1 << 30,
            credits: 2125,
            fits: true,
            available_credits: Some(2000),
            refusal: "INSUFFICIENT_CREDITS".to_owned(),
        }))
    }

    async fn submit_batch(
        &self,
        request: Request<SubmitBatchRequest>,
    ) -> Result<Response<SubmitBatchResponse>, Status> {
        let owner = self.enter(&request).await?;
        let submissions = request.into_inner().submissions;
        submissions.iter().try_for_each(check)?;
        let group = self.begin_group(&owner, GroupKind::Batch, submissions);
        Ok(Response::new(SubmitBatchResponse { group: Some(group) }))
    }

    async fn submit_sequence(
        &self,
        request: Request<SubmitSequenceRequest>,
    ) -> Result<Response<SubmitSequenceResponse>, Status> {
        let owner = self.enter(&request).await?;
        let group = self.begin_sequence(&owner, request.into_inner())?;
        Ok(Response::new(SubmitSequenceResponse { group: Some(group) }))
    }

    async fn get_group(
        &self,
        request: Request<GetGroupRequest>,
    ) -> Result<Response<GetGroupResponse>, Status> {
        let owner = self.enter(&request).await?;
        let group = Some(self.group(&owner, &request.get_ref().id)?);
        Ok(Response::new(GetGroupResponse { group }))
    }

    async fn watch_group(
        &self,
        request: Request<WatchGroupRequest>,
    ) -> Result<Response<Self::WatchGroupStream>, Status> {
        let owner = self.enter(&request).await?;
        let group = self.group(&owner, &request.get_ref().id)?;
        Ok(Response::new(self.clone().events_of(group)))
    }

    async fn cancel_group(
        &self,
        request: Request<CancelGroupRequest>,
    ) -> Result<Response<CancelGroupResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = request.into_inner().id;
        for job in self.group(&owner, &id)?.jobs {
            if !is_over(&job) {
                self.advance(&job.id, |job| job.set_state(JobState::Cancelled));
            }
        }
        let group = Some(self.group(&owner, &id)?);
        Ok(Response::new(CancelGroupResponse { group }))
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
