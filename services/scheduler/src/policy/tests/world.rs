//! A queue in memory that tags lanes as the store does, for tests of the order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use kinora_ids::{JobId, LeaseRef};
use uuid::Uuid;

use crate::domain::job::{Priority, Time, tenant_of};
use crate::domain::model::MemoryNeed;
use crate::policy::{
    Assignment, Bounds, Candidate, Lane, Running, Snapshot, Usage, WorkerView, charge,
};

type LaneKey = (String, Priority, String);

#[derive(Default)]
struct LaneState {
    tag: i64,
    finish: i64,
    waiting: VecDeque<Candidate>,
}

struct Taken {
    lane: LaneKey,
    cost: Duration,
}

/// Jobs and what runs.
#[derive(Default)]
pub(crate) struct World {
    pub now: Time,
    pub weights: HashMap<String, u32>,
    /// By tenant or by owner.
    pub caps: HashMap<String, u32>,
    /// Device time that was leased, by tenant.
    pub served: BTreeMap<String, Duration>,
    lanes: BTreeMap<LaneKey, LaneState>,
    clocks: HashMap<(String, Priority), i64>,
    running: HashMap<JobId, Taken>,
    last_id: u128,
}

impl World {
    pub fn pass(&mut self, time: Duration) {
        self.now += TimeDelta::from_std(time).expect("a short time");
    }

    pub fn submit(&mut self, owner: &str, model: &str, class: Priority, cost: Duration) -> JobId {
        self.submit_sized(owner, model, class, (cost, 1))
    }

    pub fn submit_sized(
        &mut self,
        owner: &str,
        model: &str,
        class: Priority,
        (cost, pixels): (Duration, u64),
    ) -> JobId {
        self.last_id += 1;
        let job = JobId::from_uuid(Uuid::from_u128(self.last_id));
        let key = (model.to_owned(), class, owner.to_owned());
        let candidate = Candidate {
            job,
            ready_since: self.now,
            estimated_cost: cost,
            pixels,
            last_worker: None,
        };
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.waiting.push_back(candidate);
        if lane.waiting.len() == 1 {
            self.tag(&key);
        }
        job
    }

    /// Gives the head of a lane its tag.
    fn tag(&mut self, key: &LaneKey) {
        let (model, class, owner) = key;
        let tenant = tenant_of(owner);
        let weight = self.weight(tenant);
        let clock = self.clocks.get(&(model.clone(), *class)).copied();
        let siblings = self
            .lanes
            .iter()
            .filter(|((of, at, who), _)| (of, at) == (model, class) && tenant_of(who) == tenant);
        let finish = siblings.map(|(_, lane)| lane.finish).max();
        let start = clock.unwrap_or(0).max(finish.unwrap_or(0));
        let lane = self.lanes.get_mut(key).expect("the lane is there");
        if let Some(head) = lane.waiting.front() {
            lane.tag = start;
            lane.finish = start + charge(head.estimated_cost, weight.into());
        }
    }

    fn weight(&self, tenant: &str) -> u32 {
        self.weights.get(tenant).copied().unwrap_or(100)
    }

    pub fn waiting(&self, owner: &str) -> usize {
        let lanes = self.lanes.iter().filter(|((_, _, who), _)| who == owner);
        lanes.map(|(_, lane)| lane.waiting.len()).sum()
    }

    /// The bounded look that the store would give.
    pub fn snapshot(&self, bounds: Bounds) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut queues: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, lane) in self.lanes.iter().filter(|(_, it)| !it.waiting.is_empty()) {
            let queue = queues.entry((&key.0, key.1)).or_default();
            queue.push((lane.tag, &key.2, lane));
        }
        for ((model, priority), mut lanes) in queues {
            lanes.sort_by_key(|(tag, owner, _)| (*tag, *owner));
            lanes.truncate(bounds.lanes as usize);
            snapshot.has_more |= lanes.len() == bounds.lanes as usize;
            let most = bounds.jobs_of_each(u32::try_from(lanes.len()).expect("few"));
            for (start_tag, owner, lane) in lanes {
                let tenant = tenant_of(owner).to_owned();
                let jobs: Vec<_> = lane.waiting.iter().take(most as usize).cloned().collect();
                snapshot.tenants.insert(tenant.clone(), self.usage(&tenant));
                snapshot.owners.insert(owner.clone(), self.usage(owner));
                snapshot.lanes.push(Lane {
                    model: model.clone(),
                    priority,
                    owner: owner.clone(),
                    start_tag,
                    weight: self.weight(&tenant),
                    tenant,
                    has_more: jobs.len() == most as usize,
                    jobs,
                });
            }
        }
        snapshot
    }

    fn usage(&self, name: &str) -> Usage {
        let is_of = |taken: &&Taken| taken.lane.2 == name || tenant_of(&taken.lane.2) == name;
        Usage {
            running: u32::try_from(self.running.values().filter(is_of).count()).expect("few"),
            max_running: self.caps.get(name).copied().unwrap_or(0),
        }
    }

    /// Leases what still waits.
    pub fn claim(&mut self, assignments: &[Assignment]) -> Vec<JobId> {
        let mut leased = Vec::new();
        for assignment in assignments {
            let found = self.lanes.iter().find_map(|(key, lane)| {
                let mut jobs = lane.waiting.iter();
                let at = jobs.position(|it| it.job == assignment.job)?;
                Some((key.clone(), at))
            });
            let Some((key, at)) = found else { continue };
            let lane = self.lanes.get_mut(&key).expect("the lane is there");
            let job = lane.waiting.remove(at).expect("the job is there");
            let clock = self.clocks.entry((key.0.clone(), key.1)).or_default();
            *clock = (*clock).max(lane.tag);
            self.tag(&key);
            let cost = job.estimated_cost;
            *self.served.entry(tenant_of(&key.2).to_owned()).or_default() += cost;
            self.running.insert(job.job, Taken { lane: key, cost });
            leased.push(job.job);
        }
        leased
    }

    /// How long a leased job takes.
    pub fn cost(&self, job: JobId) -> Duration {
        self.running[&job].cost
    }

    pub fn end(&mut self, job: JobId) {
        self.running.remove(&job).expect("the job runs");
    }
}

/// A worker that can take `slots` jobs of these models.
pub(crate) fn worker(name: &str, slots: u32, models: &[&str]) -> WorkerView {
    let offered = models.iter().map(|model| ((*model).to_owned(), None));
    WorkerView {
        worker: name.to_owned(),
        session: Uuid::from_u128(7),
        free_slots: slots,
        models: Arc::new(offered.collect()),
        resident: Vec::new(),
        memory_bytes: None,
        can_stitch: true,
        running: Vec::new(),
    }
}

/// The same worker with memory for `bytes`, where a clip needs a byte a pixel.
pub(crate) fn sized(mut worker: WorkerView, bytes: u64) -> WorkerView {
    let need = MemoryNeed {
        base_bytes: 0,
        bytes_per_pixel: 1.0,
    };
    let models = worker
        .models
        .keys()
        .map(|model| (model.clone(), Some(need)));
    worker.models = Arc::new(models.collect());
    worker.memory_bytes = Some(bytes);
    worker
}

/// An attempt that began `spent` ago.
pub(crate) fn running(
    id: u128,
    class: Priority,
    fraction: f64,
    (now, spent): (Time, Duration),
) -> Running {
    Running {
        lease: LeaseRef {
            job: JobId::from_uuid(Uuid::from_u128(id)),
            lease: 1,
        },
        model: "x".to_owned(),
        priority: class,
        started: now - TimeDelta::from_std(spent).expect("a short time"),
        fraction,
        preemptions: 0,
    }
}
