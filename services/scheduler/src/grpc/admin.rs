//! The operators' side of the contract.

use std::sync::Arc;

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::admin_service_server::AdminService;
use tonic::{Request, Response, Status};

use super::convert::{job_id, priority_to_pb, time_to_pb};
use super::view::view_to_pb;
use crate::SchedulerOptions;
use crate::app::{App, DeadLetter};
use crate::domain::job::Time;
use crate::store::{Attempt, QueueView, Tenant, TenantChange, WorkerRow};

/// Answers operators.
pub struct AdminGrpc {
    app: Arc<App>,
}

impl AdminGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl AdminService for AdminGrpc {
    async fn list_workers(
        &self,
        _request: Request<pb::ListWorkersRequest>,
    ) -> Result<Response<pb::ListWorkersResponse>, Status> {
        let workers = self.app.workers().await?;
        let workers = workers.into_iter().map(worker_to_pb).collect();
        Ok(Response::new(pb::ListWorkersResponse { workers }))
    }

    async fn cordon_worker(
        &self,
        request: Request<pb::CordonWorkerRequest>,
    ) -> Result<Response<pb::CordonWorkerResponse>, Status> {
        let worker_id = request.into_inner().worker_id;
        let worker = Some(worker_to_pb(self.app.cordon(&worker_id, true).await?));
        Ok(Response::new(pb::CordonWorkerResponse { worker }))
    }

    async fn uncordon_worker(
        &self,
        request: Request<pb::UncordonWorkerRequest>,
    ) -> Result<Response<pb::UncordonWorkerResponse>, Status> {
        let worker_id = request.into_inner().worker_id;
        let worker = Some(worker_to_pb(self.app.cordon(&worker_id, false).await?));
        Ok(Response::new(pb::UncordonWorkerResponse { worker }))
    }

    async fn drain_worker(
        &self,
        request: Request<pb::DrainWorkerRequest>,
    ) -> Result<Response<pb::DrainWorkerResponse>, Status> {
        let worker_id = request.into_inner().worker_id;
        let worker = self.app.drain_worker(&worker_id).await?;
        let worker = Some(worker_to_pb(worker));
        Ok(Response::new(pb::DrainWorkerResponse { worker }))
    }

    async fn list_queues(
        &self,
        _request: Request<pb::ListQueuesRequest>,
    ) -> Result<Response<pb::ListQueuesResponse>, Status> {
        let now = self.app.now();
        let queues = self.app.queues().await?;
        let queues = queues.into_iter().map(|queue| queue_to_pb(queue, now));
        let queues = queues.collect();
        Ok(Response::new(pb::ListQueuesResponse { queues }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<pb::ListDeadLettersRequest>,
    ) -> Result<Response<pb::ListDeadLettersResponse>, Status> {
        let pb::ListDeadLettersRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let (letters, next_page_token) = self.app.dead_letters(page_size, &page_token).await?;
        let dead_letters = letters.into_iter().map(dead_letter_to_pb).collect();
        Ok(Response::new(pb::ListDeadLettersResponse {
            dead_letters,
            next_page_token,
        }))
    }

    async fn retry_dead_letter(
        &self,
        request: Request<pb::RetryDeadLetterRequest>,
    ) -> Result<Response<pb::RetryDeadLetterResponse>, Status> {
        let id = job_id(&request.into_inner().video_id)?;
        let view = self.app.retry_dead_letter(id).await?;
        let video = Some(view_to_pb(view));
        Ok(Response::new(pb::RetryDeadLetterResponse { video }))
    }

    async fn get_tenant(
        &self,
        request: Request<pb::GetTenantRequest>,
    ) -> Result<Response<pb::GetTenantResponse>, Status> {
        let tenant = self.app.tenant(&request.into_inner().id).await?;
        let tenant = Some(tenant_to_pb(tenant, self.app.options()));
        Ok(Response::new(pb::GetTenantResponse { tenant }))
    }

    async fn update_tenant(
        &self,
        request: Request<pb::UpdateTenantRequest>,
    ) -> Result<Response<pb::UpdateTenantResponse>, Status> {
        let request = request.into_inner();
        let change = TenantChange {
            weight: request.weight,
            max_running: request.max_running,
            max_queued: request.max_queued,
        };
        let tenant = self.app.set_tenant(&request.id, change).await?;
        let tenant = Some(tenant_to_pb(tenant, self.app.options()));
        Ok(Response::new(pb::UpdateTenantResponse { tenant }))
    }
}

/// Limits that were not set are the service's own.
fn tenant_to_pb(tenant: Tenant, options: &SchedulerOptions) -> pb::Tenant {
    let (running, queued) = (tenant.max_running, tenant.max_queued);
    pb::Tenant {
        object: "tenant".to_owned(),
        id: tenant.id,
        weight: tenant.weight,
        max_running: running.unwrap_or(options.max_tenant_running),
        max_queued: queued.unwrap_or(options.max_queued),
    }
}

fn worker_to_pb(worker: WorkerRow) -> pb::Worker {
    let state = worker.device_state;
    pb::Worker {
        object: "worker".to_owned(),
        id: worker.id,
        version: worker.version,
        device: worker.device,
        pool: worker.pool,
        slots: worker.slots,
        models: worker.models,
        resident_models: state.resident_models,
        memory_total_bytes: state.memory_total_bytes,
        memory_free_bytes: state.memory_free_bytes,
        attached: worker.is_attached,
        draining: worker.is_draining,
        cordoned: worker.is_cordoned,
        seen_time: Some(time_to_pb(worker.seen_at)),
        video_ids: worker.jobs.iter().map(ToString::to_string).collect(),
    }
}

fn queue_to_pb(queue: QueueView, now: Time) -> pb::Queue {
    let age = (now - queue.oldest).to_std().unwrap_or_default();
    pb::Queue {
        model: queue.model,
        priority: priority_to_pb(queue.priority).into(),
        videos: u32::try_from(queue.jobs).unwrap_or(u32::MAX),
        oldest_age_seconds: age.as_secs_f64(),
        gpu_seconds: queue.device_time.as_secs_f64(),
    }
}

fn dead_letter_to_pb(letter: DeadLetter) -> pb::DeadLetter {
    pb::DeadLetter {
        quarantined: letter.view.job.is_quarantined,
        owner: letter.view.job.owner.clone(),
        video: Some(view_to_pb(letter.view)),
        attempts: letter.attempts.into_iter().map(attempt_to_pb).collect(),
        retried_as: letter.retried_as.map(|id| id.to_string()),
    }
}

fn attempt_to_pb(attempt: Attempt) -> pb::Attempt {
    pb::Attempt {
        attempt: attempt.attempt,
        lease: attempt.lease,
        worker_id: attempt.worker,
        start_time: Some(time_to_pb(attempt.start_time)),
        end_time: Some(time_to_pb(attempt.end_time)),
        outcome: attempt.outcome,
        message: attempt.message,
        first_step: attempt.first_step,
        last_step: attempt.last_step,
        device_seconds: Some(attempt.device_time.as_secs_f64()),
    }
}
