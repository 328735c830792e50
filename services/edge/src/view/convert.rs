//! From the scheduler's messages to the shapes of the view.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinora_proto::scheduler::v1 as proto;
use prost_types::{Duration, Timestamp};

use super::{
    Failure, ImageInput, Kind, Model, ModelDefaults, ModelLimits, Outputs, Priority, Progress,
    State, Video, VideoEvent,
};

impl From<proto::JobState> for State {
    fn from(state: proto::JobState) -> Self {
        match state {
            proto::JobState::Unspecified => Self::Unknown,
            proto::JobState::AwaitingApproval => Self::AwaitingApproval,
            proto::JobState::Queued => Self::Queued,
            proto::JobState::Running => Self::Running,
            proto::JobState::Completed => Self::Completed,
            proto::JobState::Failed => Self::Failed,
            proto::JobState::Cancelled => Self::Cancelled,
            proto::JobState::Expired => Self::Expired,
        }
    }
}

impl From<proto::JobKind> for Kind {
    fn from(kind: proto::JobKind) -> Self {
        match kind {
            proto::JobKind::Unspecified | proto::JobKind::Generate => Self::Generate,
            proto::JobKind::Stitch => Self::Stitch,
        }
    }
}

impl From<proto::Priority> for Priority {
    fn from(priority: proto::Priority) -> Self {
        match priority {
            proto::Priority::Unspecified | proto::Priority::Standard => Self::Standard,
            proto::Priority::Interactive => Self::Interactive,
            proto::Priority::Batch => Self::Batch,
        }
    }
}

impl From<proto::Job> for Video {
    fn from(job: proto::Job) -> Self {
        let (kind, state, priority) = (job.kind(), job.state(), job.priority());
        let spec = job.spec.unwrap_or_default();
        let outputs = job.outputs.map(|outputs| Outputs::of(&job.id, outputs));
        let preview = job.preview_outputs;
        let preview_outputs = preview.map(|preview| Outputs::of_preview(&job.id, preview));
        Self {
            object: "video".to_owned(),
            kind: kind.into(),
            state: state.into(),
            model: spec.model,
            prompt: spec.prompt,
            negative_prompt: spec.negative_prompt,
            width: spec.width,
            height: spec.height,
            frames: spec.frames,
            fps: spec.fps,
            steps: spec.steps,
            guidance: spec.guidance,
            seed: spec.seed,
            image_sha256: given(spec.image_sha256),
            last_image_sha256: given(spec.last_image_sha256),
            priority: priority.into(),
            source_id: given(job.source_id),
            group_id: given(job.group_id),
            group_index: job.group_index,
            progress: job.progress.unwrap_or_default().into(),
            attempt: job.attempt,
            seq: job.seq,
            notes: job.notes,
            failure: job.failure.map(Into::into),
            outputs,
            preview_settings: job.preview_spec.map(Into::into),
            preview_outputs,
            create_time: job.create_time.map(rfc3339),
            not_before: job.not_before.map(rfc3339),
            expire_time: job.expire_time.map(rfc3339),
            start_time: job.start_time.map(rfc3339),
            end_time: job.end_time.map(rfc3339),
            purge_time: job.purge_time.map(rfc3339),
            id: job.id,
        }
    }
}

impl From<proto::Event> for VideoEvent {
    fn from(event: proto::Event) -> Self {
        let state = event.state().into();
        let outputs = event
            .outputs
            .map(|outputs| Outputs::of(&event.job_id, outputs));
        let preview_outputs = event
            .preview_outputs
            .map(|preview| Outputs::of_preview(&event.job_id, preview));
        Self {
            id: event.job_id,
            object: "video.event".to_owned(),
            seq: event.seq,
            time: event.time.map(rfc3339),
            state,
            attempt: event.attempt,
            progress: event.progress.unwrap_or_default().into(),
            failure: event.failure.map(Into::into),
            outputs,
            preview_outputs,
            group_id: given(event.group_id),
            preview: preview(&event.preview_webp),
        }
    }
}

/// A text that is there.
pub(super) fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn preview(webp: &[u8]) -> Option<String> {
    let encode = || format!("data:image/webp;base64,{}", STANDARD.encode(webp));
    (!webp.is_empty()).then(encode)
}

impl From<proto::ImageInput> for ImageInput {
    fn from(input: proto::ImageInput) -> Self {
        match input {
            proto::ImageInput::Unspecified | proto::ImageInput::None => Self::None,
            proto::ImageInput::Optional => Self::Optional,
            proto::ImageInput::Required => Self::Required,
        }
    }
}

impl From<proto::Progress> for Progress {
    fn from(progress: proto::Progress) -> Self {
        Self {
            stage: stage_name(progress.stage()).to_owned(),
            step: progress.step,
            steps: progress.steps,
            fraction: progress.fraction,
            eta_seconds: progress.eta.map(seconds),
            queue_position: progress.queue_position,
            queue_eta_seconds: progress.queue_eta.map(seconds),
        }
    }
}

impl From<proto::Failure> for Failure {
    fn from(failure: proto::Failure) -> Self {
        let proto::Failure {
            reason,
            message,
            retryable,
        } = failure;
        Self {
            reason,
            message,
            retryable,
        }
    }
}

impl Outputs {
    fn of(id: &str, outputs: proto::Outputs) -> Self {
        let path = |name: &str| format!("/v1/videos/{id}/{name}");
        Self::at(path("content"), path, outputs)
    }

    fn of_preview(id: &str, outputs: proto::Outputs) -> Self {
        let preview = format!("/v1/videos/{id}/preview");
        let path = |name: &str| format!("{preview}/{name}");
        Self::at(preview.clone(), path, outputs)
    }

    fn at(content_url: String, path: impl Fn(&str) -> String, outputs: proto::Outputs) -> Self {
        Self {
            bytes: outputs.video_bytes,
            sha256: outputs.video_sha256,
            duration_seconds: outputs.duration.map_or(0.0, seconds),
            width: outputs.width,
            height: outputs.height,
            frames: outputs.frames,
            fps: outputs.fps,
            content_url,
            thumbnail_url: path("thumbnail"),
            still_url: (!outputs.still_key.is_empty()).then(|| path("still")),
            manifest_url: path("manifest"),
        }
    }
}

impl From<proto::Model> for Model {
    fn from(model: proto::Model) -> Self {
        let (image_input, last_image_input) = (model.image_input(), model.last_image_input());
        Self {
            id: model.id,
            object: "model".to_owned(),
            family: model.family,
            title: model.title,
            licence: model.licence,
            defaults: model.defaults.map(Into::into).unwrap_or_default(),
            limits: model.limits.map(Into::into).unwrap_or_default(),
            vocabulary: model.vocabulary,
            image_input: image_input.into(),
            last_image_input: last_image_input.into(),
        }
    }
}

impl From<proto::ModelDefaults> for ModelDefaults {
    fn from(defaults: proto::ModelDefaults) -> Self {
        let proto::ModelDefaults {
            width,
            height,
            frames,
            fps,
            steps,
            guidance,
            negative_prompt,
        } = defaults;
        Self {
            width,
            height,
            frames,
            fps,
            steps,
            guidance,
            negative_prompt,
        }
    }
}

impl From<proto::ModelLimits> for ModelLimits {
    fn from(limits: proto::ModelLimits) -> Self {
        Self {
            min_width: limits.min_width,
            max_width: limits.max_width,
            min_height: limits.min_height,
            max_height: limits.max_height,
            size_multiple: limits.size_multiple,
            max_frames: limits.max_frames,
            frame_stride: limits.frame_stride,
            max_steps: limits.max_steps,
            max_guidance: limits.max_guidance,
            max_prompt_chars: limits.max_prompt_chars,
        }
    }
}

const fn stage_name(stage: proto::Stage) -> &'static str {
    match stage {
        proto::Stage::Unspecified | proto::Stage::Queued => "queued",
        proto::Stage::Loading => "loading",
        proto::Stage::Encoding => "encoding",
        proto::Stage::Denoising => "denoising",
        proto::Stage::Decoding => "decoding",
        proto::Stage::Packaging => "packaging",
        proto::Stage::Uploading => "uploading",
    }
}

/// A time as text.
pub(super) fn rfc3339(time: Timestamp) -> String {
    time.to_string()
}

/// A duration as a number.
pub(super) fn seconds(duration: Duration) -> f64 {
    duration.seconds as f64 + f64::from(duration.nanos) / 1e9
}
