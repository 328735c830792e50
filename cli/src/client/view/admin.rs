//! What operators see.

use serde::{Deserialize, Serialize};

use super::{Priority, Video, wire};

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its name.
    pub id: String,
    /// Always `worker`.
    pub object: String,
    /// Version of its build.
    pub version: String,
    /// For example `cuda:0`.
    pub device: String,
    /// Kind of machine.
    pub pool: String,
    /// How many videos it takes at a time.
    pub slots: u32,
    /// Models that it offers.
    pub models: Vec<String>,
    /// Models whose weights are in device memory.
    pub resident_models: Vec<String>,
    /// 0 while unknown.
    #[serde(with = "wire::number")]
    pub memory_total_bytes: u64,
    /// 0 while unknown.
    #[serde(with = "wire::number")]
    pub memory_free_bytes: u64,
    /// Whether it is connected.
    pub attached: bool,
    /// Whether it shuts down.
    pub draining: bool,
    /// Whether it is kept from new videos.
    pub cordoned: bool,
    /// When it was last heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_time: Option<String>,
    /// Videos that it works on.
    pub video_ids: Vec<String>,
}

/// All workers of the last day.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WorkerList {
    /// By name.
    pub workers: Vec<Worker>,
}

/// The queued videos of one model and class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// Empty for what needs no model.
    pub model: String,
    /// The class.
    pub priority: Priority,
    /// How many wait.
    pub videos: u32,
    /// For how long the first has waited.
    pub oldest_age_seconds: f64,
    /// Estimated work.
    pub gpu_seconds: f64,
}

/// All queues.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct QueueList {
    /// In the scheduler's order.
    pub queues: Vec<Queue>,
}

/// A video that failed after its last attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The video.
    pub video: Video,
    /// Who submitted it.
    pub owner: String,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
    /// Whether it was taken out of circulation because workers were lost while they ran it.
    pub quarantined: bool,
    /// The video that a retry made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retried_as: Option<String>,
}

/// One worker's try at a video, over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub attempt: u32,
    /// Its fencing number.
    #[serde(with = "wire::number")]
    pub lease: u64,
    /// Who tried.
    pub worker_id: String,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// `COMPLETED`, or the failure's reason.
    pub outcome: String,
    /// A sentence about it.
    pub message: String,
    /// Denoising steps at its start.
    pub first_step: u32,
    /// Denoising steps at its end.
    pub last_step: u32,
    /// Time on the device; none when it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_seconds: Option<f64>,
}

/// One page of dead letters.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct DeadLetterList {
    /// Newest first.
    pub dead_letters: Vec<DeadLetter>,
    /// Pass it as `page_token` for the next page. Empty when there are no more.
    pub next_page_token: String,
}

/// A tenant's share and limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// The part of its principals before the first colon.
    pub id: String,
    /// Always `tenant`.
    pub object: String,
    /// Share of the machines relative to others, 1 to 1000.
    pub weight: u32,
    /// 0 for no limit.
    pub max_running: u32,
    /// 0 for no limit.
    pub max_queued: u32,
}
