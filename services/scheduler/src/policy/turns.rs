//! What a process remembers from plan to plan: who had how much of which queue, and whom it pre-empted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use kinora_ids::JobId;

use super::{Plan, Snapshot, charge};
use crate::domain::job::{Priority, Time};

/// Who was served within this time tells newcomers what time it is on the fair clock.
const CURRENT: Duration = Duration::from_secs(120);

const CLASSES: [Priority; 3] = [Priority::Interactive, Priority::Standard, Priority::Batch];

/// Start-time fair clock *between* queues, and recent pre-emptions. Within a queue the tags of its lanes decide.
///
/// It is kept for each tenant of a queue, not for the queue: what one tenant has had must not be held against the
/// others that come to the same queue later, least of all by their few weights.
///
/// Each replica has its own and loses it when it ends: that costs at most a turn.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// Start tag of the latest turn.
    clock: i64,
    /// By queue, then by tenant.
    queues: HashMap<(String, Priority), HashMap<String, Turn>>,
    /// When a class last counted as a higher one.
    raised: HashMap<(Priority, Priority), Time>,
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
    /// Takes notice of who waits. Call it with every snapshot, before the plan; `models` are those that the snapshot
    /// was asked for.
    pub fn see(&mut self, snapshot: &Snapshot, models: &[String], now: Time) {
        let waiting = waiting(snapshot);
        let asked: HashSet<&str> = models.iter().map(String::as_str).collect();
        for ((model, priority), turns) in &mut self.queues {
            let tenants = waiting.get(&(model.as_str(), *priority));
            for (tenant, turn) in turns {
                let is_there = tenants.is_some_and(|tenants| tenants.contains(tenant.as_str()));
                turn.is_waiting &= is_there || !asked.contains(model.as_str());
            }
        }
        let present: HashMap<Priority, i64> = CLASSES
            .map(|class| (class, self.present(class, now)))
            .into();
        for ((model, priority), tenants) in waiting {
            let present = present[&priority];
            let turns = self.queues.entry((model.to_owned(), priority)).or_default();
            for tenant in tenants {
                let turn = turns.entry(tenant.to_owned()).or_default();
                if !turn.is_waiting {
                    // Who did not wait has no claim on the time that others used meanwhile.
                    turn.start = turn.start.max(present);
                    turn.is_waiting = true;
                }
            }
        }
        self.queues.retain(|(_, priority), turns| {
            let present = present[priority];
            turns.retain(|_, turn| turn.is_waiting || turn.start > present);
            !turns.is_empty()
        });
    }

    /// Takes notice of jobs that were leased, in the order of the plan.
    pub fn record(&mut self, snapshot: &Snapshot, leased: &[JobId], now: Time) {
        let lanes = snapshot.lanes.iter();
        let jobs: HashMap<JobId, _> = lanes
            .flat_map(|lane| lane.jobs.iter().map(move |job| (job.job, (lane, job))))
            .collect();
        for (lane, job) in leased.iter().filter_map(|id| jobs.get(id)) {
            let key = (lane.model.clone(), lane.priority);
            let turns = self.queues.entry(key).or_default();
            let turn = turns.entry(lane.tenant.clone()).or_default();
            self.clock = self.clock.max(turn.start);
            let charge = charge(job.estimated_cost, lane.weight.into());
            turn.start = turn.start.saturating_add(charge);
            turn.latest = Some(now);
        }
    }

    /// Takes notice of the classes that a plan has raised.
    pub fn record_raised(&mut self, plan: &Plan, now: Time) {
        for raise in &plan.raised {
            self.raised.insert((raise.class, raise.level), now);
            let queues = self.queues.iter_mut();
            let of_class = queues.filter(|((_, class), _)| *class == raise.class);
            for turn in of_class.flat_map(|(_, turns)| turns.values_mut()) {
                turn.start = turn.start.saturating_add(raise.lift);
            }
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

    /// The start tag of a tenant's next turn in a queue.
    pub(super) fn start(&self, model: &str, priority: Priority, tenant: &str) -> i64 {
        let turns = self.queues.get(&(model.to_owned(), priority));
        let turn = turns.and_then(|turns| turns.get(tenant));
        turn.map_or(self.clock, |turn| turn.start)
    }

    /// Whether the turns of a class are counted together with those of a higher one, because it was raised to it not
    /// long ago.
    pub(super) fn is_raised(&self, class: Priority, level: Priority, now: Time) -> bool {
        let latest = self.raised.get(&(class, level));
        latest.is_some_and(|latest| is_recent(*latest, now))
    }

    pub(super) fn preempted(&self, worker: &str) -> Option<Time> {
        self.preempted_workers.get(worker).copied()
    }

    pub(super) fn helped(&self, job: JobId) -> Option<Time> {
        self.helped_jobs.get(&job).copied()
    }

    /// The fair time that newcomers start at. Not simply the clock: workers of another pool may have driven that far
    /// ahead of those who share workers with the newcomer, and it would wait until they have caught up.
    fn present(&self, class: Priority, now: Time) -> i64 {
        let is_counted_with = |other: Priority| {
            let (upper, lower) = (class.min(other), class.max(other));
            class == other || self.is_raised(lower, upper, now)
        };
        let queues = self.queues.iter();
        let queues = queues.filter(|((_, other), _)| is_counted_with(*other));
        let turns = queues.flat_map(|(_, turns)| turns.values());
        let is_current =
            |turn: &&Turn| turn.is_waiting && turn.latest.is_some_and(|it| is_recent(it, now));
        let starts = turns.filter(is_current).map(|turn| turn.start);
        starts.min().unwrap_or(self.clock)
    }
}

fn is_recent(time: Time, now: Time) -> bool {
    (now - time).to_std().is_ok_and(|age| age < CURRENT)
}

/// The tenants that wait in each queue.
fn waiting(snapshot: &Snapshot) -> BTreeMap<(&str, Priority), BTreeSet<&str>> {
    let mut waiting: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for lane in snapshot.lanes.iter().filter(|lane| !lane.jobs.is_empty()) {
        let tenants = waiting.entry((&*lane.model, lane.priority)).or_default();
        tenants.insert(&*lane.tenant);
    }
    waiting
}
