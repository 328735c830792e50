//! What waits and who works, as of a moment ago.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::App;
use crate::domain::job::{Job, Kind};
use crate::error::Error;
use crate::policy::{Capacity, QueueLoad};
use crate::store::{QueueView, WorkerRow, model_of};

/// What was read from the database is an estimate's basis for this long.
const LEAST_AGE: Duration = Duration::from_secs(1);

/// Reading takes no more than one part in so many of the time.
const SHARE: u32 = 20;

/// Workers that speak an older contract cannot join clips.
const JOINS_CLIPS: u32 = 2;

/// How old something may become that took this long to read, where `most` is soon enough.
pub(super) fn look_age(took: Duration, most: Duration) -> Duration {
    LEAST_AGE.min(most).max(took.saturating_mul(SHARE))
}

/// What waits and who works.
#[derive(Clone, Debug)]
pub(super) struct Outlook {
    began: Instant,
    took: Duration,
    /// The queues of all models.
    pub loads: Vec<QueueLoad>,
    workers: Vec<WorkerRow>,
}

/// The newest outlook. Whoever finds it too old makes a new one while others wait for it.
#[derive(Debug, Default)]
pub(super) struct OutlookCache(Mutex<Option<Arc<Outlook>>>);

impl App {
    /// Whether an attached worker offers the model and has the memory.
    pub(super) async fn fits(&self, job: &Job, memory_bytes: Option<u64>) -> Result<bool, Error> {
        let outlook = self.outlook().await?;
        let has_room = |worker: &&WorkerRow| {
            let total = worker.device_state.memory_total_bytes;
            total == 0 || memory_bytes.is_none_or(|need| need <= total)
        };
        let mut able = outlook.able(model_of(job)).filter(has_room);
        Ok(job.kind == Kind::Stitch || able.next().is_some())
    }

    /// Summing up the queues reads every job in them: the longer it takes, the less often it is done.
    pub(super) async fn outlook(&self) -> Result<Arc<Outlook>, Error> {
        let mut newest = self.outlook.0.lock().await;
        let is_fresh =
            |outlook: &&Arc<Outlook>| outlook.began.elapsed() < look_age(outlook.took, LEAST_AGE);
        if let Some(outlook) = newest.as_ref().filter(is_fresh) {
            return Ok(Arc::clone(outlook));
        }
        let began = Instant::now();
        let since = self.now() - self.options.worker_ttl;
        let loads = self.store.queues().await?.into_iter().map(load).collect();
        let workers = self.store.workers(since).await?;
        let outlook = Arc::new(Outlook {
            began,
            took: began.elapsed(),
            loads,
            workers,
        });
        *newest = Some(Arc::clone(&outlook));
        Ok(outlook)
    }
}

impl Outlook {
    /// Attached workers that offer a model and take leases.
    fn able<'a>(&'a self, model: &'a str) -> impl Iterator<Item = &'a WorkerRow> {
        self.workers.iter().filter(move |worker| {
            let takes_leases = worker.is_attached && !worker.is_draining && !worker.is_cordoned;
            let is_able = if model.is_empty() {
                worker.protocol >= JOINS_CLIPS
            } else {
                worker.models.iter().any(|offered| offered == model)
            };
            takes_leases && is_able
        })
    }

    /// What the workers of a model can take.
    pub fn capacity(&self, model: &str) -> Capacity {
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
