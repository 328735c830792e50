//! The scheduler, as the edge calls it: on behalf of a caller, within a deadline, as part of the trace.

mod admin;
mod groups;
mod webhooks;

use std::time::Duration;

use kinora_mesh::channel::RetryChannel;
use kinora_proto::scheduler::v1::admin_service_client::AdminServiceClient;
use kinora_proto::scheduler::v1::scheduler_service_client::SchedulerServiceClient;
use kinora_proto::scheduler::v1::webhook_service_client::WebhookServiceClient;
use kinora_proto::scheduler::v1::{
    ApproveRequest, CancelRequest, DeleteRequest, EstimateRequest, EstimateResponse, GetRequest,
    Job, ListModelsRequest, ListRequest, ListResponse, Model, SubmitRequest, WatchRequest,
    WatchResponse,
};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::auth::Bearer;
use crate::problem::Problem;
use crate::safe;

/// No answer is longer: a page or a group of a hundred jobs with the longest prompts.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// A cheap handle on the scheduler.
#[derive(Clone, Debug)]
pub struct Scheduler {
    client: SchedulerServiceClient<RetryChannel>,
    watcher: SchedulerServiceClient<RetryChannel>,
    webhooks: WebhookServiceClient<RetryChannel>,
    admin: AdminServiceClient<RetryChannel>,
    health: HealthClient<Channel>,
    timeout: Duration,
}

impl Scheduler {
    /// Calls over `calls`, each within `timeout`, and watches over `streams`.
    #[must_use]
    pub fn new(calls: Channel, streams: Channel, timeout: Duration) -> Self {
        let health = HealthClient::new(calls.clone());
        let calls = RetryChannel::new(calls, safe::SCHEDULER);
        let streams = RetryChannel::new(streams, safe::SCHEDULER);
        let client = SchedulerServiceClient::new(calls.clone());
        let admin = AdminServiceClient::new(calls.clone());
        Self {
            client: client.max_decoding_message_size(MAX_ANSWER_BYTES),
            admin: admin.max_decoding_message_size(MAX_ANSWER_BYTES),
            webhooks: WebhookServiceClient::new(calls),
            watcher: SchedulerServiceClient::new(streams),
            health,
            timeout,
        }
    }

    /// Whether the scheduler answers and says that it serves.
    pub(crate) async fn is_serving(&self) -> bool {
        let answer = self
            .health
            .clone()
            .check(HealthCheckRequest::default())
            .await;
        answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving)
    }

    /// Accepts a job.
    pub(crate) async fn submit(
        &self,
        caller: &Bearer,
        message: SubmitRequest,
    ) -> Result<Job, Problem> {
        let request = self.request(caller, message);
        let response = self.within(self.client.clone().submit(request)).await?;
        job(response.job)
    }

    /// Tells what a job would take.
    pub(crate) async fn estimate(
        &self,
        caller: &Bearer,
        submission: SubmitRequest,
    ) -> Result<EstimateResponse, Problem> {
        let submission = Some(submission);
        let request = self.request(caller, EstimateRequest { submission });
        self.within(self.client.clone().estimate(request)).await
    }

    /// Lets the clip be made whose preview awaits approval.
    pub(crate) async fn approve(&self, caller: &Bearer, id: String) -> Result<Job, Problem> {
        let request = self.request(caller, ApproveRequest { id });
        job(self.within(self.client.clone().approve(request)).await?.job)
    }

    /// Reads a job.
    pub(crate) async fn get(&self, caller: &Bearer, id: String) -> Result<Job, Problem> {
        let request = self.request(caller, GetRequest { id });
        job(self.within(self.client.clone().get(request)).await?.job)
    }

    /// Lists jobs, newest first.
    pub(crate) async fn list(
        &self,
        caller: &Bearer,
        message: ListRequest,
    ) -> Result<ListResponse, Problem> {
        let request = self.request(caller, message);
        self.within(self.client.clone().list(request)).await
    }

    /// Ends a job.
    pub(crate) async fn cancel(&self, caller: &Bearer, id: String) -> Result<Job, Problem> {
        let request = self.request(caller, CancelRequest { id });
        job(self.within(self.client.clone().cancel(request)).await?.job)
    }

    /// Forgets a job.
    pub(crate) async fn delete(&self, caller: &Bearer, id: String) -> Result<(), Problem> {
        let request = self.request(caller, DeleteRequest { id });
        self.within(self.client.clone().delete(request)).await?;
        Ok(())
    }

    /// Lists the models that workers have offered.
    pub(crate) async fn models(&self, caller: &Bearer) -> Result<Vec<Model>, Problem> {
        let request = self.request(caller, ListModelsRequest {});
        Ok(self
            .within(self.client.clone().list_models(request))
            .await?
            .models)
    }

    /// Follows a job. Only the beginning of the stream is under the deadline.
    pub(crate) async fn watch(
        &self,
        caller: &Bearer,
        message: WatchRequest,
    ) -> Result<Streaming<WatchResponse>, Problem> {
        let request = carried(caller, message);
        self.within(self.watcher.clone().watch(request)).await
    }

    fn request<T>(&self, caller: &Bearer, message: T) -> Request<T> {
        let mut request = carried(caller, message);
        request.set_timeout(self.timeout);
        request
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Problem> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) if is_timeout(&status) => Err(Problem::deadline_exceeded()),
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(Problem::deadline_exceeded()),
        }
    }
}

/// A request on behalf of a caller, as part of the trace.
fn carried<T>(caller: &Bearer, message: T) -> Request<T> {
    let mut request = Request::new(message);
    caller.attach(request.metadata_mut());
    kinora_mesh::trace::inject(request.metadata_mut());
    request
}

/// Our own deadline as tonic reports it: the server's clock or the channel's ran out.
fn is_timeout(status: &Status) -> bool {
    matches!(status.code(), tonic::Code::DeadlineExceeded)
        || (status.code() == tonic::Code::Cancelled && status.message() == "Timeout expired")
}

fn job(job: Option<Job>) -> Result<Job, Problem> {
    present(job, "job")
}

/// What an answer is about, which the contract promises.
fn present<T>(value: Option<T>, what: &str) -> Result<T, Problem> {
    value.ok_or_else(|| Status::internal(format!("an answer without its {what}")).into())
}
