//! The JSON that clients see: plain shapes, zero values kept, times in RFC 3339.
//!
//! Clients written in Rust read answers back through the same types.

use serde::{Deserialize, Serialize};

mod admin;
mod convert;
mod estimate;
mod group;
mod webhook;

pub use admin::{
    Attempt, DeadLetter, DeadLetterList, Queue, QueueList, Tenant, Worker, WorkerList,
};
pub use estimate::{Estimate, Settings};
pub(crate) use group::object_of;
pub use group::{Group, GroupEnd};
pub use webhook::{Delivery, DeliveryList, DeliveryState, Webhook, WebhookList, WebhookWithSecret};

/// A video: a job, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// UUIDv7 in text form.
    pub id: String,
    /// Always `video`.
    pub object: String,
    /// What a worker does for it.
    #[serde(default)]
    pub kind: Kind,
    /// Where the job stands.
    pub state: State,
    /// Model id.
    pub model: String,
    /// What the clip shows.
    pub prompt: String,
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
    /// The seed that was used.
    pub seed: u64,
    /// SHA-256 of the file of the first frame, lower-case hex.
    #[serde(default)]
    pub image_sha256: Option<String>,
    /// SHA-256 of the file of the last frame, lower-case hex.
    #[serde(default)]
    pub last_image_sha256: Option<String>,
    /// Who goes first.
    #[serde(default)]
    pub priority: Priority,
    /// The video that this one repeats, varies or goes on from.
    #[serde(default)]
    pub source_id: Option<String>,
    /// The batch or the sequence that it belongs to.
    #[serde(default)]
    pub group_id: Option<String>,
    /// Its place in that, from 0.
    #[serde(default)]
    pub group_index: u32,
    /// Where the newest attempt is.
    pub progress: Progress,
    /// How many times a worker has taken the job.
    pub attempt: u32,
    /// The number of the newest event.
    pub seq: u64,
    /// Remarks for the caller.
    pub notes: Vec<String>,
    /// Why the job, or its last attempt, did not succeed.
    pub failure: Option<Failure>,
    /// Set when the state is `completed`.
    pub outputs: Option<Outputs>,
    /// What is made first, for approval; none when the clip is made at once.
    #[serde(default)]
    pub preview_settings: Option<Settings>,
    /// The preview, from `awaiting_approval` on.
    #[serde(default)]
    pub preview_outputs: Option<Outputs>,
    /// When the job was accepted.
    pub create_time: Option<String>,
    /// It is not started before.
    #[serde(default)]
    pub not_before: Option<String>,
    /// When it expires unless it has started, or unless its preview was approved.
    #[serde(default)]
    pub expire_time: Option<String>,
    /// When the newest attempt began.
    pub start_time: Option<String>,
    /// When the job ended.
    pub end_time: Option<String>,
    /// When the ended job and its clip are removed.
    #[serde(default)]
    pub purge_time: Option<String>,
}

/// What a worker does for a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Draws it.
    #[default]
    Generate,
    /// Joins the clips of a sequence.
    Stitch,
    /// Something that this build does not know.
    #[serde(other)]
    Unknown,
}

/// Who goes first. Within a class tenants share by weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody waits in front of a screen.
    Interactive,
    /// The usual.
    #[default]
    Standard,
    /// Whenever there is room.
    Batch,
    /// A class that this build does not know.
    #[serde(other)]
    Unknown,
}

impl Priority {
    /// The name that stands in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Unknown => "unknown",
        }
    }
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The preview is there; the caller decides.
    AwaitingApproval,
    /// Waits for a worker.
    Queued,
    /// A worker holds it.
    Running,
    /// The clip is there.
    Completed,
    /// It ended without a clip.
    Failed,
    /// The caller ended it.
    Cancelled,
    /// Not started, or not approved, in time.
    Expired,
    /// A state that this build does not know.
    #[serde(other)]
    Unknown,
}

impl State {
    /// Whether nothing will change any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Expired
        )
    }

    /// The name that stands in JSON and in `event:` lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting_approval",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}

/// Work finished on the device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// `queued`, `loading`, `encoding`, `denoising`, `decoding`, `packaging` or `uploading`.
    pub stage: String,
    /// Denoising steps finished.
    pub step: u32,
    /// Denoising steps in all.
    pub steps: u32,
    /// Share of the attempt that is done, 0 to 1.
    pub fraction: f64,
    /// Seconds left at the pace measured so far.
    pub eta_seconds: Option<f64>,
    /// Jobs ahead of this one, while queued.
    pub queue_position: u32,
    /// Seconds until a worker takes it, by the scheduler's estimate, while queued.
    #[serde(default)]
    pub queue_eta_seconds: Option<f64>,
}

/// Why an attempt or a job did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// UPPER_SNAKE machine-readable reason.
    pub reason: String,
    /// A sentence for the person who asked.
    pub message: String,
    /// Whether another attempt may succeed.
    pub retryable: bool,
}

/// What a completed job left, with the paths to fetch it from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outputs {
    /// Size of the clip.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub still_url: Option<String>,
    /// Path that redirects to the list of what is needed to repeat the result.
    pub manifest_url: String,
}

/// One numbered change of a video, the data of a server-sent event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoEvent {
    /// The video's id.
    pub id: String,
    /// Always `video.event`.
    pub object: String,
    /// Grows from event to event of a video.
    pub seq: u64,
    /// When it happened.
    pub time: Option<String>,
    /// Where the job stands.
    pub state: State,
    /// How many times a worker has taken the job.
    pub attempt: u32,
    /// Where the attempt is.
    pub progress: Progress,
    /// Why the job, or its last attempt, did not succeed.
    pub failure: Option<Failure>,
    /// Set when the state is `completed`.
    pub outputs: Option<Outputs>,
    /// The preview to approve; set while `awaiting_approval`.
    #[serde(default)]
    pub preview_outputs: Option<Outputs>,
    /// The batch or the sequence that the video belongs to.
    #[serde(default)]
    pub group_id: Option<String>,
    /// What the clip begins to look like, as a data URL of a WebP. Only in some events, and never repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
}

/// A model that workers offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name to submit with.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// For example `wan-t2v`.
    pub family: String,
    /// Name for people.
    pub title: String,
    /// Licence of the weights.
    pub licence: String,
    /// What an unset field means.
    pub defaults: ModelDefaults,
    /// What the model accepts.
    pub limits: ModelLimits,
    /// Words the model was trained on; empty for an open vocabulary.
    pub vocabulary: Vec<String>,
    /// Whether it takes a first frame.
    #[serde(default)]
    pub image_input: ImageInput,
    /// Whether it takes a last frame.
    #[serde(default)]
    pub last_image_input: ImageInput,
}

/// Whether a model takes a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageInput {
    /// It cannot use one.
    #[default]
    None,
    /// With or without.
    Optional,
    /// It needs one.
    Required,
}

/// What an unset field of a request means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as the fields of a request")]
pub struct ModelDefaults {
    pub width: u32,
    pub height: u32,
    pub frames: u32,
    pub fps: u32,
    pub steps: u32,
    pub guidance: f64,
    pub negative_prompt: String,
}

/// What a model accepts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "named as the contract's ModelLimits, which explains them"
)]
pub struct ModelLimits {
    pub min_width: u32,
    pub max_width: u32,
    pub min_height: u32,
    pub max_height: u32,
    pub size_multiple: u32,
    pub max_frames: u32,
    pub frame_stride: u32,
    pub max_steps: u32,
    pub max_guidance: f64,
    pub max_prompt_chars: u32,
}

/// One page of videos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoList {
    /// Newest first.
    pub videos: Vec<Video>,
    /// Pass it as `page_token` for the next page. Empty when there are no more.
    pub next_page_token: String,
}

/// The models that workers offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelList {
    /// In the scheduler's order.
    pub models: Vec<Model>,
}

#[cfg(test)]
mod tests;
