//! When a job is likely to start.

use std::collections::HashMap;
use std::time::Duration;

use super::{Lane, Snapshot, charge};
use crate::domain::job::Priority;

/// What is asked: a job that waits, or one that might be submitted.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its model; empty for work that needs none.
    pub model: &'a str,
    /// Its class.
    pub priority: Priority,
    /// Its tenant.
    pub tenant: &'a str,
    /// Its owner.
    pub owner: &'a str,
    /// Its own cost.
    pub estimated_cost: Duration,
    /// Share of its tenant, 100 as usual.
    pub weight: u32,
    /// Jobs of the same lane before it.
    pub ahead_in_lane: u64,
}

/// The whole of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueLoad {
    /// Its model.
    pub model: String,
    /// Its class.
    pub priority: Priority,
    /// Jobs that wait.
    pub jobs: u64,
    /// Their cost, added up.
    pub cost: Duration,
}

/// The workers that offer a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Leases they can hold.
    pub slots: u32,
    /// Of these, how many are free.
    pub free: u32,
}

/// Where a job stands in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Jobs that are likely to start before it.
    pub jobs_ahead: u64,
    /// Time until it starts. None while no worker offers its model.
    pub wait: Option<Duration>,
}

/// Estimates when a job starts, by the order that [`super::plan`] follows.
///
/// Classes above its own go first as a whole. In its own queue every other tenant gets what its share allows until the
/// job's own tag, as far as it has that much to do. The result is an estimate, not a promise: later arrivals with an
/// older claim, other models on the same workers, and loading are not in it.
#[must_use]
pub fn estimate_wait(
    asked: &Asked<'_>,
    snapshot: &Snapshot,
    loads: &[QueueLoad],
    capacity: Capacity,
) -> Estimate {
    let (above, own_queue) = loads_of(asked, loads);
    let rivals = rivals_cost(asked, snapshot, own_queue.cost);
    let own = asked
        .estimated_cost
        .saturating_mul(clamped(asked.ahead_in_lane));
    let in_queue = (rivals + own).min(own_queue.cost);
    let typical = mean(own_queue.cost, own_queue.jobs, asked.estimated_cost);
    let rival_jobs = jobs_in(in_queue.saturating_sub(own), typical);
    let jobs_ahead = (asked.ahead_in_lane + rival_jobs).min(own_queue.jobs) + above.jobs;
    let wait = (capacity.slots > 0).then(|| {
        let cost = above.cost + in_queue;
        let for_place = wait_for_place(jobs_ahead, cost, typical, capacity);
        for_place.max(wait_for_caps(asked, snapshot, own))
    });
    Estimate { jobs_ahead, wait }
}

#[derive(Clone, Copy, Default)]
struct Load {
    jobs: u64,
    cost: Duration,
}

/// What the classes above hold, and the job's own queue.
fn loads_of(asked: &Asked<'_>, loads: &[QueueLoad]) -> (Load, Load) {
    let (mut above, mut own) = (Load::default(), Load::default());
    for load in loads.iter().filter(|load| load.model == asked.model) {
        let part = match load.priority.cmp(&asked.priority) {
            std::cmp::Ordering::Less => &mut above,
            std::cmp::Ordering::Equal => &mut own,
            std::cmp::Ordering::Greater => continue,
        };
        part.jobs = part.jobs.saturating_add(load.jobs);
        part.cost = part.cost.saturating_add(load.cost);
    }
    (above, own)
}

struct Rival {
    start: i64,
    weight: u32,
    /// Cost of its jobs in the snapshot.
    known: Duration,
}

/// Time that the other lanes of the queue are due before the job.
fn rivals_cost(asked: &Asked<'_>, snapshot: &Snapshot, most: Duration) -> Duration {
    let is_own_queue = |lane: &&Lane| {
        lane.model == asked.model && lane.priority == asked.priority && !lane.jobs.is_empty()
    };
    let lanes: Vec<&Lane> = snapshot.lanes.iter().filter(is_own_queue).collect();
    let mut rivals: HashMap<&str, Rival> = HashMap::new();
    for lane in lanes.iter().filter(|lane| lane.owner != asked.owner) {
        let known = lane.jobs.iter().map(|job| job.estimated_cost).sum();
        let rival = rivals.entry(&lane.tenant).or_insert(Rival {
            start: lane.start_tag,
            weight: lane.weight,
            known: Duration::ZERO,
        });
        rival.start = rival.start.min(lane.start_tag);
        rival.known = rival.known.saturating_add(known);
    }
    let tag = own_tag(asked, &lanes);
    // Jobs beyond the snapshot belong to somebody in it, but it is not known to whom.
    let shown: Duration = lanes
        .iter()
        .flat_map(|lane| &lane.jobs)
        .map(|job| job.estimated_cost)
        .sum();
    let hidden = most.saturating_sub(shown);
    rivals.values().fold(Duration::ZERO, |total, rival| {
        let behind = u64::try_from(tag.saturating_sub(rival.start)).unwrap_or(0);
        let due = Duration::from_micros(behind).saturating_mul(rival.weight.max(1)) / 100;
        total.saturating_add(due.min(rival.known.saturating_add(hidden)))
    })
}

/// The start tag that the job has or would get.
fn own_tag(asked: &Asked<'_>, lanes: &[&Lane]) -> i64 {
    let step = charge(asked.estimated_cost, asked.weight.into());
    let of_tenant = lanes.iter().filter(|lane| lane.tenant == asked.tenant);
    let own = of_tenant.clone().find(|lane| lane.owner == asked.owner);
    let turns = i64::try_from(of_tenant.clone().count().max(1)).unwrap_or(i64::MAX);
    let ahead = i64::try_from(asked.ahead_in_lane).unwrap_or(i64::MAX);
    let start = match own {
        Some(own) => own.start_tag,
        None => {
            // Behind the tenant's other lanes, or where the queue stands.
            let ends = of_tenant.map(|lane| {
                let head = lane
                    .jobs
                    .first()
                    .map_or(Duration::ZERO, |job| job.estimated_cost);
                lane.start_tag
                    .saturating_add(charge(head, lane.weight.into()))
            });
            let present = lanes.iter().map(|lane| lane.start_tag).min().unwrap_or(0);
            ends.max().unwrap_or(present)
        }
    };
    start.saturating_add(step.saturating_mul(ahead).saturating_mul(turns))
}

fn wait_for_place(ahead: u64, cost: Duration, typical: Duration, capacity: Capacity) -> Duration {
    if ahead < u64::from(capacity.free) {
        return Duration::ZERO;
    }
    // Of n slots that end at any time, the first ends after an n-th of a typical job.
    (cost + typical) / capacity.slots
}

/// At a limit of its owner or tenant a job waits for its own kind, however many workers are free.
fn wait_for_caps(asked: &Asked<'_>, snapshot: &Snapshot, own: Duration) -> Duration {
    let usages = [
        snapshot.owners.get(asked.owner),
        snapshot.tenants.get(asked.tenant),
    ];
    let waits = usages.into_iter().flatten().map(|usage| {
        let free = usage.max_running.saturating_sub(usage.running);
        if usage.max_running == 0 || asked.ahead_in_lane < u64::from(free) {
            return Duration::ZERO;
        }
        (own + asked.estimated_cost) / usage.max_running
    });
    waits.max().unwrap_or_default()
}

fn mean(cost: Duration, jobs: u64, otherwise: Duration) -> Duration {
    if jobs == 0 {
        otherwise
    } else {
        cost / clamped(jobs)
    }
}

fn jobs_in(cost: Duration, typical: Duration) -> u64 {
    if typical.is_zero() {
        return 0;
    }
    u64::try_from(cost.as_micros().div_ceil(typical.as_micros().max(1))).unwrap_or(u64::MAX)
}

fn clamped(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
