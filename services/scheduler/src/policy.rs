//! Who goes first: a pure function from a bounded look at the queue to what is leased to whom.
//!
//! The rules and why they are as they are: `policy/README.md`.

mod estimate;
mod lines;
mod options;
mod plan;
mod pool;
mod preemption;
mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kinora_ids::{JobId, LeaseRef};
use uuid::Uuid;

use crate::domain::job::{Priority, Time};
use crate::domain::model::MemoryNeed;

pub use estimate::{Asked, Capacity, Estimate, QueueLoad, estimate_wait};
pub use options::PolicyOptions;
pub use plan::{Situation, plan};
pub use turns::Turns;

/// A bounded look at what waits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The lanes that come first in each queue, in no particular order.
    pub lanes: Vec<Lane>,
    /// Tenants of those lanes.
    pub tenants: HashMap<String, Usage>,
    /// Owners of those lanes.
    pub owners: HashMap<String, Usage>,
    /// Whether a queue may have lanes behind these.
    pub has_more: bool,
}

/// How much of its concurrency a tenant or an owner uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Jobs that run.
    pub running: u32,
    /// Jobs that may run at a time; 0 for no limit.
    pub max_running: u32,
}

/// The queued jobs of one owner, of one model and class: the unit of fairness within a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    /// Empty for work that needs no model.
    pub model: String,
    /// The class.
    pub priority: Priority,
    /// Whose jobs.
    pub owner: String,
    /// Whose share of the machines.
    pub tenant: String,
    /// Start tag of the first job, in weighted micro-seconds of device time. Lower goes first within the queue.
    pub start_tag: i64,
    /// Share of the machines relative to other tenants; 100 is usual.
    pub weight: u32,
    /// Its first jobs, in their order.
    pub jobs: Vec<Candidate>,
    /// Whether there may be jobs behind these.
    pub has_more: bool,
}

/// A job that may be leased.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Which job.
    pub job: JobId,
    /// Since when it may be leased.
    pub ready_since: Time,
    /// Expected device time.
    pub estimated_cost: Duration,
    /// Width times height times frames of what is made.
    pub pixels: u64,
    /// The worker that had it last.
    pub last_worker: Option<String>,
}

/// An attached worker with what it can take.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerView {
    /// Its name.
    pub worker: String,
    /// Its stream.
    pub session: Uuid,
    /// Leases it can take now.
    pub free_slots: u32,
    /// Models it offers, with what each needs of its device where that is known. Shared: views are made often.
    pub models: Arc<HashMap<String, Option<MemoryNeed>>>,
    /// Models in its device memory.
    pub resident: Vec<String>,
    /// Memory for a clip and its model. None when it is not known.
    pub memory_bytes: Option<u64>,
    /// Whether it takes work that needs no model.
    pub can_stitch: bool,
    /// What it runs.
    pub running: Vec<Running>,
}

/// A lease that a worker holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// Which lease.
    pub lease: LeaseRef,
    /// Its model.
    pub model: String,
    /// Its class.
    pub priority: Priority,
    /// When the attempt began.
    pub started: Time,
    /// Share of the attempt that is done.
    pub fraction: f64,
    /// How often the job was pre-empted before.
    pub preemptions: u32,
}

/// A job for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Which job.
    pub job: JobId,
    /// Whose.
    pub owner: String,
    /// Whose share of the machines it takes.
    pub tenant: String,
    /// For whom.
    pub worker: String,
    /// The worker's stream; another one gets nothing.
    pub session: Uuid,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to lease, in order.
    pub assignments: Vec<Assignment>,
    /// Leases to be handed back for higher classes.
    pub preemptions: Vec<Preemption>,
    /// Classes that count as higher ones for their age.
    pub raised: Vec<Raise>,
}

/// A class whose queues count as those of a higher one, because a job has waited long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    /// The class.
    pub class: Priority,
    /// The class it counts as.
    pub level: Priority,
    /// How far its turns are put forward: what it could not have below gives it no claim above.
    pub lift: i64,
}

/// A lease that is to be handed back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preemption {
    /// Which lease.
    pub lease: LeaseRef,
    /// Who holds it.
    pub worker: String,
    /// The job that needs its place.
    pub waiting: JobId,
}

/// How far a snapshot looks into each queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Lanes of a queue, by start tag.
    pub lanes: u32,
    /// Jobs of a lane, in their order.
    pub jobs: u32,
    /// Jobs of a queue. Of many lanes fewer jobs each are looked at, though never fewer than [`Bounds::LEAST_JOBS`].
    pub jobs_in_all: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            lanes: 64,
            jobs: 16,
            jobs_in_all: 1024,
        }
    }
}

impl Bounds {
    /// Lanes of a queue that are looked at for a single slot: some of their jobs may fit nowhere.
    const LEAST_LANES: u32 = 16;

    /// Jobs of a lane that are looked at in any case.
    pub const LEAST_JOBS: u32 = 4;

    /// How far to look for so many free slots: a slot or two need no thousand rows.
    #[must_use]
    pub fn for_slots(self, free: u32) -> Self {
        let twice = free.saturating_mul(2);
        Self {
            lanes: self.lanes.min(twice.max(Self::LEAST_LANES)),
            jobs: self.jobs.min(free.max(Self::LEAST_JOBS)),
            jobs_in_all: self.jobs_in_all.min(twice),
        }
    }

    /// Jobs of each lane, when so many lanes are looked at.
    #[must_use]
    pub fn jobs_of_each(self, lanes: u32) -> u32 {
        let even = self.jobs_in_all / lanes.max(1);
        self.jobs.min(even.max(Self::LEAST_JOBS))
    }
}

/// What a job of `cost` adds to a tag: micro-seconds of device time, less for those with more weight.
fn charge(cost: Duration, weight: u64) -> i64 {
    // What is not known counts as a second, or a queue of such jobs would never lose its turn.
    let known = if cost.is_zero() {
        Duration::from_secs(1)
    } else {
        cost
    };
    let micros = known.as_micros().saturating_mul(100) / u128::from(weight.max(1));
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// How long a job could have been leased. Zero when the clocks of two machines disagree.
fn waited(job: &Candidate, now: Time) -> Duration {
    (now - job.ready_since).to_std().unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
