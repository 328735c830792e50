//! Videos and groups for their owners.

use std::sync::Arc;

use futures::stream;
use kinora_ids::JobId;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::video_service_server::VideoService;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::Instrument;

use super::catalogue::offer_to_pb;
use super::convert::{group_from_pb, job_id};
use super::events::{Narrator, end_of};
use super::lists::query_from_pb;
use super::orders::{batch_from_pb, sequence_from_pb};
use super::submissions::{HasPictures, content_kind_from_pb, submission_from_pb};
use super::uploads::{announced_from_pb, upload_to_pb};
use super::view::{estimate_to_pb, group_to_pb, view_to_pb};
use super::{STREAM_BUFFER, ServerStream, owner};
use crate::app::{App, GroupName, Out, Sighting, Watching};
use crate::clients::call::Token;
use crate::error::Error;

/// What a watch sees, or why it ends.
type Seen = Result<Sighting, Error>;

/// Answers callers.
pub struct VideoGrpc {
    app: Arc<App>,
}

impl VideoGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    /// Reads a request that makes something. One with pictures takes a place that is kept until it is answered, since the
    /// pictures are in memory until then.
    async fn receive<T, U>(
        &self,
        request: Request<T>,
        read: fn(T) -> Result<U, Error>,
    ) -> Result<Received<U>, Error>
    where
        T: HasPictures + Send + 'static,
        U: Send + 'static,
    {
        let owner = owner(&request)?;
        let token = Token::of(&request);
        let message = request.into_inner();
        let (order, place) = if message.has_pictures() {
            let place = self.app.upload_place()?;
            // Digests of large pictures take their time.
            let read = tokio::task::spawn_blocking(move || read(message));
            let read = read.await.map_err(|_| Error::ShuttingDown)?;
            (read?, Some(place))
        } else {
            (read(message)?, None)
        };
        Ok(Received {
            owner,
            token,
            order,
            _place: place,
        })
    }
}

/// What somebody asks for.
struct Received<U> {
    owner: String,
    token: Token,
    order: U,
    _place: Option<OwnedSemaphorePermit>,
}

#[tonic::async_trait]
impl VideoService for VideoGrpc {
    type WatchVideoStream = ServerStream<pb::WatchVideoResponse>;
    type WatchGroupStream = ServerStream<pb::WatchGroupResponse>;

    async fn create_video(
        &self,
        request: Request<pb::CreateVideoRequest>,
    ) -> Result<Response<pb::CreateVideoResponse>, Status> {
        let it = self.receive(request, submission_from_pb).await?;
        let view = self.app.submit(&it.owner, &it.token, &it.order).await?;
        let video = Some(view_to_pb(view));
        Ok(Response::new(pb::CreateVideoResponse { video }))
    }

    async fn get_video(
        &self,
        request: Request<pb::GetVideoRequest>,
    ) -> Result<Response<pb::GetVideoResponse>, Status> {
        let (owner, id) = video_of(&request, |it| &it.id)?;
        let video = Some(view_to_pb(self.app.get(&owner, id).await?));
        Ok(Response::new(pb::GetVideoResponse { video }))
    }

    async fn list_videos(
        &self,
        request: Request<pb::ListVideosRequest>,
    ) -> Result<Response<pb::ListVideosResponse>, Status> {
        let owner = owner(&request)?;
        let query = query_from_pb(request.into_inner())?;
        let (views, next_page_token) = self.app.list(&owner, &query).await?;
        let data: Vec<pb::Video> = views.into_iter().map(view_to_pb).collect();
        Ok(Response::new(pb::ListVideosResponse {
            object: "list".to_owned(),
            first_id: data.first().map(|video| video.id.clone()),
            last_id: data.last().map(|video| video.id.clone()),
            has_more: !next_page_token.is_empty(),
            data,
            next_page_token,
        }))
    }

    async fn watch_video(
        &self,
        request: Request<pb::WatchVideoRequest>,
    ) -> Result<Response<Self::WatchVideoStream>, Status> {
        let (owner, id) = video_of(&request, |it| &it.id)?;
        let after_seq = request.into_inner().after_seq.into();
        // A job that is not the caller's is refused by the call itself.
        self.app.get(&owner, id).await?;
        let place = self.app.watch_place(&owner)?;
        let app = Arc::clone(&self.app);
        let (seen, _) = begin(move |out| async move {
            let _place = place;
            let watching = Watching::begin(&app, &owner, id, after_seq).await?;
            watching.run(&out).await
        });
        let mut narrator = Narrator::default();
        let answers = seen.map(move |seen| {
            let event = Some(narrator.tell(seen?));
            Ok::<_, Status>(pb::WatchVideoResponse { event })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn cancel_video(
        &self,
        request: Request<pb::CancelVideoRequest>,
    ) -> Result<Response<pb::CancelVideoResponse>, Status> {
        let (owner, id) = video_of(&request, |it| &it.id)?;
        let video = Some(view_to_pb(self.app.cancel(&owner, id).await?));
        Ok(Response::new(pb::CancelVideoResponse { video }))
    }

    async fn delete_video(
        &self,
        request: Request<pb::DeleteVideoRequest>,
    ) -> Result<Response<pb::DeleteVideoResponse>, Status> {
        let (owner, id) = video_of(&request, |it| &it.id)?;
        self.app.delete(&owner, id).await?;
        Ok(Response::new(pb::DeleteVideoResponse {
            id: id.to_string(),
            object: "video.deleted".to_owned(),
            deleted: true,
        }))
    }

    async fn approve_video(
        &self,
        request: Request<pb::ApproveVideoRequest>,
    ) -> Result<Response<pb::ApproveVideoResponse>, Status> {
        let (owner, id) = video_of(&request, |it| &it.id)?;
        let video = Some(view_to_pb(self.app.approve(&owner, id).await?));
        Ok(Response::new(pb::ApproveVideoResponse { video }))
    }

    async fn estimate_video(
        &self,
        request: Request<pb::EstimateVideoRequest>,
    ) -> Result<Response<pb::EstimateVideoResponse>, Status> {
        let request = request.map(|it| it.video.unwrap_or_default());
        let it = self.receive(request, submission_from_pb).await?;
        let estimate = self.app.estimate(&it.owner, &it.token, &it.order).await?;
        Ok(Response::new(estimate_to_pb(estimate)))
    }

    async fn create_upload(
        &self,
        request: Request<pb::CreateUploadRequest>,
    ) -> Result<Response<pb::CreateUploadResponse>, Status> {
        let owner = owner(&request)?;
        let announced = announced_from_pb(request.get_ref())?;
        let upload = self.app.create_upload(&owner, announced).await?;
        let upload = Some(upload_to_pb(upload));
        Ok(Response::new(pb::CreateUploadResponse { upload }))
    }

    async fn find_content(
        &self,
        request: Request<pb::FindContentRequest>,
    ) -> Result<Response<pb::FindContentResponse>, Status> {
        let (owner, id) = video_of(&request, |it| &it.id)?;
        let message = request.into_inner();
        let kind = content_kind_from_pb(message.kind())?;
        let found = self
            .app
            .find_content(&owner, id, kind, message.of_preview)
            .await?;
        Ok(Response::new(pb::FindContentResponse {
            key: found.key,
            content_type: found.content_type.to_owned(),
            file_name: found.file_name,
        }))
    }

    async fn list_models(
        &self,
        request: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        owner(&request)?;
        let offers = self.app.offers().await?;
        Ok(Response::new(pb::ListModelsResponse {
            object: "list".to_owned(),
            data: offers.into_iter().map(offer_to_pb).collect(),
        }))
    }

    async fn create_batch(
        &self,
        request: Request<pb::CreateBatchRequest>,
    ) -> Result<Response<pb::CreateBatchResponse>, Status> {
        let it = self.receive(request, batch_from_pb).await?;
        let view = self
            .app
            .submit_batch(&it.owner, &it.token, &it.order)
            .await?;
        let group = Some(group_to_pb(view));
        Ok(Response::new(pb::CreateBatchResponse { group }))
    }

    async fn create_sequence(
        &self,
        request: Request<pb::CreateSequenceRequest>,
    ) -> Result<Response<pb::CreateSequenceResponse>, Status> {
        let it = self.receive(request, sequence_from_pb).await?;
        let view = self
            .app
            .submit_sequence(&it.owner, &it.token, &it.order)
            .await?;
        let group = Some(group_to_pb(view));
        Ok(Response::new(pb::CreateSequenceResponse { group }))
    }

    async fn get_group(
        &self,
        request: Request<pb::GetGroupRequest>,
    ) -> Result<Response<pb::GetGroupResponse>, Status> {
        let (owner, name) = group_of(&request, |it| (&it.id, &it.collection))?;
        let group = Some(group_to_pb(self.app.group(&owner, name).await?));
        Ok(Response::new(pb::GetGroupResponse { group }))
    }

    async fn watch_group(
        &self,
        request: Request<pb::WatchGroupRequest>,
    ) -> Result<Response<Self::WatchGroupStream>, Status> {
        let (owner, name) = group_of(&request, |it| (&it.id, &it.collection))?;
        // A group that is not the caller's is refused by the call itself.
        self.app.group(&owner, name).await?;
        let place = self.app.watch_place(&owner)?;
        let app = Arc::clone(&self.app);
        let (seen, watching) = begin(move |out| async move {
            let _place = place;
            match Watching::group(&app, &owner, name.id).run(&out).await {
                // It was there when the call began: its last video was deleted.
                Err(Error::GroupNotFound) => Ok(()),
                watched => watched,
            }
        });
        let mut narrator = Narrator::default();
        let events = seen.map(move |seen| Ok::<_, Status>(narrator.tell_of_group(seen?)));
        // Said only of a watch that came to its end, and of none that broke.
        let end = stream::once(watching)
            .filter_map(move |watched| matches!(watched, Ok(true)).then(|| Ok(end_of(name.id))));
        let answers = events.chain(end).map(|event| {
            let event = Some(event?);
            Ok::<_, Status>(pb::WatchGroupResponse { event })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn cancel_group(
        &self,
        request: Request<pb::CancelGroupRequest>,
    ) -> Result<Response<pb::CancelGroupResponse>, Status> {
        let (owner, name) = group_of(&request, |it| (&it.id, &it.collection))?;
        let group = Some(group_to_pb(self.app.cancel_group(&owner, name).await?));
        Ok(Response::new(pb::CancelGroupResponse { group }))
    }
}

/// Who calls, and which video is meant.
fn video_of<T>(request: &Request<T>, id: fn(&T) -> &str) -> Result<(String, JobId), Error> {
    Ok((owner(request)?, job_id(id(request.get_ref()))?))
}

/// Who calls, and which group is meant, by its id and its collection.
fn group_of<T>(
    request: &Request<T>,
    name: fn(&T) -> (&str, &str),
) -> Result<(String, GroupName), Error> {
    let (id, collection) = name(request.get_ref());
    Ok((owner(request)?, group_from_pb(id, collection)?))
}

/// Begins a watch: what it sees, and in the end whether it came to its end.
fn begin<F>(watch: impl FnOnce(Out) -> F) -> (ReceiverStream<Seen>, JoinHandle<bool>)
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (sightings, seen) = mpsc::channel(STREAM_BUFFER);
    let watching = watch(sightings.clone());
    let watching = tokio::spawn(pour(watching, sightings).in_current_span());
    (ReceiverStream::new(seen), watching)
}

/// Runs a watch into a channel; true when it came to its end. An error is the channel's last item, for which there is room
/// however slow the watcher.
async fn pour(watching: impl Future<Output = Result<(), Error>>, out: Out) -> bool {
    let Ok(last_word) = out.reserve_owned().await else {
        return false;
    };
    match watching.await {
        Ok(()) => true,
        Err(error) => {
            last_word.send(Err(error));
            false
        }
    }
}
