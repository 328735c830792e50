//! What callers and operators ask for beyond single jobs.

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::admin_service_client::AdminServiceClient;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::{Caller, PATIENCE, channel, request_with};

impl Caller {
    pub async fn approve(&self, id: &str) -> Result<pb::Job, Status> {
        let request = self.request(pb::ApproveRequest { id: id.to_owned() });
        let answer = self.client.clone().approve(request).await?;
        Ok(answer.into_inner().job.expect("a job"))
    }

    pub async fn estimate(
        &self,
        submission: pb::SubmitRequest,
    ) -> Result<pb::EstimateResponse, Status> {
        let submission = Some(submission);
        let request = self.request(pb::EstimateRequest { submission });
        Ok(self.client.clone().estimate(request).await?.into_inner())
    }

    pub async fn batch(
        &self,
        request_id: &str,
        submissions: Vec<pb::SubmitRequest>,
    ) -> Result<pb::Group, Status> {
        let request_id = request_id.to_owned();
        let request = self.request(pb::SubmitBatchRequest {
            request_id,
            submissions,
        });
        let answer = self.client.clone().submit_batch(request).await?;
        Ok(answer.into_inner().group.expect("a group"))
    }

    pub async fn sequence(&self, order: pb::SubmitSequenceRequest) -> Result<pb::Group, Status> {
        let request = self.request(order);
        let answer = self.client.clone().submit_sequence(request).await?;
        Ok(answer.into_inner().group.expect("a group"))
    }

    pub async fn group(&self, id: &str) -> Result<pb::Group, Status> {
        let request = self.request(pb::GetGroupRequest { id: id.to_owned() });
        let answer = self.client.clone().get_group(request).await?;
        Ok(answer.into_inner().group.expect("a group"))
    }

    pub async fn cancel_group(&self, id: &str) -> Result<pb::Group, Status> {
        let request = self.request(pb::CancelGroupRequest { id: id.to_owned() });
        let answer = self.client.clone().cancel_group(request).await?;
        Ok(answer.into_inner().group.expect("a group"))
    }

    pub async fn watch_group(&self, id: &str) -> Result<GroupWatcher, Status> {
        let request = self.request(pb::WatchGroupRequest { id: id.to_owned() });
        let stream = self.client.clone().watch_group(request).await?;
        Ok(GroupWatcher(stream.into_inner()))
    }

    pub async fn list_states(
        &self,
        states: &[pb::JobState],
        token: &str,
    ) -> Result<pb::ListResponse, Status> {
        let request = self.request(pb::ListRequest {
            page_size: 1,
            page_token: token.to_owned(),
            states: states.iter().map(|state| (*state).into()).collect(),
        });
        Ok(self.client.clone().list(request).await?.into_inner())
    }
}

pub struct GroupWatcher(Streaming<pb::WatchGroupResponse>);

impl GroupWatcher {
    /// All events until the stream ends.
    pub async fn rest(mut self) -> Vec<pb::Event> {
        let mut events = Vec::new();
        while let Some(seen) = timeout(PATIENCE, self.0.message())
            .await
            .expect("an event in time")
            .expect("no error")
        {
            events.push(seen.event.expect("an event"));
        }
        events
    }
}

/// Someone who calls the admin service.
pub struct Operator {
    pub client: AdminServiceClient<Channel>,
    token: String,
}

impl Operator {
    pub fn connect(endpoint: &str, token: String) -> Self {
        let client = AdminServiceClient::new(channel(endpoint, "edge"));
        Self { client, token }
    }

    pub fn request<T>(&self, message: T) -> Request<T> {
        request_with(&self.token, message)
    }

    pub async fn retry(&self, job_id: &str) -> Result<pb::Job, Status> {
        let job_id = job_id.to_owned();
        let request = self.request(pb::RetryDeadLetterRequest { job_id });
        let answer = self.client.clone().retry_dead_letter(request).await?;
        Ok(answer.into_inner().job.expect("a job"))
    }

    pub async fn dead_letters(
        &self,
        page_size: i32,
        token: &str,
    ) -> Result<pb::ListDeadLettersResponse, Status> {
        let page_token = token.to_owned();
        let request = self.request(pb::ListDeadLettersRequest {
            page_size,
            page_token,
        });
        Ok(self
            .client
            .clone()
            .list_dead_letters(request)
            .await?
            .into_inner())
    }

    pub async fn drain(&self, worker: &str) -> Result<(), Status> {
        let worker_id = worker.to_owned();
        let request = self.request(pb::DrainWorkerRequest { worker_id });
        self.client.clone().drain_worker(request).await.map(|_| ())
    }

    pub async fn workers(&self) -> Result<Vec<pb::Worker>, Status> {
        let request = self.request(pb::ListWorkersRequest {});
        let answer = self.client.clone().list_workers(request).await?;
        Ok(answer.into_inner().workers)
    }

    pub async fn cordon(&self, worker: &str, cordoned: bool) -> Result<pb::Worker, Status> {
        let worker_id = worker.to_owned();
        let request = self.request(pb::CordonWorkerRequest {
            worker_id,
            cordoned,
        });
        let answer = self.client.clone().cordon_worker(request).await?;
        Ok(answer.into_inner().worker.expect("a worker"))
    }

    pub async fn set_tenant(
        &self,
        request: pb::SetTenantRequest,
    ) -> Result<pb::SetTenantResponse, Status> {
        let request = self.request(request);
        Ok(self.client.clone().set_tenant(request).await?.into_inner())
    }
}
