//! Fake workers: they take what they are granted, and end it when its time has come.

mod attempt;
mod view;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kinora_ids::{JobId, LeaseRef};
use kinora_scheduler::domain::job::{Job, Time};
use kinora_scheduler::domain::model::MemoryNeed;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::workload::{Drawn, Model, WORKER_KINDS};
pub use attempt::{Attempt, Ending};

/// What is known of a job, apart from its row.
#[derive(Clone, Debug)]
pub struct Facts {
    pub drawn: Drawn,
    pub tenant: usize,
    pub submitted: Time,
    pub preemptions: u32,
    /// Attempts that have failed by themselves.
    pub failures: u32,
    /// When its worker vanished, until it is leased again.
    pub lost_at: Option<Time>,
}

/// What the engine has to know of what the scheduler did.
#[derive(Clone, Debug)]
pub enum Order {
    /// An attempt began; it ends by itself.
    Granted { worker: usize, attempt: Attempt },
    /// A lease is to be handed back.
    Preempted { worker: usize, lease: LeaseRef },
}

struct Worker {
    name: String,
    /// Counts its streams.
    session: u128,
    models: Arc<HashMap<String, Option<MemoryNeed>>>,
    memory: u64,
    resident: Option<usize>,
    attempt: Option<Attempt>,
    is_away: bool,
}

#[derive(Default)]
struct State {
    now: Time,
    workers: Vec<Worker>,
    by_name: HashMap<String, usize>,
    by_lease: HashMap<LeaseRef, usize>,
    idle: BTreeSet<usize>,
    facts: HashMap<JobId, Facts>,
    orders: Vec<Order>,
}

/// All workers, attached to one scheduler.
pub struct FakeFleet {
    models: Arc<[Model]>,
    /// Whether workers tell what they have in memory.
    is_affine: bool,
    state: Mutex<State>,
}

impl FakeFleet {
    pub fn new(count: u32, models: Arc<[Model]>, is_affine: bool) -> Self {
        let mut state = State::default();
        let offered = models.iter().map(|it| (it.name.clone(), Some(it.need)));
        let offered = Arc::new(offered.collect());
        for at in 0..count {
            let name = format!("worker-{at:05}");
            let index = state.workers.len();
            state.by_name.insert(name.clone(), index);
            state.idle.insert(index);
            state.workers.push(Worker {
                name,
                session: 1,
                models: Arc::clone(&offered),
                memory: memory_of(at, count),
                resident: None,
                attempt: None,
                is_away: false,
            });
        }
        Self {
            models,
            is_affine,
            state: Mutex::new(state),
        }
    }

    pub fn set_now(&self, now: Time) {
        self.state.lock().now = now;
    }

    pub fn idle_count(&self) -> usize {
        self.state.lock().idle.len()
    }

    pub fn count(&self) -> usize {
        self.state.lock().workers.len()
    }

    /// A worker's name, and its stream.
    pub fn identity(&self, worker: usize) -> (String, Uuid) {
        let state = self.state.lock();
        let worker = &state.workers[worker];
        (worker.name.clone(), Uuid::from_u128(worker.session))
    }

    /// Remembers a job before it is submitted.
    pub fn expect(&self, id: JobId, facts: Facts) {
        self.state.lock().facts.insert(id, facts);
    }

    pub fn forget(&self, id: JobId) -> Option<Facts> {
        self.state.lock().facts.remove(&id)
    }

    pub fn facts(&self, id: JobId) -> Option<Facts> {
        self.state.lock().facts.get(&id).cloned()
    }

    pub fn with_facts(&self, id: JobId, change: impl FnOnce(&mut Facts)) {
        if let Some(facts) = self.state.lock().facts.get_mut(&id) {
            change(facts);
        }
    }

    /// What has happened since the last call.
    pub fn orders(&self) -> Vec<Order> {
        std::mem::take(&mut self.state.lock().orders)
    }

    /// The attempt under a lease, if the worker still has it.
    pub fn running(&self, worker: usize, lease: LeaseRef) -> Option<Attempt> {
        let state = self.state.lock();
        let attempt = state.workers[worker].attempt.as_ref();
        attempt.filter(|attempt| attempt.lease == lease).cloned()
    }

    /// Takes an attempt from its worker, if it still has it. The worker is idle then.
    pub fn end(&self, worker: usize, lease: LeaseRef) -> Option<Attempt> {
        let mut state = self.state.lock();
        let is_current = |attempt: &mut Attempt| attempt.lease == lease;
        let attempt = state.workers[worker].attempt.take_if(is_current)?;
        state.idle.insert(worker);
        state.by_lease.remove(&lease);
        Some(attempt)
    }

    /// Lets a worker vanish, with its memory. None when it was away already.
    pub fn vanish(&self, at: usize) -> Option<Option<Attempt>> {
        let mut state = self.state.lock();
        let worker = &mut state.workers[at];
        if worker.is_away {
            return None;
        }
        worker.is_away = true;
        worker.resident = None;
        let attempt = worker.attempt.take();
        state.idle.remove(&at);
        if let Some(attempt) = &attempt {
            state.by_lease.remove(&attempt.lease);
        }
        Some(attempt)
    }

    /// Lets a worker come back on a new stream.
    pub fn come_back(&self, at: usize) {
        let mut state = self.state.lock();
        state.workers[at].is_away = false;
        state.workers[at].session += 1;
        state.idle.insert(at);
    }

    /// Begins an attempt, from the step of the checkpoint that came with the job.
    fn begin(&self, at: usize, job: &Job) {
        let mut state = self.state.lock();
        let Some(facts) = state.facts.get(&job.id) else {
            return;
        };
        let model = facts.drawn.model;
        let is_resident = state.workers[at].resident == Some(model);
        let load = if is_resident {
            Duration::ZERO
        } else {
            self.models[model].load
        };
        let attempt = Attempt::new(job, facts, load, state.now);
        state.by_lease.insert(attempt.lease, at);
        state.idle.remove(&at);
        state.workers[at].resident = Some(model);
        state.workers[at].attempt = Some(attempt.clone());
        state.orders.push(Order::Granted {
            worker: at,
            attempt,
        });
    }
}

fn memory_of(at: u32, count: u32) -> u64 {
    let mut place = (f64::from(at) + 0.5) / f64::from(count);
    for (memory, share) in WORKER_KINDS {
        if place < share {
            return memory;
        }
        place -= share;
    }
    WORKER_KINDS[WORKER_KINDS.len() - 1].0
}
