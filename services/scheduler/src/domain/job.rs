//! A job, and what came of it.

mod report;
mod state;

use std::time::Duration;

use chrono::{DateTime, Utc};
use kinora_ids::{JobId, LeaseRef};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::hold::Hold;
use super::prompting::Prompting;

pub use report::{Checkpoint, Failure, Outputs, Preview, Progress, Stage};
pub use state::State;

/// UTC, to the microsecond that databases keep.
pub type Time = DateTime<Utc>;

/// How far apart the numbers of a job's stored changes are.
///
/// The numbers between them are for what is announced and not stored: progress between two writes of the row, and a
/// queued job's new place. Whoever stores next goes beyond all of them without having to know which were used, so
/// that no watcher sees a number twice or an older one after a newer, whatever crashes or moves in between.
///
/// Callers have 32 bits for a number, which is room for half a day of progress that is stored once a second.
pub const SEQ_STRIDE: u64 = 100_000;

/// One accepted request to generate a clip.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Assigned at submission; sorts by its time.
    pub id: JobId,
    /// The principal who submitted it.
    pub owner: String,
    /// Whose share of the machines it counts against: the part of the owner's name before the first colon.
    pub tenant: String,
    /// What a worker does for it.
    pub kind: Kind,
    /// Its class.
    pub priority: Priority,
    /// What to generate, every field resolved.
    pub spec: VideoSpec,
    /// What is made first, for approval.
    pub preview_spec: Option<VideoSpec>,
    /// The preview, once it is made. Kept after the approval.
    pub preview_outputs: Option<Outputs>,
    /// Whether the owner has approved the preview. Without one it means nothing.
    pub is_approved: bool,
    /// Where the job stands.
    pub state: State,
    /// Where the newest attempt stands.
    pub progress: Progress,
    /// How many times a worker has taken the job.
    pub attempt: u32,
    /// How many of those ended badly; decides whether there is another.
    pub failed_attempts: u32,
    /// The fencing number of the newest lease; 0 before the first.
    pub lease: u64,
    /// The number of the newest stored change; grows by [`SEQ_STRIDE`].
    pub seq: u64,
    /// Who holds the newest lease. Kept after a completion, so that its report can be repeated.
    pub worker: Option<String>,
    /// A queued job is not leased before.
    pub run_at: Time,
    /// The start that the caller asked for.
    pub not_before: Option<Time>,
    /// A job that has not started, or was not approved, by then expires. None while it runs, and once approved.
    pub expire_at: Option<Time>,
    /// An ended job is removed with its objects then.
    pub purge_at: Option<Time>,
    /// A running attempt must have ended by then.
    pub deadline: Option<Time>,
    /// When the job was accepted.
    pub create_time: Time,
    /// When the newest attempt began.
    pub start_time: Option<Time>,
    /// When the job reached a terminal state.
    pub end_time: Option<Time>,
    /// Set when completed.
    pub outputs: Option<Outputs>,
    /// Why the job, or its last attempt, failed.
    pub failure: Option<Failure>,
    /// Where the next attempt goes on. None once the job has ended.
    pub checkpoint: Option<Checkpoint>,
    /// The batch or sequence it was submitted with.
    pub group: Option<GroupRef>,
    /// The job that this one repeats, varies or extends.
    pub source: Option<JobId>,
    /// Jobs that must complete first. The job is queued, but not to be had, while one of them has not.
    pub needs: Vec<Need>,
    /// Whether a worker is to store the last frame, for a job that goes on from it.
    pub wants_last_frame: bool,
    /// Expected time on a device, what the fair queue charges at the claim.
    pub estimated_cost: Duration,
    /// Time that ended attempts had a device.
    pub device_time: Duration,
    /// Workers that were lost, one after the other, while they ran it without getting on.
    pub lost_workers: u32,
    /// Taken out of circulation because of those.
    pub is_quarantined: bool,
    /// How often a worker gave it back unfinished, because it was pre-empted or drained.
    pub hand_backs: u32,
    /// What was promised when it was accepted.
    pub terms: Terms,
    /// Credits that are set aside for it. None where it costs nothing, and once they are settled.
    pub hold: Option<Hold>,
    /// What its prompt was before it was rewritten, and by whom. None when that was not asked for.
    pub prompting: Option<Box<Prompting>>,
    /// Remarks for the caller.
    pub notes: Vec<String>,
    /// W3C trace context of the submitting call.
    pub traceparent: Option<String>,
}

impl Job {
    /// A new job in the queue.
    #[must_use]
    pub fn queued(id: JobId, owner: String, spec: VideoSpec, now: Time) -> Self {
        Self {
            id,
            tenant: tenant_of(&owner).to_owned(),
            owner,
            kind: Kind::Generate,
            priority: Priority::Standard,
            state: State::Queued,
            progress: Progress::at(Stage::Queued, spec.steps),
            spec,
            preview_spec: None,
            preview_outputs: None,
            is_approved: false,
            attempt: 0,
            failed_attempts: 0,
            lease: 0,
            seq: 1,
            worker: None,
            run_at: now,
            not_before: None,
            expire_at: None,
            purge_at: None,
            deadline: None,
            create_time: now,
            start_time: None,
            end_time: None,
            outputs: None,
            failure: None,
            checkpoint: None,
            group: None,
            source: None,
            needs: Vec::new(),
            wants_last_frame: false,
            estimated_cost: Duration::ZERO,
            device_time: Duration::ZERO,
            lost_workers: 0,
            is_quarantined: false,
            hand_backs: 0,
            terms: Terms::default(),
            hold: None,
            prompting: None,
            notes: Vec::new(),
            traceparent: None,
        }
    }

    /// Whether an attempt under `lease` made the preview: its objects outlive the lease.
    #[must_use]
    pub fn has_preview_of(&self, lease: LeaseRef) -> bool {
        let preview = self.preview_outputs.as_ref();
        preview.is_some_and(|preview| preview.video_key.starts_with(&lease.object_prefix()))
    }

    /// The newest lease.
    #[must_use]
    pub const fn newest_lease(&self) -> LeaseRef {
        LeaseRef {
            job: self.id,
            lease: self.lease,
        }
    }

    /// What the next or the present attempt makes: the preview until it is approved, then the clip.
    #[must_use]
    pub fn work(&self) -> &VideoSpec {
        match &self.preview_spec {
            Some(preview) if !self.is_approved => preview,
            _ => &self.spec,
        }
    }

    /// What its owner wrote: the prompt, unless that was rewritten.
    #[must_use]
    pub fn original_prompt(&self) -> &str {
        let prompting = self.prompting.as_ref();
        prompting.map_or(&self.spec.prompt, |it| &it.original_prompt)
    }

    /// Whether every job that must come first has completed.
    #[must_use]
    pub fn has_what_it_needs(&self) -> bool {
        self.needs.iter().all(|need| need.is_met)
    }

    /// Whether the newest attempt stored a checkpoint beyond the one it was granted.
    #[must_use]
    pub fn has_advanced(&self) -> bool {
        let own = self.checkpoint.as_ref().filter(|it| it.lease == self.lease);
        own.is_some_and(|own| own.step > own.granted_step)
    }

    /// The job's present state as an event under its newest number.
    #[must_use]
    pub fn event(&self, time: Time) -> Event {
        Event {
            job: self.id,
            seq: self.seq,
            time,
            state: self.state,
            attempt: self.attempt,
            progress: self.progress.clone(),
            failure: self.failure.clone(),
            outputs: self.outputs.clone(),
            preview_outputs: match self.state {
                State::AwaitingApproval => self.preview_outputs.clone(),
                _ => None,
            },
            group: self.group,
            preview: None,
        }
    }
}

/// Times that a job is promised when it is accepted: later changes of the options do not shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// How long its owner may take to approve a preview.
    pub approval_window: Duration,
    /// How long it is kept with its objects once it has ended.
    pub retention: Duration,
    /// Whether its owner had proven to be an adult, where adult content is allowed.
    #[serde(default)]
    pub adult_audience: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            approval_window: Duration::from_secs(24 * 60 * 60),
            retention: Duration::from_secs(30 * 24 * 60 * 60),
            adult_audience: false,
        }
    }
}

/// The tenant that a principal belongs to: the part before the first colon, or the whole name without one.
#[must_use]
pub fn tenant_of(principal: &str) -> &str {
    principal
        .split_once(':')
        .map_or(principal, |(tenant, _)| tenant)
}

/// What a worker does for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Draws the clip.
    Generate,
    /// Joins the clips of the jobs it needs. Any worker can.
    Stitch,
}

/// Who goes first. The order is that of the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody waits in front of a screen.
    Interactive,
    /// The default.
    Standard,
    /// Whenever there is room.
    Batch,
}

/// A job's place in a batch or a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRef {
    /// Which group.
    pub id: Uuid,
    /// From 0, in the order of submission.
    pub index: u32,
}

/// A job that must complete first, and what is taken from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// Which job.
    pub job: JobId,
    /// What is taken from it.
    pub role: NeedRole,
    /// Whether it has completed.
    pub is_met: bool,
    /// Its clip, once it has: what a stitch joins.
    pub part: Option<StitchPart>,
}

/// What a job takes from one that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeedRole {
    /// Its last frame becomes this job's first picture.
    LastFrame,
    /// Its clip becomes a part of this one, in the order of the list.
    Part,
}

/// A clip that becomes part of a longer one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StitchPart {
    /// Its object.
    pub video_key: String,
    /// SHA-256 of that object, lower-case hex.
    pub video_sha256: String,
    /// Whether its first frame repeats the last one of the part before, and is left out.
    pub skips_first_frame: bool,
}

/// What to generate, every field resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoSpec {
    /// Model id from the catalogue.
    pub model: String,
    /// What the clip shows.
    pub prompt: String,
    /// What it must not show. May be empty.
    pub negative_prompt: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames.
    pub frames: u32,
    /// Denoising steps.
    pub steps: u32,
    /// Classifier-free guidance scale.
    pub guidance: f64,
    /// 0 to 2^53-1.
    pub seed: u64,
    /// Frames a second.
    pub fps: u32,
    /// The first frame.
    #[serde(default)]
    pub image: Option<StoredImage>,
    /// The last frame.
    #[serde(default)]
    pub last_image: Option<StoredImage>,
}

impl VideoSpec {
    /// Whether the job came with pictures.
    #[must_use]
    pub const fn has_images(&self) -> bool {
        self.image.is_some() || self.last_image.is_some()
    }
}

/// A picture in the object store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// Lies under the job's input prefix.
    pub key: String,
    /// SHA-256 of the object, lower-case hex.
    pub sha256: String,
}

/// One numbered change of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Whose change.
    pub job: JobId,
    /// Grows from event to event of a job.
    pub seq: u64,
    /// When it happened.
    pub time: Time,
    /// The state after it.
    pub state: State,
    /// The attempt it belongs to.
    pub attempt: u32,
    /// The progress after it.
    pub progress: Progress,
    /// Set once an attempt has failed.
    pub failure: Option<Failure>,
    /// Set once completed.
    pub outputs: Option<Outputs>,
    /// Set while it awaits approval.
    pub preview_outputs: Option<Outputs>,
    /// The job's group.
    pub group: Option<GroupRef>,
    /// What the clip begins to look like. Only in events that are announced while they happen, never stored.
    pub preview: Option<Preview>,
}

#[cfg(test)]
mod tests;
