//! Operators' calls of the fake.

use kinora_access::{Refusal, Scope};
use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::scheduler::v1::admin_service_server::AdminService;
use kinora_proto::scheduler::v1::{
    Attempt, CordonWorkerRequest, CordonWorkerResponse, DeadLetter, DrainWorkerRequest,
    DrainWorkerResponse, JobState, ListDeadLettersRequest, ListDeadLettersResponse,
    ListQueuesRequest, ListQueuesResponse, ListWorkersRequest, ListWorkersResponse, Priority,
    Queue, RetryDeadLetterRequest, RetryDeadLetterResponse, SetTenantRequest, SetTenantResponse,
    SubmitRequest, Worker,
};
use tonic::{Request, Response, Status};

use super::{Entry, FakeScheduler, event_of, job_of, not_found};

impl FakeScheduler {
    pub fn attach_worker(&self, id: &str) {
        let worker = Worker {
            id: id.to_owned(),
            attached: true,
            slots: 1,
            ..Default::default()
        };
        self.0.workers.lock().insert(id.to_owned(), worker);
    }

    async fn enter_operator<T>(&self, request: &Request<T>) -> Result<String, Status> {
        let caller = self.caller(request).await?;
        if caller.may(Scope::Admin) {
            return Ok(caller.principal().as_str().to_owned());
        }
        Err(Refusal::Scope(Scope::Admin).into())
    }

    fn change_worker(&self, id: &str, change: impl FnOnce(&mut Worker)) -> Result<Worker, Status> {
        let mut workers = self.0.workers.lock();
        let Some(worker) = workers.get_mut(id) else {
            let reason = "WORKER_NOT_FOUND";
            return Err(PublicError::new(Kind::NotFound, reason, "there is no such worker").into());
        };
        change(worker);
        Ok(worker.clone())
    }
}

#[tonic::async_trait]
impl AdminService for FakeScheduler {
    async fn list_workers(
        &self,
        request: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        self.enter_operator(&request).await?;
        let workers = self.0.workers.lock().values().cloned().collect();
        Ok(Response::new(ListWorkersResponse { workers }))
    }

    async fn cordon_worker(
        &self,
        request: Request<CordonWorkerRequest>,
    ) -> Result<Response<CordonWorkerResponse>, Status> {
        self.enter_operator(&request).await?;
        let CordonWorkerRequest {
            worker_id,
            cordoned,
        } = request.into_inner();
        let worker = Some(self.change_worker(&worker_id, |worker| worker.cordoned = cordoned)?);
        Ok(Response::new(CordonWorkerResponse { worker }))
    }

    async fn drain_worker(
        &self,
        request: Request<DrainWorkerRequest>,
    ) -> Result<Response<DrainWorkerResponse>, Status> {
        self.enter_operator(&request).await?;
        let id = &request.get_ref().worker_id;
        let worker = Some(self.change_worker(id, |worker| worker.draining = true)?);
        Ok(Response::new(DrainWorkerResponse { worker }))
    }

    async fn list_queues(
        &self,
        request: Request<ListQueuesRequest>,
    ) -> Result<Response<ListQueuesResponse>, Status> {
        self.enter_operator(&request).await?;
        let mut queue = Queue {
            model: "kinora-tiny-t2v".to_owned(),
            jobs: 3,
            oldest_age: Some(prost_types::Duration {
                seconds: 90,
                nanos: 0,
            }),
            ..Default::default()
        };
        queue.set_priority(Priority::Batch);
        let queues = vec![queue];
        Ok(Response::new(ListQueuesResponse { queues }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        self.enter_operator(&request).await?;
        let attempt = Attempt {
            attempt: 1,
            outcome: "WORKER_LOST".to_owned(),
            ..Default::default()
        };
        let jobs = self.0.jobs.lock();
        let failed = jobs
            .values()
            .filter(|entry| entry.job.state() == JobState::Failed);
        let letter = |entry: &Entry| DeadLetter {
            job: Some(entry.job.clone()),
            attempts: vec![attempt.clone()],
            quarantined: true,
            retried_as: String::new(),
        };
        Ok(Response::new(ListDeadLettersResponse {
            dead_letters: failed.map(letter).collect(),
            next_page_token: String::new(),
        }))
    }

    async fn retry_dead_letter(
        &self,
        request: Request<RetryDeadLetterRequest>,
    ) -> Result<Response<RetryDeadLetterResponse>, Status> {
        self.enter_operator(&request).await?;
        let id = request.into_inner().job_id;
        let mut jobs = self.0.jobs.lock();
        let failed = jobs
            .get(&id)
            .filter(|entry| entry.job.state() == JobState::Failed);
        let owner = failed.ok_or_else(not_found)?.job.owner.clone();
        let request = SubmitRequest::default();
        let mut job = job_of(&owner, &request);
        job.source_id = id;
        let events = vec![event_of(&job)];
        let entry = Entry {
            job: job.clone(),
            events,
            request,
        };
        jobs.insert(job.id.clone(), entry);
        Ok(Response::new(RetryDeadLetterResponse { job: Some(job) }))
    }

    async fn set_tenant(
        &self,
        request: Request<SetTenantRequest>,
    ) -> Result<Response<SetTenantResponse>, Status> {
        self.enter_operator(&request).await?;
        let set = request.into_inner();
        let mut tenants = self.0.tenants.lock();
        let tenant = tenants
            .entry(set.tenant.clone())
            .or_insert(SetTenantResponse {
                tenant: set.tenant,
                weight: 100,
                max_running: 0,
                max_queued: 0,
            });
        tenant.weight = set.weight.unwrap_or(tenant.weight);
        tenant.max_running = set.max_running.unwrap_or(tenant.max_running);
        tenant.max_queued = set.max_queued.unwrap_or(tenant.max_queued);
        Ok(Response::new(tenant.clone()))
    }
}
