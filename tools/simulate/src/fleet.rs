//! Fake workers: they take what they are granted, and end it when its time has come.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kinora_ids::{JobId, LeaseRef};
use kinora_scheduler::dispatch::Fleet;
use kinora_scheduler::domain::job::{Job, Priority, Time};
use kinora_scheduler::policy::{Running, WorkerView};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::workload::{Drawn, Model, WORKER_KINDS};

/// From the order to hand a lease back until the checkpoint is stored.
const HAND_BACK: Duration = Duration::from_secs(1);

/// What is known of a job, apart from its row.
#[derive(Clone, Debug)]
pub struct Facts {
    pub drawn: Drawn,
    pub tenant: usize,
    pub submitted: Time,
    /// Device time that is left after hand-backs.
    pub left: Duration,
    pub preemptions: u32,
    pub has_started: bool,
}

/// An attempt on a worker.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub lease: LeaseRef,
    pub started: Time,
    /// For weights; none when they were there.
    pub load: Duration,
    pub ends: Time,
    /// Its class, for those who look whom to pre-empt.
    class: Priority,
    model: String,
    preemptions: u32,
    is_called_back: bool,
}

/// What the engine has to know of what the scheduler did.
#[derive(Clone, Debug)]
pub enum Order {
    /// An attempt began; it ends by itself.
    Granted { worker: usize, attempt: Attempt },
    /// A lease is to be handed back then.
    Preempted {
        worker: usize,
        lease: LeaseRef,
        at: Time,
    },
}

struct Worker {
    name: String,
    models: Arc<HashMap<String, Option<kinora_scheduler::domain::model::MemoryNeed>>>,
    memory: u64,
    resident: Option<usize>,
    attempt: Option<Attempt>,
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
    session: Uuid,
    models: Arc<[Model]>,
    state: Mutex<State>,
}

impl FakeFleet {
    pub fn new(count: u32, models: Arc<[Model]>) -> Self {
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
                models: Arc::clone(&offered),
                memory: memory_of(at, count),
                resident: None,
                attempt: None,
            });
        }
        Self {
            session: Uuid::from_u128(1),
            models,
            state: Mutex::new(state),
        }
    }

    /// Names and stream of all workers.
    pub fn names(&self) -> (Vec<String>, Uuid) {
        let state = self.state.lock();
        let names = state.workers.iter().map(|it| it.name.clone()).collect();
        (names, self.session)
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

    /// What still runs.
    pub fn unfinished(&self) -> Vec<Attempt> {
        let state = self.state.lock();
        let attempts = state.workers.iter().filter_map(|it| it.attempt.clone());
        attempts.collect()
    }

    pub fn name(&self, worker: usize) -> String {
        self.state.lock().workers[worker].name.clone()
    }

    /// Remembers a job before it is submitted.
    pub fn expect(&self, id: JobId, facts: Facts) {
        self.state.lock().facts.insert(id, facts);
    }

    pub fn facts(&self, id: JobId) -> Option<Facts> {
        self.state.lock().facts.get(&id).cloned()
    }

    /// What has happened since the last call.
    pub fn orders(&self) -> Vec<Order> {
        std::mem::take(&mut self.state.lock().orders)
    }

    /// Ends an attempt, if the worker still has it. `is_done` forgets the job.
    pub fn end(&self, worker: usize, lease: LeaseRef, is_done: bool) -> Option<Attempt> {
        let mut state = self.state.lock();
        let now = state.now;
        let is_current = |attempt: &mut Attempt| attempt.lease == lease;
        let attempt = state.workers[worker].attempt.take_if(is_current)?;
        state.idle.insert(worker);
        state.by_lease.remove(&lease);
        if is_done {
            state.facts.remove(&lease.job);
        } else if let Some(facts) = state.facts.get_mut(&lease.job) {
            facts.left = facts.left.saturating_sub(attempt.worked(now));
            facts.preemptions += 1;
        }
        Some(attempt)
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

impl Attempt {
    /// Time that went into the clip, without loading.
    pub fn worked(&self, now: Time) -> Duration {
        let spent = (now.min(self.ends) - self.started).to_std();
        spent.unwrap_or_default().saturating_sub(self.load)
    }

    fn fraction(&self, now: Time) -> f64 {
        let spent = (now - self.started).to_std().unwrap_or_default();
        let whole = (self.ends - self.started).to_std().unwrap_or_default();
        (spent.as_secs_f64() / whole.as_secs_f64().max(1e-9)).min(1.0)
    }
}

impl State {
    fn view(&self, at: usize, models: &[Model], session: Uuid) -> WorkerView {
        let worker = &self.workers[at];
        let running = worker.attempt.as_ref().map(|attempt| Running {
            lease: attempt.lease,
            model: attempt.model.clone(),
            priority: attempt.class,
            started: attempt.started,
            fraction: if attempt.is_called_back { 1.0 } else { attempt.fraction(self.now) },
            preemptions: attempt.preemptions,
        });
        let resident = worker.resident.map(|model| models[model].name.clone());
        WorkerView {
            worker: worker.name.clone(),
            session,
            free_slots: u32::from(running.is_none()),
            models: Arc::clone(&worker.models),
            resident: resident.into_iter().collect(),
            memory_bytes: Some(worker.memory),
            can_stitch: false,
            running: running.into_iter().collect(),
        }
    }
}

impl Fleet for FakeFleet {
    fn idle(&self) -> Vec<WorkerView> {
        let state = self.state.lock();
        let idle = state.idle.iter();
        idle.map(|at| state.view(*at, &self.models, self.session)).collect()
    }

    fn busy(&self) -> Vec<WorkerView> {
        let state = self.state.lock();
        let all = 0..state.workers.len();
        all.filter(|at| !state.idle.contains(at))
            .map(|at| state.view(at, &self.models, self.session))
            .collect()
    }

    fn grant(&self, worker: &str, _session: Uuid, job: Job) {
        let mut state = self.state.lock();
        let (Some(&at), Some(facts)) = (state.by_name.get(worker), state.facts.get(&job.id)) else {
            return;
        };
        let model = facts.drawn.model;
        let is_resident = state.workers[at].resident == Some(model);
        let load = if is_resident { Duration::ZERO } else { self.models[model].load };
        let attempt = Attempt {
            lease: job.newest_lease(),
            started: state.now,
            load,
            ends: state.now + load + facts.left,
            class: job.priority,
            model: job.spec.model,
            preemptions: facts.preemptions,
            is_called_back: false,
        };
        state.by_lease.insert(attempt.lease, at);
        state.idle.remove(&at);
        state.workers[at].resident = Some(model);
        state.workers[at].attempt = Some(attempt.clone());
        if let Some(facts) = state.facts.get_mut(&job.id) {
            facts.has_started = true;
        }
        state.orders.push(Order::Granted { worker: at, attempt });
    }

    fn preempt(&self, lease: LeaseRef) {
        let mut state = self.state.lock();
        let at = state.now + HAND_BACK;
        let Some(&worker) = state.by_lease.get(&lease) else {
            return;
        };
        if let Some(attempt) = &mut state.workers[worker].attempt {
            attempt.is_called_back = true;
        }
        state.orders.push(Order::Preempted { worker, lease, at });
    }
}
