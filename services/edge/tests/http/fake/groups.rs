//! Batches and sequences of the fake.

use std::collections::HashMap;
use std::pin::Pin;

use futures::{Stream, stream};
use kinora_ids::JobId;
use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use kinora_proto::scheduler::v1::{
    CreateBatchRequest, CreateSequenceRequest, CreateVideoRequest, JobKind, VideoEvent, VideoGroup,
    WatchGroupResponse,
};
use tonic::Status;

use super::service::check;
use super::{Counted, Entry, FakeScheduler, Known, event_of, is_over, video_of};

pub(super) type EventsOfGroup =
    Pin<Box<dyn Stream<Item = Result<WatchGroupResponse, Status>> + Send>>;

const BATCH: &str = "batch";
const SEQUENCE: &str = "sequence";

impl FakeScheduler {
    fn begin_group(
        &self,
        owner: &str,
        object: &'static str,
        requests: Vec<CreateVideoRequest>,
    ) -> Result<VideoGroup, Status> {
        let id = JobId::generate().to_string();
        let last = requests.len().saturating_sub(1);
        let mut ids = Vec::new();
        for (index, request) in requests.into_iter().enumerate() {
            let mut video = video_of(&request);
            video.group_id = Some(id.clone());
            video.group_index = u32::try_from(index).unwrap();
            if object == SEQUENCE && index == last {
                video.set_kind(JobKind::Stitch);
            }
            ids.push(video.id.clone());
            let entry = Entry::new(owner, video, request);
            let mut videos = self.0.videos.lock();
            videos.insert(entry.video.id.clone(), entry);
        }
        let known = Known {
            owner: owner.to_owned(),
            object,
            videos: ids,
        };
        self.0.groups.lock().insert(id.clone(), known);
        self.group(owner, &id)
    }

    /// The requests, or one of each prompt.
    pub(super) fn begin_batch(
        &self,
        owner: &str,
        request: CreateBatchRequest,
    ) -> Result<VideoGroup, Status> {
        let template = request.template.unwrap_or_default();
        let of_prompt = |prompt: &String| CreateVideoRequest {
            prompt: prompt.clone(),
            ..template.clone()
        };
        let mut requests = request.requests;
        requests.extend(request.prompts.iter().map(of_prompt));
        for video in &mut requests {
            check(video)?;
            video.request_id.clone_from(&request.request_id);
            video.allow_duplicate |= request.allow_duplicate;
        }
        self.begin_group(owner, BATCH, requests)
    }

    /// Segments, and the job that joins them.
    pub(super) fn begin_sequence(
        &self,
        owner: &str,
        request: CreateSequenceRequest,
    ) -> Result<VideoGroup, Status> {
        let segment = request.segment.unwrap_or_default();
        if !request.source_id.is_empty() {
            let status =
                self.with_video(owner, &request.source_id, |entry| entry.video.status())?;
            if status != VideoStatus::Completed {
                let reason = "SOURCE_NOT_COMPLETED";
                let error = PublicError::new(Kind::FailedPrecondition, reason, "it is not there");
                return Err(error.into());
            }
        }
        let of_prompt = |prompt: &String| CreateVideoRequest {
            prompt: prompt.clone(),
            remix_of: request.source_id.clone(),
            ..segment.clone()
        };
        let mut requests: Vec<_> = request.prompts.iter().map(of_prompt).collect();
        requests.push(CreateVideoRequest::default());
        self.begin_group(owner, SEQUENCE, requests)
    }

    pub(super) fn group(&self, owner: &str, id: &str) -> Result<VideoGroup, Status> {
        let groups = self.0.groups.lock();
        let Some(known) = groups.get(id).filter(|known| known.owner == owner) else {
            return Err(unknown_group());
        };
        let videos = self.0.videos.lock();
        let videos = known.videos.iter().filter_map(|id| videos.get(id));
        let mut group = VideoGroup {
            id: id.to_owned(),
            object: known.object.to_owned(),
            videos: videos.map(|entry| entry.video.clone()).collect(),
            ..Default::default()
        };
        let mut counts = HashMap::<String, u32>::new();
        for video in &group.videos {
            *counts
                .entry(video.status().as_str_name().to_owned())
                .or_default() += 1;
        }
        group.status = group.videos.first().map_or(0, |video| video.status);
        group.counts = counts;
        let last = group.videos.last().filter(|_| known.object == SEQUENCE);
        group.result_id = last.map(|video| video.id.clone());
        Ok(group)
    }

    /// A group of a collection, or of any.
    pub(super) fn group_in(
        &self,
        owner: &str,
        id: &str,
        collection: &str,
    ) -> Result<VideoGroup, Status> {
        let group = self.group(owner, id)?;
        match (collection, group.object.as_str()) {
            ("", _) | ("batches", BATCH) | ("sequences", SEQUENCE) => Ok(group),
            _ => Err(unknown_group()),
        }
    }

    /// The present state of every video, then whatever changes; ends when all have ended.
    pub(super) fn events_of(self, owner: String, group: VideoGroup) -> EventsOfGroup {
        let begin = Following {
            _watching: Counted::begin(&self.0.watchers),
            fake: self,
            owner,
            id: group.id,
            seen: Vec::new(),
            has_ended: false,
        };
        Box::pin(stream::try_unfold(begin, |mut following| async move {
            let event = following.next().await?;
            Ok(event.map(|event| (WatchGroupResponse { event: Some(event) }, following)))
        }))
    }
}

fn unknown_group() -> Status {
    PublicError::new(Kind::NotFound, "GROUP_NOT_FOUND", "there is no such group").into()
}

struct Following {
    fake: FakeScheduler,
    owner: String,
    id: String,
    /// The last event of each video that was seen.
    seen: Vec<VideoEvent>,
    has_ended: bool,
    _watching: Counted,
}

impl Following {
    async fn next(&mut self) -> Result<Option<VideoEvent>, Status> {
        let mut changed = self.fake.0.changed.subscribe();
        loop {
            let videos = self.fake.group(&self.owner, &self.id)?.videos;
            for video in &videos {
                let before = self.seen.iter().rev().find(|event| event.id == video.id);
                if before.is_some_and(|before| before.seq == video.seq) {
                    continue;
                }
                let event = event_of(before, video);
                self.seen.push(event.clone());
                return Ok(Some(VideoEvent { seq: 0, ..event }));
            }
            if self.has_ended {
                return Ok(None);
            }
            if videos.iter().all(is_over) {
                self.has_ended = true;
                return Ok(Some(VideoEvent {
                    id: self.id.clone(),
                    object: "video.event".to_owned(),
                    r#type: "end".to_owned(),
                    ..Default::default()
                }));
            }
            if changed.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}
