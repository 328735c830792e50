//! Free slots, found by what they can run.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use kinora_ids::JobId;

use super::{Candidate, WorkerView};
use crate::domain::job::Time;
use crate::domain::model::MemoryNeed;

/// Work that needs no model has this one.
const NO_MODEL: &str = "";

/// Free workers, indexed by the models they offer.
pub(super) struct Pool<'a> {
    workers: &'a [WorkerView],
    free: Vec<u32>,
    ranks: Vec<Rank<'a>>,
    resident: HashMap<&'a str, BTreeSet<Rank<'a>>>,
    offered: HashMap<&'a str, BTreeSet<Rank<'a>>>,
    /// Sizes from which on nothing fits, by model and reach. Workers only become fewer during a plan.
    too_large: HashMap<(&'a str, Reach), u64>,
}

/// The order in which workers are tried: those whose memory nobody waits for, then the smallest that fits.
type Rank<'a> = (bool, u64, &'a str, usize);

/// Which workers come into question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reach {
    /// Those with the model in memory.
    Resident,
    /// All that can run it, the resident ones first.
    Any,
}

impl<'a> Pool<'a> {
    /// `wanted` are the models that jobs wait for.
    pub fn new(workers: &'a [WorkerView], wanted: &HashSet<&str>) -> Self {
        let mut pool = Self {
            workers,
            free: Vec::with_capacity(workers.len()),
            ranks: Vec::with_capacity(workers.len()),
            resident: HashMap::new(),
            offered: HashMap::new(),
            too_large: HashMap::new(),
        };
        let mut names = HashSet::new();
        for (at, worker) in workers.iter().enumerate() {
            // A second view of a worker would have its slots twice.
            let is_first = names.insert(worker.worker.as_str());
            pool.free.push(if is_first { worker.free_slots } else { 0 });
            pool.ranks.push(rank(worker, at, wanted));
            if pool.free[at] > 0 {
                pool.index(at, wanted);
            }
        }
        pool
    }

    fn index(&mut self, at: usize, wanted: &HashSet<&str>) {
        let worker = &self.workers[at];
        let rank = self.ranks[at];
        let stitch = worker.can_stitch.then_some(NO_MODEL);
        let models = worker.models.keys().map(String::as_str).chain(stitch);
        // Models that nobody waits for are not looked up.
        for model in models.filter(|model| wanted.contains(model)) {
            let is_resident = worker.resident.iter().any(|resident| resident == model);
            let index = if is_resident || model == NO_MODEL {
                &mut self.resident
            } else {
                &mut self.offered
            };
            index.entry(model).or_default().insert(rank);
        }
    }

    /// The best free worker for a job, without taking it.
    pub fn find(&mut self, model: &'a str, job: &Candidate, reach: Reach) -> Option<usize> {
        let limit = self.too_large.get(&(model, reach));
        if limit.is_some_and(|&limit| job.pixels >= limit) {
            return None;
        }
        let found = self.search(model, job, reach);
        if found.is_none() {
            self.too_large.insert((model, reach), job.pixels);
        }
        found
    }

    fn search(&self, model: &str, job: &Candidate, reach: Reach) -> Option<usize> {
        let offered = match reach {
            Reach::Resident => None,
            Reach::Any => self.offered.get(model),
        };
        let indices = [self.resident.get(model), offered];
        let ranks = indices.into_iter().flatten().flatten();
        let mut second_best = None;
        for &(.., at) in ranks {
            let worker = &self.workers[at];
            if !fits(worker, model, job.pixels) {
                continue;
            }
            // Where it failed before it might fail again.
            if job.last_worker.as_ref() != Some(&worker.worker) {
                return Some(at);
            }
            second_best = Some(at);
        }
        second_best
    }

    /// Takes a slot of a worker.
    pub fn take(&mut self, at: usize) -> &'a WorkerView {
        let worker = &self.workers[at];
        self.free[at] -= 1;
        if self.free[at] == 0 {
            let models = worker.models.keys().map(String::as_str);
            for model in models.chain([NO_MODEL]) {
                for index in [&mut self.resident, &mut self.offered] {
                    if let Some(ranks) = index.get_mut(model) {
                        ranks.remove(&self.ranks[at]);
                    }
                }
            }
        }
        worker
    }

    pub fn worker(&self, at: usize) -> &'a WorkerView {
        &self.workers[at]
    }

    /// Whether a free worker could take the job.
    pub fn has_place(&mut self, model: &'a str, job: &Candidate) -> bool {
        self.find(model, job, Reach::Any).is_some()
    }
}

fn rank<'a>(worker: &'a WorkerView, at: usize, wanted: &HashSet<&str>) -> Rank<'a> {
    let is_wanted = worker.resident.iter().any(|it| wanted.contains(&**it));
    let memory = worker.memory_bytes.unwrap_or(u64::MAX);
    (is_wanted, memory, &worker.worker, at)
}

/// Whether a worker runs a model at all.
pub(super) fn offers(worker: &WorkerView, model: &str) -> bool {
    fits(worker, model, 0)
}

/// Whether a worker can run a clip of this size. What is not known fits.
pub(super) fn fits(worker: &WorkerView, model: &str, pixels: u64) -> bool {
    if model == NO_MODEL {
        return worker.can_stitch;
    }
    let Some(need) = worker.models.get(model) else {
        return false;
    };
    match (need, worker.memory_bytes) {
        (Some(need), Some(memory)) => peak_bytes(*need, pixels) <= memory as f64,
        _ => true,
    }
}

fn peak_bytes(need: MemoryNeed, pixels: u64) -> f64 {
    need.base_bytes as f64 + need.bytes_per_pixel * pixels as f64
}

/// Busy workers with a model in memory that end an attempt soon.
pub(super) struct Soon<'a> {
    by_model: HashMap<&'a str, Vec<(Reverse<Duration>, usize)>>,
    busy: &'a [WorkerView],
    promised: HashSet<JobId>,
}

impl<'a> Soon<'a> {
    /// Of `busy`, those that end an attempt within `horizon`.
    pub fn new(busy: &'a [WorkerView], horizon: Duration, now: Time) -> Self {
        let mut by_model: HashMap<&str, Vec<_>> = HashMap::new();
        for (at, worker) in busy.iter().enumerate() {
            let left = worker
                .running
                .iter()
                .filter_map(|it| it.time_left(now))
                .min();
            let Some(left) = left.filter(|left| *left <= horizon) else {
                continue;
            };
            for model in &worker.resident {
                let soon = by_model.entry(model).or_default();
                soon.push((Reverse(left), at));
            }
        }
        for soon in by_model.values_mut() {
            soon.sort_unstable();
        }
        Self {
            by_model,
            busy,
            promised: HashSet::new(),
        }
    }

    /// Whether a job does better to wait `patience` for one of them. Each is promised to one job only.
    pub fn is_worth_waiting(&mut self, model: &str, job: &Candidate, patience: Duration) -> bool {
        if self.promised.contains(&job.job) {
            return true;
        }
        let Some(soon) = self.by_model.get_mut(model) else {
            return false;
        };
        // The soonest is last.
        let fitting = |&(Reverse(left), at): &(Reverse<Duration>, usize)| {
            left <= patience && fits(&self.busy[at], model, job.pixels)
        };
        let Some(found) = soon.iter().rposition(fitting) else {
            return false;
        };
        soon.remove(found);
        self.promised.insert(job.job)
    }
}

impl super::Running {
    /// Expected time until the attempt ends, at the pace so far. None while it has not got anywhere.
    pub(super) fn time_left(&self, now: Time) -> Option<Duration> {
        let spent = (now - self.started).to_std().ok()?;
        let done = self.fraction.clamp(0.0, 1.0);
        (done > 0.0)
            .then(|| Duration::try_from_secs_f64(spent.as_secs_f64() * (1.0 - done) / done).ok())?
    }
}
