//! What a worker does with a lease.

use std::time::Duration;

use kinora_ids::LeaseRef;
use kinora_scheduler::domain::job::{Job, Priority, Time};

use super::Facts;
use crate::workload::{Fate, STEPS};

/// Device time between two checkpoints.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// How an attempt ends when nobody interferes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a clip.
    Clip,
    /// It fails; another one may not.
    Failure,
    /// It fails as every other would.
    Refusal,
    /// Its worker vanishes.
    Crash,
}

/// An attempt on a worker.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub lease: LeaseRef,
    pub started: Time,
    /// For weights; none when they were there.
    pub load: Duration,
    pub ends: Time,
    pub ending: Ending,
    /// Its class, for those who look whom to pre-empt.
    pub class: Priority,
    pub model: String,
    pub preemptions: u32,
    pub is_called_back: bool,
    /// Steps of the checkpoint that it was granted.
    first_step: u32,
    step_time: Duration,
}

impl Attempt {
    pub fn new(job: &Job, facts: &Facts, load: Duration, now: Time) -> Self {
        let first_step = job.checkpoint.as_ref().map_or(0, |it| it.step);
        let step_time = facts.drawn.actual / STEPS;
        let whole = step_time * (STEPS - first_step.min(STEPS));
        let (ending, share) = match facts.drawn.fate {
            Fate::Poison => (Ending::Crash, 0.02),
            Fate::Broken => (Ending::Refusal, 0.02),
            Fate::Fails(times) if facts.failures < times => (Ending::Failure, 0.5),
            Fate::Fails(_) => (Ending::Clip, 1.0),
        };
        Self {
            lease: job.newest_lease(),
            started: now,
            load,
            ends: now + load + whole.mul_f64(share),
            ending,
            class: job.priority,
            model: job.spec.model.clone(),
            preemptions: facts.preemptions,
            is_called_back: false,
            first_step,
            step_time,
        }
    }

    /// Steps that are finished.
    pub fn steps(&self, now: Time) -> u32 {
        self.first_step + self.steps_in(self.worked(now))
    }

    /// Steps of the newest checkpoint, 0 without one.
    pub fn saved_steps(&self, now: Time) -> u32 {
        let intervals = self.worked(now).as_nanos() / CHECKPOINT_INTERVAL.as_nanos();
        let intervals = u32::try_from(intervals).unwrap_or(u32::MAX);
        self.first_step + self.steps_in(CHECKPOINT_INTERVAL * intervals)
    }

    fn steps_in(&self, time: Duration) -> u32 {
        let steps = time.as_nanos() / self.step_time.as_nanos().max(1);
        u32::try_from(steps)
            .unwrap_or(u32::MAX)
            .min(STEPS - self.first_step.min(STEPS))
    }

    /// Time that went into the clip, without loading.
    fn worked(&self, now: Time) -> Duration {
        let spent = (now.min(self.ends) - self.started).to_std();
        spent.unwrap_or_default().saturating_sub(self.load)
    }

    pub fn fraction(&self, now: Time) -> f64 {
        let spent = (now - self.started).to_std().unwrap_or_default();
        let whole = (self.ends - self.started).to_std().unwrap_or_default();
        (spent.as_secs_f64() / whole.as_secs_f64().max(1e-9)).min(1.0)
    }
}
