//! The contract, answered by the use cases.

mod attach;
mod convert;
mod reports;
mod webhooks;

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use kinora_ids::JobId;
use kinora_mesh::principal::Principal;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::scheduler_service_server::SchedulerService;
use kinora_proto::scheduler::v1::worker_service_server::WorkerService;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use crate::app::{App, Sighting, Watching};
use crate::error::Error;
pub use webhooks::WebhookGrpc;

use convert::{job_id, sighting_to_pb, submission_from_pb, view_to_pb};

type ServerStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Events and orders that wait for a slow peer.
const STREAM_BUFFER: usize = 16;

/// Answers callers.
pub struct SchedulerGrpc {
    app: Arc<App>,
}

/// Answers workers.
pub struct WorkerGrpc {
    app: Arc<App>,
}

impl SchedulerGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl WorkerGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl SchedulerService for SchedulerGrpc {
    type WatchStream = ServerStream<pb::WatchResponse>;
    type WatchGroupStream = ServerStream<pb::WatchGroupResponse>;

    async fn approve(
        &self,
        _: Request<pb::ApproveRequest>,
    ) -> Result<Response<pb::ApproveResponse>, Status> {
        Err(Status::unimplemented("approve"))
    }

    async fn estimate(
        &self,
        _: Request<pb::EstimateRequest>,
    ) -> Result<Response<pb::EstimateResponse>, Status> {
        Err(Status::unimplemented("estimate"))
    }

    async fn submit_batch(
        &self,
        _: Request<pb::SubmitBatchRequest>,
    ) -> Result<Response<pb::SubmitBatchResponse>, Status> {
        Err(Status::unimplemented("submit_batch"))
    }

    async fn submit_sequence(
        &self,
        _: Request<pb::SubmitSequenceRequest>,
    ) -> Result<Response<pb::SubmitSequenceResponse>, Status> {
        Err(Status::unimplemented("submit_sequence"))
    }

    async fn get_group(
        &self,
        _: Request<pb::GetGroupRequest>,
    ) -> Result<Response<pb::GetGroupResponse>, Status> {
        Err(Status::unimplemented("get_group"))
    }

    async fn watch_group(
        &self,
        _: Request<pb::WatchGroupRequest>,
    ) -> Result<Response<Self::WatchGroupStream>, Status> {
        Err(Status::unimplemented("watch_group"))
    }

    async fn cancel_group(
        &self,
        _: Request<pb::CancelGroupRequest>,
    ) -> Result<Response<pb::CancelGroupResponse>, Status> {
        Err(Status::unimplemented("cancel_group"))
    }

    async fn submit(
        &self,
        request: Request<pb::SubmitRequest>,
    ) -> Result<Response<pb::SubmitResponse>, Status> {
        let owner = owner(&request)?;
        let message = request.into_inner();
        let has_pictures = !message.image.is_empty() || !message.last_image.is_empty();
        // Kept until the answer: the pictures are in memory until then.
        let _place = has_pictures.then(|| self.app.upload_place()).transpose()?;
        let submission = if has_pictures {
            // Digests of large pictures take their time.
            let read = tokio::task::spawn_blocking(move || submission_from_pb(message));
            read.await.map_err(|_| Error::ShuttingDown)?
        } else {
            submission_from_pb(message)
        };
        let view = self.app.submit(&owner, &submission).await?;
        let job = Some(view_to_pb(view));
        Ok(Response::new(pb::SubmitResponse { job }))
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let owner = owner(&request)?;
        let view = self.app.get(&owner, job_id(&request.get_ref().id)?).await?;
        let job = Some(view_to_pb(view));
        Ok(Response::new(pb::GetResponse { job }))
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        let owner = owner(&request)?;
        let pb::ListRequest {
            page_size,
            page_token,
            states: _,
        } = request.into_inner();
        let (views, next_page_token) = self.app.list(&owner, page_size, &page_token).await?;
        let jobs = views.into_iter().map(view_to_pb).collect();
        Ok(Response::new(pb::ListResponse {
            jobs,
            next_page_token,
        }))
    }

    async fn watch(
        &self,
        request: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let owner = owner(&request)?;
        let pb::WatchRequest { id, after_seq } = request.into_inner();
        let id = job_id(&id)?;
        // A job that is not the caller's is refused by the call itself.
        self.app.get(&owner, id).await?;
        let (sightings, seen) = mpsc::channel(STREAM_BUFFER);
        let app = Arc::clone(&self.app);
        tokio::spawn(follow(app, owner, id, after_seq, sightings).in_current_span());
        let answers = ReceiverStream::new(seen).map(|seen| match seen {
            Ok(sighting) => Ok(sighting_to_pb(sighting)),
            Err(error) => Err(error.into()),
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn cancel(
        &self,
        request: Request<pb::CancelRequest>,
    ) -> Result<Response<pb::CancelResponse>, Status> {
        let owner = owner(&request)?;
        let view = self
            .app
            .cancel(&owner, job_id(&request.get_ref().id)?)
            .await?;
        let job = Some(view_to_pb(view));
        Ok(Response::new(pb::CancelResponse { job }))
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        let owner = owner(&request)?;
        self.app
            .delete(&owner, job_id(&request.get_ref().id)?)
            .await?;
        Ok(Response::new(pb::DeleteResponse {}))
    }

    async fn list_models(
        &self,
        request: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        owner(&request)?;
        let models = self.app.models().await?;
        let models = models.into_iter().map(convert::model_to_pb).collect();
        Ok(Response::new(pb::ListModelsResponse { models }))
    }
}

#[tonic::async_trait]
impl WorkerService for WorkerGrpc {
    type AttachStream = ServerStream<pb::AttachResponse>;

    async fn attach(
        &self,
        request: Request<Streaming<pb::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (down, stream) = mpsc::channel(STREAM_BUFFER);
        let app = Arc::clone(&self.app);
        let inbound = request.into_inner();
        // The answer's head goes out at once: the worker sends its Hello after it.
        tokio::spawn(attach::serve(app, inbound, down).in_current_span());
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// Follows a job into a channel; an error is the channel's last item.
async fn follow(
    app: Arc<App>,
    owner: String,
    id: JobId,
    after_seq: u64,
    sightings: mpsc::Sender<Result<Sighting, Error>>,
) {
    let followed = async {
        let watching = Watching::begin(&app, &owner, id, after_seq).await?;
        watching.run(&sightings).await
    };
    if let Err(error) = followed.await {
        // Fails when the watcher has left.
        let _ = sightings.send(Err(error)).await;
    }
}

fn owner<T>(request: &Request<T>) -> Result<String, Error> {
    let principal = Principal::from_metadata(request.metadata()).map_err(Error::Caller)?;
    Ok(principal.as_str().to_owned())
}
