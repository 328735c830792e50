//! What operators see.

use kinora_proto::scheduler::v1 as proto;
use serde::{Deserialize, Serialize};

use super::convert::{given, rfc3339, seconds};
use super::{Priority, Video};

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
    /// How many jobs it takes at a time.
    pub slots: u32,
    /// Models that it offers.
    pub models: Vec<String>,
    /// Models whose weights are in device memory.
    pub resident_models: Vec<String>,
    /// 0 while unknown.
    pub memory_total_bytes: u64,
    /// 0 while unknown.
    pub memory_free_bytes: u64,
    /// Whether it is connected.
    pub attached: bool,
    /// Whether it shuts down.
    pub draining: bool,
    /// Whether it is kept from new jobs.
    pub cordoned: bool,
    /// When it was last heard.
    pub seen_time: Option<String>,
    /// Jobs that run on it.
    pub video_ids: Vec<String>,
}

/// All workers of the last day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerList {
    /// By name.
    pub workers: Vec<Worker>,
}

/// The queued jobs of one model and class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// Empty for jobs that need no model.
    pub model: String,
    /// The class.
    pub priority: Priority,
    /// How many wait.
    pub videos: u64,
    /// For how long the first has waited.
    pub oldest_age_seconds: f64,
    /// Estimated work.
    pub gpu_seconds: f64,
}

/// All queues.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueList {
    /// In the scheduler's order.
    pub queues: Vec<Queue>,
}

/// A job that failed after its last attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The job.
    pub video: Video,
    /// Who submitted it.
    pub owner: String,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
    /// Whether it was taken out of circulation because workers were lost while they ran it.
    pub quarantined: bool,
    /// The job that a retry made.
    pub retried_as: Option<String>,
}

/// One worker's try at a job, over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub attempt: u32,
    /// Its fencing number.
    pub lease: u64,
    /// Who tried.
    pub worker_id: String,
    /// When it began.
    pub start_time: Option<String>,
    /// When it ended.
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
    pub device_seconds: Option<f64>,
}

/// One page of dead letters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

impl From<proto::Worker> for Worker {
    fn from(worker: proto::Worker) -> Self {
        Self {
            id: worker.id,
            object: "worker".to_owned(),
            version: worker.version,
            device: worker.device,
            pool: worker.pool,
            slots: worker.slots,
            models: worker.models,
            resident_models: worker.resident_models,
            memory_total_bytes: worker.memory_total_bytes,
            memory_free_bytes: worker.memory_free_bytes,
            attached: worker.attached,
            draining: worker.draining,
            cordoned: worker.cordoned,
            seen_time: worker.seen_time.map(rfc3339),
            video_ids: worker.job_ids,
        }
    }
}

impl From<proto::Queue> for Queue {
    fn from(queue: proto::Queue) -> Self {
        Self {
            priority: queue.priority().into(),
            model: queue.model,
            videos: queue.jobs,
            oldest_age_seconds: queue.oldest_age.map_or(0.0, seconds),
            gpu_seconds: queue.gpu_time.map_or(0.0, seconds),
        }
    }
}

impl From<proto::DeadLetter> for DeadLetter {
    fn from(letter: proto::DeadLetter) -> Self {
        let job = letter.job.unwrap_or_default();
        Self {
            owner: job.owner.clone(),
            video: job.into(),
            attempts: letter.attempts.into_iter().map(Into::into).collect(),
            quarantined: letter.quarantined,
            retried_as: given(letter.retried_as),
        }
    }
}

impl From<proto::Attempt> for Attempt {
    fn from(attempt: proto::Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            lease: attempt.lease,
            worker_id: attempt.worker_id,
            start_time: attempt.start_time.map(rfc3339),
            end_time: attempt.end_time.map(rfc3339),
            outcome: attempt.outcome,
            message: attempt.message,
            first_step: attempt.first_step,
            last_step: attempt.last_step,
            device_seconds: attempt.device_time.map(seconds),
        }
    }
}

impl From<proto::SetTenantResponse> for Tenant {
    fn from(tenant: proto::SetTenantResponse) -> Self {
        Self {
            id: tenant.tenant,
            object: "tenant".to_owned(),
            weight: tenant.weight,
            max_running: tenant.max_running,
            max_queued: tenant.max_queued,
        }
    }
}
