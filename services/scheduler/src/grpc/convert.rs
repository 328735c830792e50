//! Proto to domain and back. What comes in is checked here for its form.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kinora_ids::{JobId, LeaseRef};
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::video::Status;
use uuid::Uuid;

use crate::app::{GroupName, QueuePlace};
use crate::domain::job::{
    Checkpoint, Failure, Job, Kind, Outputs, Priority, Progress, Stage, State, StitchPart,
    StoredImage, VideoSpec,
};
use crate::error::Error;
use crate::store::GroupKind;

/// What S3 allows.
const MAX_KEY_CHARS: usize = 1024;

/// A worker's text without the NUL character, which PostgreSQL cannot keep, and not too long.
pub fn bounded(text: &str, max_chars: usize) -> String {
    text.chars()
        .filter(|c| *c != '\0')
        .take(max_chars)
        .collect()
}

/// Reads which group is meant, by its id and perhaps its collection. An id that is none, or not in its canonical form, names
/// no group, nor does another collection.
pub fn group_from_pb(id: &str, collection: &str) -> Result<GroupName, Error> {
    let kind = match collection {
        "" => None,
        "batches" => Some(GroupKind::Batch),
        "sequences" => Some(GroupKind::Sequence),
        _ => return Err(Error::GroupNotFound),
    };
    let read = Uuid::try_parse(id).map_err(|_| Error::GroupNotFound)?;
    if read.to_string() == id {
        Ok(GroupName { id: read, kind })
    } else {
        Err(Error::GroupNotFound)
    }
}

/// Reads a job id. Text that is none names no job.
pub fn job_id(text: &str) -> Result<JobId, Error> {
    text.parse().map_err(|_| Error::JobNotFound)
}

/// What a worker is told of a job. `time_limit` is for the attempt.
pub fn grant_to_pb(job: Job, time_limit: Duration) -> pb::LeaseGrant {
    pb::LeaseGrant {
        lease: Some(lease_to_pb(job.newest_lease())),
        attempt: job.attempt,
        spec: Some(spec_to_pb(job.work().clone())),
        kind: kind_to_pb(job.kind).into(),
        parts: job
            .needs
            .into_iter()
            .filter_map(|need| need.part)
            .map(part_to_pb)
            .collect(),
        wants_last_frame: job.wants_last_frame,
        adult_audience: job.terms.adult_audience,
        time_limit: Some(duration_to_pb(time_limit)),
        traceparent: job.traceparent.unwrap_or_default(),
        checkpoint: job.checkpoint.map(checkpoint_to_pb),
    }
}

/// Checked against its job by the use case.
pub fn checkpoint_from_pb(checkpoint: pb::Checkpoint) -> Checkpoint {
    Checkpoint {
        key: bounded(&checkpoint.key, MAX_KEY_CHARS),
        step: checkpoint.step,
        sha256: bounded(&checkpoint.sha256, 64),
        bytes: checkpoint.bytes,
        // Set when it is recorded.
        lease: 0,
        granted_step: 0,
    }
}

fn checkpoint_to_pb(checkpoint: Checkpoint) -> pb::Checkpoint {
    pb::Checkpoint {
        key: checkpoint.key,
        step: checkpoint.step,
        sha256: checkpoint.sha256,
        bytes: checkpoint.bytes,
    }
}

pub fn lease_to_pb(lease: LeaseRef) -> pb::LeaseRef {
    pb::LeaseRef {
        job_id: lease.job.to_string(),
        lease: lease.lease,
    }
}

pub fn lease_from_pb(lease: Option<pb::LeaseRef>) -> Result<LeaseRef, Error> {
    let invalid = |problem| Error::WorkerMessage {
        field: "lease",
        problem,
    };
    let lease = lease.ok_or_else(|| invalid("is missing"))?;
    let job = lease.job_id.parse().map_err(|_| invalid("names no job"))?;
    Ok(LeaseRef {
        job,
        lease: lease.lease,
    })
}

pub fn progress_from_pb(progress: Option<pb::Progress>) -> Progress {
    let progress = progress.unwrap_or_default();
    Progress {
        stage: stage_from_pb(progress.stage()),
        step: progress.step,
        steps: progress.steps,
        fraction: progress.fraction,
        eta: progress.eta.and_then(|eta| eta.try_into().ok()),
    }
}

pub fn progress_to_pb(progress: &Progress, place: Option<QueuePlace>) -> pb::Progress {
    let ahead = place.map_or(0, |place| place.ahead);
    pb::Progress {
        stage: stage_to_pb(progress.stage).into(),
        step: progress.step,
        steps: progress.steps,
        fraction: progress.fraction,
        eta: progress.eta.map(duration_to_pb),
        queue_position: u32::try_from(ahead).unwrap_or(u32::MAX),
        queue_eta: place.and_then(|place| place.wait).map(duration_to_pb),
    }
}

pub fn outputs_from_pb(outputs: Option<pb::Outputs>) -> Result<Outputs, Error> {
    let invalid = |problem| Error::WorkerMessage {
        field: "outputs",
        problem,
    };
    let outputs = outputs.ok_or_else(|| invalid("are missing"))?;
    let duration = outputs.duration.unwrap_or_default();
    Ok(Outputs {
        video_key: bounded(&outputs.video_key, MAX_KEY_CHARS),
        thumbnail_key: bounded(&outputs.thumbnail_key, MAX_KEY_CHARS),
        manifest_key: bounded(&outputs.manifest_key, MAX_KEY_CHARS),
        video_bytes: outputs.video_bytes,
        width: outputs.width,
        height: outputs.height,
        frames: outputs.frames,
        fps: outputs.fps,
        duration: duration
            .try_into()
            .map_err(|_| invalid("have a negative duration"))?,
        video_sha256: bounded(&outputs.video_sha256, 64),
        still_key: bounded(&outputs.still_key, MAX_KEY_CHARS),
        last_frame_key: bounded(&outputs.last_frame_key, MAX_KEY_CHARS),
        last_frame_sha256: bounded(&outputs.last_frame_sha256, 64),
        spritesheet_key: bounded(&outputs.spritesheet_key, MAX_KEY_CHARS),
    })
}

/// Texts of a worker reach the caller, so that they are bounded.
pub fn failure_from_pb(failure: Option<pb::Failure>) -> Failure {
    let failure = failure.unwrap_or_default();
    let is_legal = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let is_reason =
        (1..=64).contains(&failure.reason.len()) && failure.reason.chars().all(is_legal);
    Failure {
        reason: if is_reason {
            failure.reason
        } else {
            "WORKER_ERROR".to_owned()
        },
        message: bounded(&failure.message, 500),
        retryable: failure.retryable,
    }
}

fn spec_to_pb(spec: VideoSpec) -> pb::VideoSpec {
    let (image_key, image_sha256) = image_to_pb(spec.image);
    let (last_image_key, last_image_sha256) = image_to_pb(spec.last_image);
    pb::VideoSpec {
        model: spec.model,
        prompt: spec.prompt,
        negative_prompt: spec.negative_prompt,
        width: spec.width,
        height: spec.height,
        frames: spec.frames,
        steps: spec.steps,
        guidance: spec.guidance,
        seed: spec.seed,
        fps: spec.fps,
        image_key,
        image_sha256,
        last_image_key,
        last_image_sha256,
    }
}

fn image_to_pb(image: Option<StoredImage>) -> (String, String) {
    image
        .map(|image| (image.key, image.sha256))
        .unwrap_or_default()
}

fn part_to_pb(part: StitchPart) -> pb::StitchPart {
    pb::StitchPart {
        video_key: part.video_key,
        video_sha256: part.video_sha256,
        skips_first_frame: part.skips_first_frame,
    }
}

pub const fn kind_to_pb(kind: Kind) -> pb::JobKind {
    match kind {
        Kind::Generate => pb::JobKind::Generate,
        Kind::Stitch => pb::JobKind::Stitch,
    }
}

pub const fn priority_to_pb(priority: Priority) -> pb::Priority {
    match priority {
        Priority::Interactive => pb::Priority::Interactive,
        Priority::Standard => pb::Priority::Standard,
        Priority::Batch => pb::Priority::Batch,
    }
}

pub const fn state_to_pb(state: State) -> Status {
    match state {
        State::AwaitingApproval => Status::AwaitingApproval,
        State::Queued => Status::Queued,
        State::Running => Status::InProgress,
        State::Completed => Status::Completed,
        State::Failed => Status::Failed,
        State::Cancelled => Status::Cancelled,
        State::Expired => Status::Expired,
    }
}

const fn stage_to_pb(stage: Stage) -> pb::Stage {
    match stage {
        Stage::Queued => pb::Stage::Queued,
        Stage::Loading => pb::Stage::Loading,
        Stage::Encoding => pb::Stage::Encoding,
        Stage::Denoising => pb::Stage::Denoising,
        Stage::Decoding => pb::Stage::Decoding,
        Stage::Packaging => pb::Stage::Packaging,
        Stage::Uploading => pb::Stage::Uploading,
    }
}

const fn stage_from_pb(stage: pb::Stage) -> Stage {
    match stage {
        // A running attempt is at least loading.
        pb::Stage::Unspecified | pb::Stage::Queued | pb::Stage::Loading => Stage::Loading,
        pb::Stage::Encoding => Stage::Encoding,
        pb::Stage::Denoising => Stage::Denoising,
        pb::Stage::Decoding => Stage::Decoding,
        pb::Stage::Packaging => Stage::Packaging,
        pb::Stage::Uploading => Stage::Uploading,
    }
}

/// None for what is no time.
pub fn time_from_pb(time: prost_types::Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)
}

pub fn time_to_pb(time: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0),
    }
}

/// Durations beyond what the wire can carry do not occur; they would read as zero.
pub fn duration_to_pb(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or_default()
}
