//! Operators' calls of the fake.

use kinora_access::{Refusal, Scope};
use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::scheduler::v1::admin_service_server::AdminService;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use kinora_proto::scheduler::v1::{
    Attempt, CordonWorkerRequest, CordonWorkerResponse, CreateVideoRequest, DeadLetter,
    DrainWorkerRequest, DrainWorkerResponse, GetTenantRequest, GetTenantResponse,
    ListDeadLettersRequest, ListDeadLettersResponse, ListQueuesRequest, ListQueuesResponse,
    ListWorkersRequest, ListWorkersResponse, Priority, Queue, RetryDeadLetterRequest,
    RetryDeadLetterResponse, Tenant, UncordonWorkerRequest, UncordonWorkerResponse,
    UpdateTenantRequest, UpdateTenantResponse, Worker,
};
use tonic::{Request, Response, Status};

use super::{Entry, FakeScheduler, not_found, video_of};

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

    fn change_tenant(&self, id: &str, change: impl FnOnce(&mut Tenant)) -> Tenant {
        let mut tenants = self.0.tenants.lock();
        let tenant = tenants.entry(id.to_owned()).or_insert(Tenant {
            id: id.to_owned(),
            object: "tenant".to_owned(),
            weight: 100,
            ..Default::default()
        });
        change(tenant);
        tenant.clone()
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
        let id = &request.get_ref().worker_id;
        let worker = Some(self.change_worker(id, |worker| worker.cordoned = true)?);
        Ok(Response::new(CordonWorkerResponse { worker }))
    }

    async fn uncordon_worker(
        &self,
        request: Request<UncordonWorkerRequest>,
    ) -> Result<Response<UncordonWorkerResponse>, Status> {
        self.enter_operator(&request).await?;
        let id = &request.get_ref().worker_id;
        let worker = Some(self.change_worker(id, |worker| worker.cordoned = false)?);
        Ok(Response::new(UncordonWorkerResponse { worker }))
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
            videos: 3,
            oldest_age_seconds: 90.0,
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
        let videos = self.0.videos.lock();
        let failed = videos
            .values()
            .filter(|entry| entry.video.status() == VideoStatus::Failed);
        let letter = |entry: &Entry| DeadLetter {
            video: Some(entry.video.clone()),
            attempts: vec![attempt.clone()],
            quarantined: true,
            retried_as: None,
            owner: entry.owner.clone(),
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
        let id = request.into_inner().video_id;
        let mut videos = self.0.videos.lock();
        let failed = videos
            .get(&id)
            .filter(|entry| entry.video.status() == VideoStatus::Failed);
        let owner = failed.ok_or_else(not_found)?.owner.clone();
        let request = CreateVideoRequest::default();
        let mut video = video_of(&request);
        video.source_id = Some(id);
        videos.insert(video.id.clone(), Entry::new(&owner, video.clone(), request));
        Ok(Response::new(RetryDeadLetterResponse {
            video: Some(video),
        }))
    }

    async fn get_tenant(
        &self,
        request: Request<GetTenantRequest>,
    ) -> Result<Response<GetTenantResponse>, Status> {
        self.enter_operator(&request).await?;
        let tenant = Some(self.change_tenant(&request.get_ref().id, |_| ()));
        Ok(Response::new(GetTenantResponse { tenant }))
    }

    async fn update_tenant(
        &self,
        request: Request<UpdateTenantRequest>,
    ) -> Result<Response<UpdateTenantResponse>, Status> {
        self.enter_operator(&request).await?;
        let new = request.into_inner();
        let tenant = self.change_tenant(&new.id, |tenant| {
            tenant.weight = new.weight.unwrap_or(tenant.weight);
            tenant.max_running = new.max_running.unwrap_or(tenant.max_running);
            tenant.max_queued = new.max_queued.unwrap_or(tenant.max_queued);
        });
        let tenant = Some(tenant);
        Ok(Response::new(UpdateTenantResponse { tenant }))
    }
}
