//! The calls of callers.

use std::pin::Pin;

use futures::{Stream, stream};
use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use kinora_proto::scheduler::v1::video_service_server::VideoService;
use kinora_proto::scheduler::v1::{
    ApproveVideoRequest, ApproveVideoResponse, CancelGroupRequest, CancelGroupResponse,
    CancelVideoRequest, CancelVideoResponse, ContentKind, CreateBatchRequest, CreateBatchResponse,
    CreateSequenceRequest, CreateSequenceResponse, CreateUploadRequest, CreateUploadResponse,
    CreateVideoRequest, CreateVideoResponse, DeleteVideoRequest, DeleteVideoResponse,
    EstimateVideoRequest, EstimateVideoResponse, FindContentRequest, FindContentResponse,
    GetGroupRequest, GetGroupResponse, GetVideoRequest, GetVideoResponse, ListModelsRequest,
    ListModelsResponse, ListVideosRequest, ListVideosResponse, Model, Order, Upload, Video,
    VideoEvent, VideoSettings, WatchGroupRequest, WatchVideoRequest, WatchVideoResponse,
};
use tonic::{Request, Response, Status};

use super::groups::EventsOfGroup;
use super::{Counted, Entry, FakeScheduler, Trouble, is_over, not_found, video_of};

async fn next_event(
    fake: &FakeScheduler,
    id: &str,
    after: u32,
) -> Result<Option<VideoEvent>, Status> {
    let mut changed = fake.0.changed.subscribe();
    loop {
        let (event, is_terminal) = {
            let videos = fake.0.videos.lock();
            let Some(entry) = videos.get(id) else {
                return Err(not_found().into());
            };
            let event = entry.events.iter().find(|event| event.seq > after).cloned();
            (event, is_over(&entry.video))
        };
        if event.is_some() || is_terminal {
            return Ok(event);
        }
        if changed.changed().await.is_err() {
            return Ok(None);
        }
    }
}

pub(super) fn check(request: &CreateVideoRequest) -> Result<(), Status> {
    if request.frames.is_none_or(|frames| frames % 4 == 1) {
        return Ok(());
    }
    let error = PublicError::new(Kind::InvalidArgument, "FRAMES_INVALID", "frames are off")
        .with_metadata("nearest", "17")
        .with_violation("frames", "must be 4n+1; the nearest are 13 and 17");
    Err(error.into())
}

/// Where the fake keeps an object, once it is there.
fn content(video: &Video, wanted: &FindContentRequest) -> Result<FindContentResponse, PublicError> {
    let outputs = if wanted.of_preview {
        &video.preview_outputs
    } else {
        &video.outputs
    };
    let missing = || PublicError::new(Kind::NotFound, "OUTPUT_NOT_FOUND", "stored without it");
    let Some(outputs) = outputs else {
        if wanted.of_preview && video.preview_settings.is_none() {
            return Err(missing());
        }
        let error = PublicError::new(Kind::Aborted, "NOT_READY", "it is not there yet");
        return Err(error.with_metadata("status", video.status().as_str_name()));
    };
    let (file, content_type) = match wanted.kind() {
        ContentKind::Unspecified | ContentKind::Video => ("video.mp4", "video/mp4"),
        ContentKind::Thumbnail => ("thumbnail.webp", "image/webp"),
        ContentKind::Spritesheet if outputs.spritesheet_url.is_none() => return Err(missing()),
        ContentKind::Spritesheet => ("spritesheet.jpg", "image/jpeg"),
        ContentKind::Still if outputs.still_url.is_none() => return Err(missing()),
        ContentKind::Still => ("still.png", "image/png"),
        ContentKind::Manifest => ("manifest.json", "application/json"),
    };
    Ok(FindContentResponse {
        key: format!("jobs/{}/1/{file}", video.id),
        content_type: content_type.to_owned(),
        file_name: format!("kinora-{file}"),
    })
}

fn is_wanted(wanted: &ListVideosRequest, video: &Video) -> bool {
    let created = video.create_time.as_ref().map(|time| time.seconds);
    let seconds = |bound: &Option<prost_types::Timestamp>| bound.as_ref().map(|it| it.seconds);
    (wanted.status.is_empty() || wanted.status.contains(&video.status))
        && (wanted.model.is_empty() || wanted.model == video.model)
        && wanted
            .query
            .split_whitespace()
            .all(|word| video.prompt.contains(word))
        && seconds(&wanted.created_after).is_none_or(|bound| created >= Some(bound))
        && seconds(&wanted.created_before).is_none_or(|bound| created < Some(bound))
}

#[tonic::async_trait]
impl VideoService for FakeScheduler {
    type WatchVideoStream = Pin<Box<dyn Stream<Item = Result<WatchVideoResponse, Status>> + Send>>;
    type WatchGroupStream = EventsOfGroup;

    async fn create_video(
        &self,
        request: Request<CreateVideoRequest>,
    ) -> Result<Response<CreateVideoResponse>, Status> {
        let owner = self.enter(&request).await?;
        let request = request.into_inner();
        check(&request)?;
        let mut videos = self.0.videos.lock();
        let is_same = |entry: &&Entry| {
            entry.owner == owner
                && !request.request_id.is_empty()
                && entry.request.request_id == request.request_id
        };
        if let Some(known) = videos.values().find(is_same) {
            if known.request == request {
                let video = Some(known.video.clone());
                return Ok(Response::new(CreateVideoResponse { video }));
            }
            let reason = "REQUEST_ID_REUSED";
            return Err(PublicError::new(Kind::AlreadyExists, reason, "used before").into());
        }
        let video = video_of(&request);
        videos.insert(video.id.clone(), Entry::new(&owner, video.clone(), request));
        Ok(Response::new(CreateVideoResponse { video: Some(video) }))
    }

    async fn get_video(
        &self,
        request: Request<GetVideoRequest>,
    ) -> Result<Response<GetVideoResponse>, Status> {
        let owner = self.enter(&request).await?;
        let video = self.with_video(&owner, &request.get_ref().id, |entry| entry.video.clone())?;
        Ok(Response::new(GetVideoResponse { video: Some(video) }))
    }

    async fn list_videos(
        &self,
        request: Request<ListVideosRequest>,
    ) -> Result<Response<ListVideosResponse>, Status> {
        let owner = self.enter(&request).await?;
        let wanted = request.into_inner();
        let size = match wanted.page_size {
            0 => 20,
            size => usize::try_from(size).unwrap(),
        };
        let begin: usize = wanted.page_token.parse().unwrap_or(0);
        let videos = self.0.videos.lock();
        let fits = |video: &Video| is_wanted(&wanted, video);
        let mine = videos.values().rev().filter(|entry| entry.owner == owner);
        let mut mine: Vec<Video> = mine.map(|entry| entry.video.clone()).filter(fits).collect();
        if wanted.order() == Order::Asc {
            mine.reverse();
        }
        let data: Vec<Video> = mine.iter().skip(begin).take(size).cloned().collect();
        let end = begin + data.len();
        let has_more = end < mine.len();
        Ok(Response::new(ListVideosResponse {
            object: "list".to_owned(),
            first_id: data.first().map(|video| video.id.clone()),
            last_id: data.last().map(|video| video.id.clone()),
            data,
            has_more,
            next_page_token: if has_more {
                end.to_string()
            } else {
                String::new()
            },
        }))
    }

    async fn watch_video(
        &self,
        request: Request<WatchVideoRequest>,
    ) -> Result<Response<Self::WatchVideoStream>, Status> {
        let owner = self.enter(&request).await?;
        let WatchVideoRequest { id, after_seq } = request.into_inner();
        self.with_video(&owner, &id, |_| ())?;
        let watching = Counted::begin(&self.0.watchers);
        let begin = (self.clone(), watching, id, after_seq);
        let stream = stream::try_unfold(begin, |(fake, watching, id, after)| async move {
            if after > 0 && *fake.0.trouble.lock() == Trouble::DropsWatchers {
                let reason = "WATCHER_TOO_SLOW";
                return Err(PublicError::new(Kind::Unavailable, reason, "too slow").into());
            }
            let Some(event) = next_event(&fake, &id, after).await? else {
                return Ok(None);
            };
            let seq = event.seq;
            let response = WatchVideoResponse { event: Some(event) };
            Ok(Some((response, (fake, watching, id, seq))))
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn cancel_video(
        &self,
        request: Request<CancelVideoRequest>,
    ) -> Result<Response<CancelVideoResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = request.into_inner().id;
        if !self.with_video(&owner, &id, |entry| is_over(&entry.video))? {
            self.advance(&id, |video| video.set_status(VideoStatus::Cancelled));
        }
        let video = self.with_video(&owner, &id, |entry| entry.video.clone())?;
        Ok(Response::new(CancelVideoResponse { video: Some(video) }))
    }

    async fn delete_video(
        &self,
        request: Request<DeleteVideoRequest>,
    ) -> Result<Response<DeleteVideoResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = request.into_inner().id;
        self.with_video(&owner, &id, |_| ())?;
        self.0.videos.lock().remove(&id);
        self.0.changed.send_modify(|version| *version += 1);
        Ok(Response::new(DeleteVideoResponse {
            id,
            object: "video.deleted".to_owned(),
            deleted: true,
        }))
    }

    async fn approve_video(
        &self,
        request: Request<ApproveVideoRequest>,
    ) -> Result<Response<ApproveVideoResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = request.into_inner().id;
        let status = self.with_video(&owner, &id, |entry| entry.video.status())?;
        if status != VideoStatus::AwaitingApproval {
            let reason = "NOT_AWAITING_APPROVAL";
            return Err(PublicError::new(Kind::FailedPrecondition, reason, "no preview").into());
        }
        self.advance(&id, |video| video.set_status(VideoStatus::Queued));
        let video = self.with_video(&owner, &id, |entry| entry.video.clone())?;
        Ok(Response::new(ApproveVideoResponse { video: Some(video) }))
    }

    async fn estimate_video(
        &self,
        request: Request<EstimateVideoRequest>,
    ) -> Result<Response<EstimateVideoResponse>, Status> {
        self.enter(&request).await?;
        let video = request.into_inner().video.unwrap_or_default();
        check(&video)?;
        let settings = VideoSettings {
            prompt: video.prompt,
            seed: video.seed.unwrap_or(7),
            ..Default::default()
        };
        Ok(Response::new(EstimateVideoResponse {
            object: "estimate".to_owned(),
            settings: Some(settings),
            gpu_seconds: Some(1.5),
            queue_seconds: None,
            memory_bytes: Some(1 << 60),
            credits: 2125,
            fits: true,
            available_credits: Some(2000),
            refusal: Some("INSUFFICIENT_CREDITS".to_owned()),
        }))
    }

    async fn create_upload(
        &self,
        request: Request<CreateUploadRequest>,
    ) -> Result<Response<CreateUploadResponse>, Status> {
        self.enter(&request).await?;
        let request = request.into_inner();
        let headers = [
            ("content-type", request.content_type),
            ("content-length", request.size_bytes.to_string()),
        ];
        let upload = Upload {
            id: "upload-1".to_owned(),
            object: "upload".to_owned(),
            url: "https://clips.example.org/uploads/1?X-Amz-Signature=1".to_owned(),
            method: "PUT".to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            expires_at: 1_800_000_900,
            purge_time: None,
        };
        let upload = Some(upload);
        Ok(Response::new(CreateUploadResponse { upload }))
    }

    async fn find_content(
        &self,
        request: Request<FindContentRequest>,
    ) -> Result<Response<FindContentResponse>, Status> {
        let owner = self.enter(&request).await?;
        let wanted = request.into_inner();
        let found = self.with_video(&owner, &wanted.id, |entry| content(&entry.video, &wanted))?;
        Ok(Response::new(found?))
    }

    async fn create_batch(
        &self,
        request: Request<CreateBatchRequest>,
    ) -> Result<Response<CreateBatchResponse>, Status> {
        let owner = self.enter(&request).await?;
        let group = self.begin_batch(&owner, request.into_inner())?;
        Ok(Response::new(CreateBatchResponse { group: Some(group) }))
    }

    async fn create_sequence(
        &self,
        request: Request<CreateSequenceRequest>,
    ) -> Result<Response<CreateSequenceResponse>, Status> {
        let owner = self.enter(&request).await?;
        let group = self.begin_sequence(&owner, request.into_inner())?;
        Ok(Response::new(CreateSequenceResponse { group: Some(group) }))
    }

    async fn get_group(
        &self,
        request: Request<GetGroupRequest>,
    ) -> Result<Response<GetGroupResponse>, Status> {
        let owner = self.enter(&request).await?;
        let GetGroupRequest { id, collection } = request.into_inner();
        let group = Some(self.group_in(&owner, &id, &collection)?);
        Ok(Response::new(GetGroupResponse { group }))
    }

    async fn watch_group(
        &self,
        request: Request<WatchGroupRequest>,
    ) -> Result<Response<Self::WatchGroupStream>, Status> {
        let owner = self.enter(&request).await?;
        let WatchGroupRequest { id, collection } = request.into_inner();
        let group = self.group_in(&owner, &id, &collection)?;
        Ok(Response::new(self.clone().events_of(owner, group)))
    }

    async fn cancel_group(
        &self,
        request: Request<CancelGroupRequest>,
    ) -> Result<Response<CancelGroupResponse>, Status> {
        let owner = self.enter(&request).await?;
        let CancelGroupRequest { id, collection } = request.into_inner();
        for video in self.group_in(&owner, &id, &collection)?.videos {
            if !is_over(&video) {
                self.advance(&video.id, |video| video.set_status(VideoStatus::Cancelled));
            }
        }
        let group = Some(self.group(&owner, &id)?);
        Ok(Response::new(CancelGroupResponse { group }))
    }

    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        self.enter(&request).await?;
        let model = |id: &String| Model {
            id: id.clone(),
            object: "model".to_owned(),
            ..Default::default()
        };
        let data = self.0.models.lock().iter().map(model).collect();
        Ok(Response::new(ListModelsResponse {
            object: "list".to_owned(),
            data,
        }))
    }
}
