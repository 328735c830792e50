//! What of a job no query asks for: one text of JSON. Fields that older rows lack have defaults.

use std::time::Duration;

use kinora_ids::JobId;
use serde::{Deserialize, Serialize};

use super::needs_no_model;
use crate::domain::hold::Hold;
use crate::domain::job::{
    Checkpoint, Event, Failure, GroupRef, Job, Kind, Need, Outputs, Progress, Terms, Time,
    VideoSpec,
};
use crate::domain::prompting::Prompting;

/// The queue that a job waits in: its model, or nothing when any worker can do it.
pub fn model_of(job: &Job) -> &str {
    if needs_no_model(job.kind) {
        ""
    } else {
        &job.work().model
    }
}

#[derive(Serialize, Deserialize)]
pub struct Details {
    #[serde(default = "generate")]
    kind: Kind,
    spec: VideoSpec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preview_spec: Option<VideoSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preview_outputs: Option<Outputs>,
    #[serde(default)]
    is_approved: bool,
    progress: Progress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_time: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outputs: Option<Outputs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Checkpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<JobId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    needs: Vec<Need>,
    #[serde(default)]
    wants_last_frame: bool,
    #[serde(default)]
    device_time: Duration,
    #[serde(default)]
    lost_workers: u32,
    #[serde(default)]
    is_quarantined: bool,
    #[serde(default)]
    hand_backs: u32,
    #[serde(default)]
    terms: Terms,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<Hold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prompting: Option<Box<Prompting>>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

const fn generate() -> Kind {
    Kind::Generate
}

impl Details {
    pub fn of(job: &Job) -> Self {
        // Without `..`: a new field of a job must be kept somewhere.
        let Job {
            kind,
            spec,
            preview_spec,
            preview_outputs,
            is_approved,
            progress,
            not_before,
            start_time,
            outputs,
            failure,
            checkpoint,
            source,
            needs,
            wants_last_frame,
            device_time,
            lost_workers,
            is_quarantined,
            hand_backs,
            terms,
            hold,
            prompting,
            notes,
            traceparent,
            id: _,
            owner: _,
            tenant: _,
            priority: _,
            state: _,
            attempt: _,
            failed_attempts: _,
            lease: _,
            seq: _,
            worker: _,
            run_at: _,
            expire_at: _,
            purge_at: _,
            deadline: _,
            create_time: _,
            end_time: _,
            group: _,
            estimated_cost: _,
        } = job.clone();
        Self {
            kind,
            spec,
            preview_spec,
            preview_outputs,
            is_approved,
            progress,
            not_before,
            start_time,
            outputs,
            failure,
            checkpoint,
            source,
            needs,
            wants_last_frame,
            device_time,
            lost_workers,
            is_quarantined,
            hand_backs,
            terms,
            hold,
            prompting,
            notes,
            traceparent,
        }
    }

    /// The job, but for what has columns of its own.
    pub fn into_job(self, id: JobId, owner: String, create_time: Time) -> Job {
        Job {
            kind: self.kind,
            preview_spec: self.preview_spec,
            preview_outputs: self.preview_outputs,
            is_approved: self.is_approved,
            progress: self.progress,
            not_before: self.not_before,
            start_time: self.start_time,
            outputs: self.outputs,
            failure: self.failure,
            checkpoint: self.checkpoint,
            source: self.source,
            needs: self.needs,
            wants_last_frame: self.wants_last_frame,
            device_time: self.device_time,
            lost_workers: self.lost_workers,
            is_quarantined: self.is_quarantined,
            hand_backs: self.hand_backs,
            terms: self.terms,
            hold: self.hold,
            prompting: self.prompting,
            notes: self.notes,
            traceparent: self.traceparent,
            ..Job::queued(id, owner, self.spec, create_time)
        }
    }
}

#[derive(Serialize, Deserialize)]
pub struct EventDetails {
    pub progress: Progress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Outputs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_outputs: Option<Outputs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupRef>,
}

impl EventDetails {
    pub fn of(event: &Event) -> Self {
        Self {
            progress: event.progress.clone(),
            outputs: event.outputs.clone(),
            failure: event.failure.clone(),
            preview_outputs: event.preview_outputs.clone(),
            group: event.group,
        }
    }
}
