//! The JSON of the contract, as far as the command reads it: canonical proto3 JSON with the contract's own names.
//!
//! 64-bit numbers are text there and numbers here, durations are seconds here, and what is absent there is `None` here.
//! Written again, for `--json`, everything looks as the mesh wrote it.

use serde::{Deserialize, Serialize};

mod admin;
mod group;
mod model;
mod status;
mod webhook;
mod wire;

pub use admin::{
    Attempt, DeadLetter, DeadLetterList, Queue, QueueList, Tenant, Worker, WorkerList,
};
pub use group::VideoGroup;
pub use model::{ImageInput, MemoryNeed, Model, ModelDefaults, ModelLimits, ModelList};
pub use status::{Kind, Priority, VideoStatus};
pub use webhook::{Delivery, DeliveryList, DeliveryState, Webhook, WebhookList};

/// A video: one accepted request, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// UUIDv7 in text form.
    pub id: String,
    /// Always `video`.
    pub object: String,
    /// What a worker does for it.
    pub kind: Kind,
    /// Where it stands.
    pub status: VideoStatus,
    /// Share of the newest attempt that is done, in whole percent, 0 to 100.
    pub progress: u32,
    /// Model id.
    pub model: String,
    /// What the clip shows, as the model gets it.
    pub prompt: String,
    /// What was written: the prompt, unless that was rewritten. Empty from a mesh that does not tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub original_prompt: String,
    /// Who has rewritten the prompt: `none`, `rules` or `llm`. Empty from a mesh that does not tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub enhancer: String,
    /// Language of what was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_language: Option<String>,
    /// Why the prompt was not rewritten by whom the request wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enhancement_fallback: Option<String>,
    /// What the clip must not show.
    pub negative_prompt: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Number of frames.
    pub frames: u32,
    /// Frames a second.
    pub fps: u32,
    /// Denoising steps.
    pub steps: u32,
    /// Classifier-free guidance scale.
    pub guidance: f64,
    /// The seed that is used.
    #[serde(with = "wire::number")]
    pub seed: u64,
    /// Length of the clip in seconds, as a decimal number.
    pub seconds: String,
    /// For example `832x480`.
    pub size: String,
    /// SHA-256 of the file of the first frame, lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_sha256: Option<String>,
    /// SHA-256 of the file of the last frame, lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_image_sha256: Option<String>,
    /// Who goes first.
    pub priority: Priority,
    /// The video that this one repeats, varies or goes on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// As `source_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remixed_from_video_id: Option<String>,
    /// The batch or the sequence that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// Its place in that, from 0.
    pub group_index: u32,
    /// Where the newest attempt is.
    #[serde(default)]
    pub work: Work,
    /// How many times a worker has taken it.
    pub attempt: u32,
    /// The number of the newest event.
    pub seq: u32,
    /// Remarks for the caller.
    pub notes: Vec<String>,
    /// Why it, or its last attempt, did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<VideoError>,
    /// Set when the status is `completed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<VideoOutputs>,
    /// What is made first, for approval; none when the clip is made at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview_settings: Option<VideoSettings>,
    /// The preview, from `awaiting_approval` on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview_outputs: Option<VideoOutputs>,
    /// When it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
    /// It is not started before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// When it expires unless it has started, or unless its preview was approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_time: Option<String>,
    /// When the newest attempt began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// When the ended video and its clip are removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purge_time: Option<String>,
    /// `create_time` in seconds of Unix.
    pub created_at: u32,
    /// `end_time` in seconds of Unix, of a completed video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<u32>,
    /// `purge_time` in seconds of Unix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u32>,
}

/// Work finished on the device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// `queued`, `loading`, `encoding`, `denoising`, `decoding`, `packaging` or `uploading`.
    pub stage: String,
    /// Denoising steps finished.
    pub step: u32,
    /// Denoising steps in all.
    pub steps: u32,
    /// Share of the attempt that is done, 0 to 1.
    pub fraction: f64,
    /// Seconds left at the pace measured so far.
    #[serde(
        default,
        with = "wire::duration",
        skip_serializing_if = "Option::is_none"
    )]
    pub eta: Option<f64>,
    /// Videos ahead of this one, while queued.
    pub queue_position: u32,
    /// Seconds until a worker takes it, by the scheduler's estimate, while queued.
    #[serde(
        default,
        with = "wire::duration",
        skip_serializing_if = "Option::is_none"
    )]
    pub queue_eta: Option<f64>,
}

/// Why an attempt or a video did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoError {
    /// UPPER_SNAKE machine-readable reason.
    pub code: String,
    /// A sentence for the person who asked.
    pub message: String,
    /// Whether another attempt may succeed.
    pub retryable: bool,
}

/// What is made, every field resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as the fields of a video")]
pub struct VideoSettings {
    pub model: String,
    pub prompt: String,
    pub negative_prompt: String,
    pub width: u32,
    pub height: u32,
    pub frames: u32,
    pub fps: u32,
    pub steps: u32,
    pub guidance: f64,
    #[serde(with = "wire::number")]
    pub seed: u64,
}

/// What a completed video left, with the paths to fetch it from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoOutputs {
    /// Size of the clip.
    #[serde(with = "wire::number")]
    pub bytes: u64,
    /// SHA-256 of the clip, lower-case hex.
    pub sha256: String,
    /// Length of the clip.
    pub duration_seconds: f64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Number of frames.
    pub frames: u32,
    /// Frames a second.
    pub fps: u32,
    /// Path that redirects to the clip.
    pub content_url: String,
    /// Path that redirects to the thumbnail.
    pub thumbnail_url: String,
    /// Path that redirects to the frame as a PNG; only when there is a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub still_url: Option<String>,
    /// Path that redirects to the list of what is needed to repeat the result.
    pub manifest_url: String,
    /// Path that redirects to the sprite sheet; only of clips that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spritesheet_url: Option<String>,
}

/// One numbered change of a video, the data of a server-sent event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoEvent {
    /// The video's id.
    pub id: String,
    /// Always `video.event`.
    pub object: String,
    /// What it tells: the status, or `progress`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Grows from event to event of a video; 0 in the events of a group.
    pub seq: u32,
    /// When it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Where the video stands.
    pub status: VideoStatus,
    /// Share of the attempt that is done, in whole percent, 0 to 100.
    pub progress: u32,
    /// How many times a worker has taken the video.
    pub attempt: u32,
    /// Where the attempt is.
    #[serde(default)]
    pub work: Work,
    /// Why the video, or its last attempt, did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<VideoError>,
    /// Set when the status is `completed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<VideoOutputs>,
    /// The preview to approve; set while `awaiting_approval`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview_outputs: Option<VideoOutputs>,
    /// The batch or the sequence that the video belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// What the clip begins to look like, a WebP in base64. Only in some events, and never repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview_webp: Option<String>,
}

/// One page of videos.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct VideoList {
    /// Newest first.
    pub data: Vec<Video>,
    /// Pass it as `page_token` for the next page. Empty when there are no more.
    pub next_page_token: String,
}

/// What a request would take, before it is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Always `estimate`.
    pub object: String,
    /// What would be made.
    pub settings: VideoSettings,
    /// Seconds on the device; none while the model's pace is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_seconds: Option<f64>,
    /// Seconds until a worker takes it; none while unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_seconds: Option<f64>,
    /// Predicted peak of device memory; none while unknown.
    #[serde(
        default,
        with = "wire::optional_number",
        skip_serializing_if = "Option::is_none"
    )]
    pub memory_bytes: Option<u64>,
    /// Thousandths of a second of standard video.
    #[serde(with = "wire::number")]
    pub credits: u64,
    /// Whether an attached worker can take it.
    pub fits: bool,
    /// What can be spent; none where nothing costs anything.
    #[serde(
        default,
        with = "wire::optional_number",
        skip_serializing_if = "Option::is_none"
    )]
    pub available_credits: Option<u64>,
    /// Why the request would be refused for its credits, as its `reason`; none when it would not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

#[cfg(test)]
mod tests;
