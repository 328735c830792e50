//! Calls of operators. Who is one is the scheduler's to say.

use kinora_proto::scheduler::v1::{
    CordonWorkerRequest, DrainWorkerRequest, Job, ListDeadLettersRequest, ListDeadLettersResponse,
    ListQueuesRequest, ListWorkersRequest, Queue, RetryDeadLetterRequest, SetTenantRequest,
    SetTenantResponse, Worker,
};

use super::{Scheduler, job, present};
use crate::auth::Bearer;
use crate::problem::Problem;

impl Scheduler {
    /// Lists workers by name.
    pub(crate) async fn workers(&self, caller: &Bearer) -> Result<Vec<Worker>, Problem> {
        let request = self.request(caller, ListWorkersRequest {});
        let response = self
            .within(self.admin.clone().list_workers(request))
            .await?;
        Ok(response.workers)
    }

    /// Keeps a worker from new jobs, or lifts that.
    pub(crate) async fn cordon_worker(
        &self,
        caller: &Bearer,
        worker_id: String,
        cordoned: bool,
    ) -> Result<Worker, Problem> {
        let message = CordonWorkerRequest {
            worker_id,
            cordoned,
        };
        let request = self.request(caller, message);
        let response = self
            .within(self.admin.clone().cordon_worker(request))
            .await?;
        present(response.worker, "worker")
    }

    /// Orders a worker to hand back what it runs and end.
    pub(crate) async fn drain_worker(
        &self,
        caller: &Bearer,
        worker_id: String,
    ) -> Result<Worker, Problem> {
        let request = self.request(caller, DrainWorkerRequest { worker_id });
        let response = self
            .within(self.admin.clone().drain_worker(request))
            .await?;
        present(response.worker, "worker")
    }

    /// Tells what waits in each queue.
    pub(crate) async fn queues(&self, caller: &Bearer) -> Result<Vec<Queue>, Problem> {
        let request = self.request(caller, ListQueuesRequest {});
        Ok(self
            .within(self.admin.clone().list_queues(request))
            .await?
            .queues)
    }

    /// Lists dead letters, newest first.
    pub(crate) async fn dead_letters(
        &self,
        caller: &Bearer,
        message: ListDeadLettersRequest,
    ) -> Result<ListDeadLettersResponse, Problem> {
        let request = self.request(caller, message);
        self.within(self.admin.clone().list_dead_letters(request))
            .await
    }

    /// Submits a dead letter's request again.
    pub(crate) async fn retry_dead_letter(
        &self,
        caller: &Bearer,
        job_id: String,
    ) -> Result<Job, Problem> {
        let request = self.request(caller, RetryDeadLetterRequest { job_id });
        job(self
            .within(self.admin.clone().retry_dead_letter(request))
            .await?
            .job)
    }

    /// Sets what is set of a tenant, and tells all of it.
    pub(crate) async fn set_tenant(
        &self,
        caller: &Bearer,
        message: SetTenantRequest,
    ) -> Result<SetTenantResponse, Problem> {
        let request = self.request(caller, message);
        self.within(self.admin.clone().set_tenant(request)).await
    }
}
