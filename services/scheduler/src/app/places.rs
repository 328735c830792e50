//! Where queued jobs stand: one look at a queue answers for all who watch its jobs.
//!
//! A look is bounded, is at most a second old unless looking takes long, and is shared: however many watchers there
//! are, the database is read once. Jobs that came after it are added to it as they are asked about.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kinora_ids::JobId;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::App;
use super::outlook::look_age;
use crate::domain::job::{Job, Priority, State, Time};
use crate::error::Error;
use crate::policy::{Asked, Capacity, QueueLoad, Snapshot, estimate_wait};
use crate::store::{Bounds, ReadyJob, model_of};

/// Jobs of each class that a look reads.
const MOST_READ: u32 = 4096;

/// The share of a tenant, where nothing else is known.
const USUAL_WEIGHT: u32 = 100;

const CLASSES: [Priority; 3] = [Priority::Interactive, Priority::Standard, Priority::Batch];

/// Where a queued job stands, by the dispatch policy's own order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePlace {
    /// Jobs that are likely to go first.
    pub ahead: u64,
    /// Time until a worker is likely to take it, rounded up to what people care for. None while unknown.
    pub wait: Option<Duration>,
}

/// The newest look at each queue.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<String, Arc<Queue>>>);

/// What waits for one model.
#[derive(Debug, Default)]
struct Queue {
    newest: Mutex<Option<Board>>,
    /// Held by who looks; others make do with what there is.
    looking: tokio::sync::Mutex<()>,
}

/// A look at what waits for one model.
#[derive(Debug)]
struct Board {
    began: Instant,
    took: Duration,
    snapshot: Snapshot,
    capacity: Capacity,
    loads: Vec<QueueLoad>,
    lines: HashMap<(Priority, String), Vec<JobId>>,
    cuts: Vec<Cut>,
}

/// A class of which not all jobs were read.
#[derive(Clone, Copy, Debug)]
struct Cut {
    class: Priority,
    last: JobId,
    read: u64,
}

impl App {
    /// Where a job stands in the queue. None unless it is queued.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn queue_place(&self, job: &Job) -> Result<Option<QueuePlace>, Error> {
        if job.state != State::Queued {
            return Ok(None);
        }
        self.place(job, true).await.map(Some)
    }

    /// Time until a worker takes a job like this one, which is not in the queue yet. None while none offers its model.
    pub(super) async fn expected_wait(&self, job: &Job) -> Result<Option<Duration>, Error> {
        Ok(self.place(job, false).await?.wait)
    }

    async fn place(&self, job: &Job, is_queued: bool) -> Result<QueuePlace, Error> {
        let model = model_of(job);
        let queue = self.places.queue(model);
        let now = self.now();
        let most = self.options.poll_interval;
        let answer = |is_old_enough: bool| {
            let mut newest = queue.newest.lock();
            let board = newest.as_mut()?;
            (is_old_enough || board.is_fresh(most)).then(|| board.place(job, is_queued, now))
        };
        if let Some(place) = answer(false) {
            return Ok(place);
        }
        let _looking = match queue.looking.try_lock() {
            Ok(looking) => looking,
            Err(_) => match answer(true) {
                Some(place) => return Ok(place),
                None => queue.looking.lock().await,
            },
        };
        if let Some(place) = answer(false) {
            return Ok(place);
        }
        let mut board = self.look(model).await?;
        let place = board.place(job, is_queued, now);
        *queue.newest.lock() = Some(board);
        Ok(place)
    }

    async fn look(&self, model: &str) -> Result<Board, Error> {
        let began = Instant::now();
        let models = [model.to_owned()];
        let snapshot = self.store.snapshot(&models, Bounds::default()).await?;
        let outlook = self.outlook().await?;
        let mut board = Board {
            began,
            took: Duration::ZERO,
            snapshot,
            capacity: outlook.capacity(model),
            loads: Vec::new(),
            lines: HashMap::new(),
            cuts: Vec::new(),
        };
        for class in CLASSES {
            let jobs = self.store.ready_jobs(model, class, MOST_READ).await?;
            let of_class = |load: &&QueueLoad| load.model == model && load.priority == class;
            let summed_up = outlook.loads.iter().find(of_class);
            board.add_class(model, class, jobs, summed_up);
        }
        board.took = began.elapsed();
        Ok(board)
    }
}

impl Places {
    fn queue(&self, model: &str) -> Arc<Queue> {
        let mut queues = self.0.lock();
        if let Some(queue) = queues.get(model) {
            return Arc::clone(queue);
        }
        let queue = Arc::default();
        queues.insert(model.to_owned(), Arc::clone(&queue));
        queue
    }
}

impl Board {
    fn is_fresh(&self, most: Duration) -> bool {
        self.began.elapsed() < look_age(self.took, most)
    }

    fn add_class(
        &mut self,
        model: &str,
        class: Priority,
        jobs: Vec<ReadyJob>,
        summed_up: Option<&QueueLoad>,
    ) {
        let read = jobs.len() as u64;
        let mut load = QueueLoad {
            model: model.to_owned(),
            priority: class,
            jobs: read,
            cost: jobs.iter().map(|job| job.estimated_cost).sum(),
        };
        if let Some(last) = jobs.last()
            && read >= u64::from(MOST_READ)
        {
            let last = last.id;
            self.cuts.push(Cut { class, last, read });
            // The sums are of another moment.
            load.jobs = summed_up.map_or(0, |sum| sum.jobs).max(load.jobs);
            load.cost = summed_up.map_or(load.cost, |sum| sum.cost).max(load.cost);
        }
        self.loads.push(load);
        for job in jobs {
            let line = self.lines.entry((class, job.owner)).or_default();
            line.push(job.id);
        }
    }

    fn place(&mut self, job: &Job, is_queued: bool, now: Time) -> QueuePlace {
        let is_free = job.needs.iter().all(|need| need.is_met);
        if is_queued && is_free && job.run_at <= now {
            self.add(job);
        }
        let of_tenant = self
            .snapshot
            .lanes
            .iter()
            .find(|lane| lane.tenant == job.tenant);
        let asked = Asked {
            model: model_of(job),
            priority: job.priority,
            tenant: &job.tenant,
            owner: &job.owner,
            estimated_cost: job.estimated_cost,
            weight: of_tenant.map_or(USUAL_WEIGHT, |lane| lane.weight),
            ahead_in_lane: self.ahead_in_lane(job),
        };
        let estimate = estimate_wait(&asked, &self.snapshot, &self.loads, self.capacity);
        let until_due = (job.run_at - now).to_std().unwrap_or_default();
        let wait = estimate.wait.filter(|_| is_free);
        QueuePlace {
            ahead: estimate.jobs_ahead,
            wait: wait.map(|wait| rounded(wait.max(until_due))),
        }
    }

    /// Jobs of the same owner that go before. Among those that were not read they are taken to be as many as among those
    /// that were.
    fn ahead_in_lane(&self, job: &Job) -> u64 {
        let line = self.lines.get(&(job.priority, job.owner.clone()));
        let ahead = line.map_or(0, |line| line.partition_point(|id| *id < job.id)) as u64;
        match self.cut(job) {
            Some(cut) => {
                let load = self.loads.iter().find(|load| load.priority == job.priority);
                let jobs = load.map_or(cut.read, |load| load.jobs);
                ahead.saturating_mul(jobs) / cut.read.max(1)
            }
            None => ahead,
        }
    }

    /// Set when the job is beyond what was read.
    fn cut(&self, job: &Job) -> Option<Cut> {
        let mut cuts = self.cuts.iter().copied();
        cuts.find(|cut| cut.class == job.priority && cut.last < job.id)
    }

    /// Adds a job that came after the look.
    fn add(&mut self, job: &Job) {
        if self.cut(job).is_some() {
            return;
        }
        let line = self
            .lines
            .entry((job.priority, job.owner.clone()))
            .or_default();
        let Err(position) = line.binary_search(&job.id) else {
            return;
        };
        line.insert(position, job.id);
        let of_class = |load: &&mut QueueLoad| load.priority == job.priority;
        if let Some(load) = self.loads.iter_mut().find(of_class) {
            load.jobs += 1;
            load.cost += job.estimated_cost;
        }
    }
}

/// Rounds up, so that watchers are told when it matters and not with every tick.
fn rounded(wait: Duration) -> Duration {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let step = match seconds {
        0..60 => 1,
        60..600 => 10,
        600..7200 => 60,
        _ => 600,
    };
    Duration::from_secs(seconds.next_multiple_of(step))
}

#[cfg(test)]
mod tests;
