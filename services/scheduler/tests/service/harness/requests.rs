//! What callers and operators ask for beyond single jobs.

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::admin_service_client::AdminServiceClient;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::{Caller, PATIENCE, channel, request_with};

impl Caller {
    pub async fn approve(&self, id: &str) -> Result<pb::Video, Status> {
        let request = self.request(pb::ApproveVideoRequest { id: id.to_owned() });
        let answer = self.client.clone().approve_video(request).await?;
        Ok(answer.into_inner().video.expect("a video"))
    }

    pub async fn estimate(
        &self,
        video: pb::CreateVideoRequest,
    ) -> Result<pb::EstimateVideoResponse, Status> {
        let video = Some(video);
        let request = self.request(pb::EstimateVideoRequest { video });
        let answer = self.client.clone().estimate_video(request).await?;
        Ok(answer.into_inner())
    }

    pub async fn upload_of(&self, order: pb::CreateUploadRequest) -> Result<pb::Upload, Status> {
        let request = self.request(order);
        let answer = self.client.clone().create_upload(request).await?;
        Ok(answer.into_inner().upload.expect("an upload"))
    }

    /// A place for a WebP of that size.
    pub async fn upload(&self, size: usize) -> Result<pb::Upload, Status> {
        let order = pb::CreateUploadRequest {
            content_type: "image/webp".to_owned(),
            size_bytes: u32::try_from(size).expect("small"),
            sha256: String::new(),
        };
        self.upload_of(order).await
    }

    pub async fn batch(
        &self,
        request_id: &str,
        requests: Vec<pb::CreateVideoRequest>,
    ) -> Result<pb::VideoGroup, Status> {
        let request = pb::CreateBatchRequest {
            request_id: request_id.to_owned(),
            requests,
            ..pb::CreateBatchRequest::default()
        };
        self.batch_of(request).await
    }

    pub async fn batch_of(&self, order: pb::CreateBatchRequest) -> Result<pb::VideoGroup, Status> {
        let request = self.request(order);
        let answer = self.client.clone().create_batch(request).await?;
        Ok(answer.into_inner().group.expect("a group"))
    }

    pub async fn sequence(
        &self,
        order: pb::CreateSequenceRequest,
    ) -> Result<pb::VideoGroup, Status> {
        let request = self.request(order);
        let answer = self.client.clone().create_sequence(request).await?;
        Ok(answer.into_inner().group.expect("a group"))
    }

    pub async fn group(&self, id: &str) -> Result<pb::VideoGroup, Status> {
        self.group_in("", id).await
    }

    pub async fn group_in(&self, collection: &str, id: &str) -> Result<pb::VideoGroup, Status> {
        let (id, collection) = (id.to_owned(), collection.to_owned());
        let request = self.request(pb::GetGroupRequest { id, collection });
        let answer = self.client.clone().get_group(request).await?;
        Ok(answer.into_inner().group.expect("a group"))
    }

    pub async fn cancel_group(&self, id: &str) -> Result<pb::VideoGroup, Status> {
        self.cancel_group_in("", id).await
    }

    pub async fn cancel_group_in(
        &self,
        collection: &str,
        id: &str,
    ) -> Result<pb::VideoGroup, Status> {
        let (id, collection) = (id.to_owned(), collection.to_owned());
        let request = self.request(pb::CancelGroupRequest { id, collection });
        let answer = self.client.clone().cancel_group(request).await?;
        Ok(answer.into_inner().group.expect("a group"))
    }

    pub async fn watch_group(&self, id: &str) -> Result<GroupWatcher, Status> {
        self.watch_group_in("", id).await
    }

    pub async fn watch_group_in(&self, collection: &str, id: &str) -> Result<GroupWatcher, Status> {
        let (id, collection) = (id.to_owned(), collection.to_owned());
        let request = self.request(pb::WatchGroupRequest { id, collection });
        let stream = self.client.clone().watch_group(request).await?;
        Ok(GroupWatcher(stream.into_inner()))
    }

    pub async fn list_by(
        &self,
        query: pb::ListVideosRequest,
    ) -> Result<pb::ListVideosResponse, Status> {
        let request = self.request(query);
        Ok(self.client.clone().list_videos(request).await?.into_inner())
    }

    pub async fn list_states(
        &self,
        states: &[pb::video::Status],
        token: &str,
    ) -> Result<pb::ListVideosResponse, Status> {
        let query = pb::ListVideosRequest {
            page_size: 1,
            page_token: token.to_owned(),
            status: states.iter().map(|state| (*state).into()).collect(),
            ..pb::ListVideosRequest::default()
        };
        self.list_by(query).await
    }

    pub async fn models(&self) -> Result<pb::ListModelsResponse, Status> {
        let request = self.request(pb::ListModelsRequest {});
        Ok(self.client.clone().list_models(request).await?.into_inner())
    }

    pub async fn content(
        &self,
        id: &str,
        kind: pb::ContentKind,
        of_preview: bool,
    ) -> Result<pb::FindContentResponse, Status> {
        let request = self.request(pb::FindContentRequest {
            id: id.to_owned(),
            kind: kind.into(),
            of_preview,
        });
        let answer = self.client.clone().find_content(request).await?;
        Ok(answer.into_inner())
    }
}

pub struct GroupWatcher(Streaming<pb::WatchGroupResponse>);

impl GroupWatcher {
    /// All events until the stream ends.
    pub async fn rest(mut self) -> Vec<pb::VideoEvent> {
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

    pub async fn retry(&self, id: &str) -> Result<pb::Video, Status> {
        let video_id = id.to_owned();
        let request = self.request(pb::RetryDeadLetterRequest { video_id });
        let answer = self.client.clone().retry_dead_letter(request).await?;
        Ok(answer.into_inner().video.expect("a video"))
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

    pub async fn cordon(&self, worker: &str) -> Result<pb::Worker, Status> {
        let worker_id = worker.to_owned();
        let request = self.request(pb::CordonWorkerRequest { worker_id });
        let answer = self.client.clone().cordon_worker(request).await?;
        Ok(answer.into_inner().worker.expect("a worker"))
    }

    pub async fn uncordon(&self, worker: &str) -> Result<pb::Worker, Status> {
        let worker_id = worker.to_owned();
        let request = self.request(pb::UncordonWorkerRequest { worker_id });
        let answer = self.client.clone().uncordon_worker(request).await?;
        Ok(answer.into_inner().worker.expect("a worker"))
    }

    pub async fn tenant(&self, id: &str) -> Result<pb::Tenant, Status> {
        let request = self.request(pb::GetTenantRequest { id: id.to_owned() });
        let answer = self.client.clone().get_tenant(request).await?;
        Ok(answer.into_inner().tenant.expect("a tenant"))
    }

    pub async fn update_tenant(
        &self,
        request: pb::UpdateTenantRequest,
    ) -> Result<pb::Tenant, Status> {
        let request = self.request(request);
        let answer = self.client.clone().update_tenant(request).await?;
        Ok(answer.into_inner().tenant.expect("a tenant"))
    }
}
