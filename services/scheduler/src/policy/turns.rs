//! What a process remembers from plan to plan: which queue had how much, and whom it pre-empted.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use kinora_ids::JobId;

use super::{Plan, Snapshot, charge};
use crate::domain::job::{Priority, Time};

/// A queue that was served within this time tells newcomers what time it is on the fair clock.
const CURRENT: Duration = Duration::from_secs(120);

/// Start-time fair clock *between* queues, and recent pre-emptions. Within a queue the tags of its lanes decide.
///
/// Each replica has its own and loses it when it ends: that costs at most a turn.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// Start tag of the latest turn.
    clock: i64,
    queues: HashMap<(String, Priority), Turn>,
    preempted_workers: HashMap<String, Time>,
    helped_jobs: HashMap<JobId, Time>,
}

#[derive(Clone, Debug, Default)]
struct Turn {
    /// Start tag of the next turn, in weighted micro-seconds.
    start: i64,
    is_waiting: bool,
    latest: Option<Time>,
}

impl Turns {
    /// Takes notice of the queues that wait. Call it with every snapshot, before the plan; `models` are those that
    /// the snapshot was asked for.
    pub fn see(&mut self, snapshot: &Snapshot, models: &[String], now: Time) {
        let waiting: BTreeSet<(&str, Priority)> = snapshot
            .lanes
            .iter()
            .filter(|lane| !lane.jobs.is_empty())
            .map(|lane| (lane.model.as_str(), lane.priority))
            .collect();
        let asked: HashSet<&str> = models.iter().map(String::as_str).collect();
        for ((model, priority), turn) in &mut self.queues {
            if asked.contains(model.as_str()) && !waiting.contains(&(model, *priority)) {
                turn.is_waiting = false;
            }
        }
        let present = self.present(now);
        for (model, priority) in waiting {
            let turn = self.queues.entry((model.to_owned(), priority)).or_default();
            if !turn.is_waiting {
                // A queue that was empty has no claim on the time that others used meanwhile.
                turn.start = turn.start.max(present);
                turn.is_waiting = true;
            }
        }
    }

    /// Takes notice of jobs that were leased, in the order of the plan.
    pub fn record(&mut self, snapshot: &Snapshot, leased: &[JobId], now: Time) {
        let weights = queue_weights(snapshot);
        let lanes = snapshot.lanes.iter();
        let jobs: HashMap<JobId, _> = lanes
            .flat_map(|lane| lane.jobs.iter().map(move |job| (job.job, (lane, job))))
            .collect();
        for (lane, job) in leased.iter().filter_map(|id| jobs.get(id)) {
            let weight = weights.get(&(lane.model.as_str(), lane.priority));
            let key = (lane.model.clone(), lane.priority);
            let turn = self.queues.entry(key).or_default();
            self.clock = self.clock.max(turn.start);
            let charge = charge(job.estimated_cost, weight.copied().unwrap_or(100));
            turn.start = turn.start.saturating_add(charge);
            turn.latest = Some(now);
        }
    }

    /// Takes notice of the pre-emptions of a plan, and forgets those older than `pause`.
    pub fn record_preemptions(&mut self, plan: &Plan, pause: Duration, now: Time) {
        let is_recent = |time: &Time| (now - *time).to_std().unwrap_or_default() < pause;
        self.preempted_workers.retain(|_, time| is_recent(time));
        self.helped_jobs.retain(|_, time| is_recent(time));
        for preemption in &plan.preemptions {
            self.preempted_workers
                .insert(preemption.worker.clone(), now);
            self.helped_jobs.insert(preemption.waiting, now);
        }
    }

    /// The start tag of a queue's next turn.
    pub(super) fn start(&self, model: &str, priority: Priority) -> i64 {
        let turn = self.queues.get(&(model.to_owned(), priority));
        turn.map_or(self.clock, |turn| turn.start)
    }

    pub(super) fn preempted(&self, worker: &str) -> Option<Time> {
        self.preempted_workers.get(worker).copied()
    }

    pub(super) fn helped(&self, job: JobId) -> Option<Time> {
        self.helped_jobs.get(&job).copied()
    }

    /// The fair time that a queue starts at. Not simply the clock: workers of another pool may have driven that far
    /// ahead of the queues that share workers with the newcomer, and it would wait until they have caught up.
    fn present(&self, now: Time) -> i64 {
        let is_current = |turn: &&Turn| {
            let age = turn.latest.map(|latest| now - latest);
            turn.is_waiting && age.is_some_and(|age| age.to_std().is_ok_and(|age| age < CURRENT))
        };
        let turns = self.queues.values().filter(is_current);
        turns.map(|turn| turn.start).min().unwrap_or(self.clock)
    }
}

/// The weights of the tenants that wait in each queue, added up: what the queue's own share is measured by.
pub(super) fn queue_weights(snapshot: &Snapshot) -> HashMap<(&str, Priority), u64> {
    let mut seen = HashSet::new();
    let mut weights = HashMap::new();
    for lane in snapshot.lanes.iter().filter(|lane| !lane.jobs.is_empty()) {
        let queue = (lane.model.as_str(), lane.priority);
        if seen.insert((queue, lane.tenant.as_str())) {
            *weights.entry(queue).or_default() += u64::from(lane.weight.max(1));
        }
    }
    weights
}
