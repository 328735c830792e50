//! When a job that might be submitted would start, and whether any worker could take it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::App;
use crate::domain::job::{Job, Kind, Time};
use crate::error::Error;
use crate::policy::{Asked, Capacity, Lane, QueueLoad, estimate_wait};
use crate::store::{Bounds, QueueView, WorkerRow};

/// Summing up the queues reads every job in them: once in this time is enough for an estimate.
const OUTLOOK_AGE: Duration = Duration::from_secs(1);

/// The share of a tenant, where nothing else is known.
const USUAL_WEIGHT: u32 = 100;

/// What waits and who works.
#[derive(Clone, Debug)]
struct Outlook {
    seen_at: Time,
    loads: Vec<QueueLoad>,
    workers: Vec<WorkerRow>,
}

/// The newest outlook. Whoever finds it too old makes a new one while others wait for it.
#[derive(Debug, Default)]
pub(super) struct OutlookCache(Mutex<Option<Arc<Outlook>>>);

impl App {
    /// Time until a worker takes a job like this one, by the order of the dispatch. None while none offers its model.
    pub(super) async fn expected_wait(&self, job: &Job) -> Result<Option<Duration>, Error> {
        let outlook = self.outlook().await?;
        let model = &job.work().model;
        let models = std::slice::from_ref(model);
        let snapshot = self.store.snapshot(models, Bounds::default()).await?;
        let is_own = |lane: &&Lane| {
            lane.owner == job.owner && lane.priority == job.priority && lane.model == *model
        };
        let ahead = snapshot.lanes.iter().find(is_own);
        let asked = Asked {
            model,
            priority: job.priority,
            tenant: &job.tenant,
            owner: &job.owner,
            estimated_cost: job.estimated_cost,
            weight: ahead.map_or(USUAL_WEIGHT, |lane| lane.weight),
            ahead_in_lane: ahead.map_or(0, |lane| lane.jobs.len() as u64),
        };
        let capacity = outlook.capacity(model);
        Ok(estimate_wait(&asked, &snapshot, &outlook.loads, capacity).wait)
    }

    /// Whether an attached worker offers the model and has the memory.
    pub(super) async fn fits(&self, job: &Job, memory_bytes: Option<u64>) -> Result<bool, Error> {
        let outlook = self.outlook().await?;
        let has_room = |worker: &&WorkerRow| {
            let total = worker.device_state.memory_total_bytes;
            total == 0 || memory_bytes.is_none_or(|need| need <= total)
        };
        let mut able = outlook.able(&job.work().model).filter(has_room);
        Ok(job.kind == Kind::Stitch || able.next().is_some())
    }

    async fn outlook(&self) -> Result<Arc<Outlook>, Error> {
        let now = self.now();
        let mut newest = self.outlook.0.lock().await;
        if let Some(outlook) = newest.as_ref()
            && (now - outlook.seen_at)
                .to_std()
                .is_ok_and(|age| age < OUTLOOK_AGE)
        {
            return Ok(Arc::clone(outlook));
        }
        let since = now - self.options.worker_ttl;
        let outlook = Arc::new(Outlook {
            seen_at: now,
            loads: self.store.queues().await?.into_iter().map(load).collect(),
            workers: self.store.workers(since).await?,
        });
        *newest = Some(Arc::clone(&outlook));
        Ok(outlook)
    }
}

impl Outlook {
    /// Attached workers that offer a model and take leases.
    fn able(&self, model: &str) -> impl Iterator<Item = &WorkerRow> {
        self.workers.iter().filter(move |worker| {
            let takes_leases = worker.is_attached && !worker.is_draining && !worker.is_cordoned;
            takes_leases && worker.models.iter().any(|offered| offered == model)
        })
    }

    fn capacity(&self, model: &str) -> Capacity {
        self.able(model).fold(Capacity::default(), |sum, worker| {
            let running = u32::try_from(worker.jobs.len()).unwrap_or(u32::MAX);
            Capacity {
                slots: sum.slots + worker.slots,
                free: sum.free + worker.slots.saturating_sub(running),
            }
        })
    }
}

fn load(queue: QueueView) -> QueueLoad {
    QueueLoad {
        model: queue.model,
        priority: queue.priority,
        jobs: queue.jobs,
        cost: queue.device_time,
    }
}
