//! The contract, answered by the use cases.

mod access;
mod admin;
mod attach;
mod convert;
mod reports;
mod submissions;
mod webhooks;

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::scheduler_service_server::SchedulerService;
use kinora_proto::scheduler::v1::worker_service_server::WorkerService;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use crate::app::{App, Out, Watching};
use crate::clients::ledger::Token;
use crate::error::Error;
pub use access::{SERVICES, access};
pub use admin::AdminGrpc;
use convert::{group_id_from_pb, group_to_pb, job_id, sighting_to_pb, view_to_pb};
use submissions::{
    HasPictures, batch_from_pb, sequence_from_pb, states_from_pb, submission_from_pb,
};
pub use webhooks::WebhookGrpc;

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

    /// Reads a request. One with pictures takes a place that is kept until it is answered, since the pictures are in
    /// memory until then.
    async fn read<T, U>(
        &self,
        message: T,
        read: fn(T) -> Result<U, Error>,
    ) -> Result<(U, Option<OwnedSemaphorePermit>), Error>
    where
        T: HasPictures + Send + 'static,
        U: Send + 'static,
    {
        if !message.has_pictures() {
            return Ok((read(message)?, None));
        }
        let place = self.app.upload_place()?;
        // Digests of large pictures take their time.
        let read = tokio::task::spawn_blocking(move || read(message));
        let read = read.await.map_err(|_| Error::ShuttingDown)?;
        Ok((read?, Some(place)))
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
        request: Request<pb::ApproveRequest>,
    ) -> Result<Response<pb::ApproveResponse>, Status> {
        let owner = owner(&request)?;
        let id = job_id(&request.get_ref().id)?;
        let view = self.app.approve(&owner, id).await?;
        let job = Some(view_to_pb(view));
        Ok(Response::new(pb::ApproveResponse { job }))
    }

    async fn estimate(
        &self,
        request: Request<pb::EstimateRequest>,
    ) -> Result<Response<pb::EstimateResponse>, Status> {
        let owner = owner(&request)?;
        let token = Token::of(&request);
        let submission = request.into_inner().submission.unwrap_or_default();
        let (submission, _place) = self.read(submission, submission_from_pb).await?;
        let estimate = self.app.estimate(&owner, &token, &submission).await?;
        Ok(Response::new(convert::estimate_to_pb(estimate)))
    }

    async fn submit_batch(
        &self,
        request: Request<pb::SubmitBatchRequest>,
    ) -> Result<Response<pb::SubmitBatchResponse>, Status> {
        let owner = owner(&request)?;
        let token = Token::of(&request);
        let (order, _place) = self.read(request.into_inner(), batch_from_pb).await?;
        let view = self.app.submit_batch(&owner, &token, &order).await?;
        let group = Some(group_to_pb(view));
        Ok(Response::new(pb::SubmitBatchResponse { group }))
    }

    async fn submit_sequence(
        &self,
        request: Request<pb::SubmitSequenceRequest>,
    ) -> Result<Response<pb::SubmitSequenceResponse>, Status> {
        let owner = owner(&request)?;
        let token = Token::of(&request);
        let (order, _place) = self.read(request.into_inner(), sequence_from_pb).await?;
        let view = self.app.submit_sequence(&owner, &token, &order).await?;
        let group = Some(group_to_pb(view));
        Ok(Response::new(pb::SubmitSequenceResponse { group }))
    }

    async fn get_group(
        &self,
        request: Request<pb::GetGroupRequest>,
    ) -> Result<Response<pb::GetGroupResponse>, Status> {
        let owner = owner(&request)?;
        let id = group_id_from_pb(&request.get_ref().id)?;
        let group = Some(group_to_pb(self.app.group(&owner, id).await?));
        Ok(Response::new(pb::GetGroupResponse { group }))
    }

    async fn watch_group(
        &self,
        request: Request<pb::WatchGroupRequest>,
    ) -> Result<Response<Self::WatchGroupStream>, Status> {
        let owner = owner(&request)?;
        let id = group_id_from_pb(&request.get_ref().id)?;
        // A group that is not the caller's is refused by the call itself.
        self.app.group(&owner, id).await?;
        let place = self.app.watch_place(&owner)?;
        let (sightings, seen) = mpsc::channel(STREAM_BUFFER);
        let app = Arc::clone(&self.app);
        let out = sightings.clone();
        let watching = async move {
            let _place = place;
            Watching::group(&app, &owner, id).run(&out).await
        };
        tokio::spawn(pour(watching, sightings).in_current_span());
        let answers = ReceiverStream::new(seen).map(|seen| match seen {
            Ok(sighting) => Ok(convert::group_sighting_to_pb(sighting)),
            Err(error) => Err(error.into()),
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn cancel_group(
        &self,
        request: Request<pb::CancelGroupRequest>,
    ) -> Result<Response<pb::CancelGroupResponse>, Status> {
        let owner = owner(&request)?;
        let id = group_id_from_pb(&request.get_ref().id)?;
        let group = Some(group_to_pb(self.app.cancel_group(&owner, id).await?));
        Ok(Response::new(pb::CancelGroupResponse { group }))
    }

    async fn submit(
        &self,
        request: Request<pb::SubmitRequest>,
    ) -> Result<Response<pb::SubmitResponse>, Status> {
        let owner = owner(&request)?;
        let token = Token::of(&request);
        let (submission, _place) = self.read(request.into_inner(), submission_from_pb).await?;
        let view = self.app.submit(&owner, &token, &submission).await?;
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
            states,
        } = request.into_inner();
        let states = states_from_pb(&states)?;
        let listed = self.app.list(&owner, &states, page_size, &page_token);
        let (views, next_page_token) = listed.await?;
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
        let place = self.app.watch_place(&owner)?;
        let (sightings, seen) = mpsc::channel(STREAM_BUFFER);
        let app = Arc::clone(&self.app);
        let out = sightings.clone();
        let watching = async move {
            let _place = place;
            let watching = Watching::begin(&app, &owner, id, after_seq).await?;
            watching.run(&out).await
        };
        tokio::spawn(pour(watching, sightings).in_current_span());
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

/// Runs a watch into a channel. An error is the channel's last item, for which there is room however slow the watcher.
async fn pour(watching: impl Future<Output = Result<(), Error>>, out: Out) {
    let Ok(last_word) = out.reserve_owned().await else {
        return;
    };
    if let Err(error) = watching.await {
        last_word.send(Err(error));
    }
}

fn owner<T>(request: &Request<T>) -> Result<String, Error> {
    let caller = kinora_access::caller(request).map_err(Error::Caller)?;
    Ok(caller.principal().as_str().to_owned())
}
