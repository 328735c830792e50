//! A scheduler at work in real time: jobs come in, are leased as slots free, and take their time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use kinora_ids::JobId;
use kinora_scheduler::domain::job::Job;
use kinora_scheduler::policy::WorkerView;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::fleet::Fleet;
use crate::place::Place;

/// Between two rounds, as in the scheduler.
const PAUSE: Duration = Duration::from_millis(10);

/// A fleet that works until it is stopped.
pub struct Shop {
    pub place: Arc<Place>,
    pub fleet: Fleet,
    /// What a job takes on average; between half and one and a half of it.
    pub service: Duration,
}

impl Shop {
    /// Leases and completes jobs until `stop`. Returns when each of them was leased.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(Self, HashMap<JobId, Instant>)> {
        let mut free = self.fleet.views();
        let mut leased_at = HashMap::new();
        let mut luck = StdRng::seed_from_u64(1);
        let (freed, mut frees) = mpsc::unbounded_channel();
        let mut running = JoinSet::new();
        let mut tick = interval(PAUSE);
        while !stop.is_cancelled() {
            tick.tick().await;
            while let Ok(worker) = frees.try_recv() {
                free.push(worker);
            }
            while let Some(ended) = running.try_join_next() {
                ended??;
            }
            if free.is_empty() {
                continue;
            }
            for job in self.fleet.round(&self.place, &free).await? {
                leased_at.insert(job.id, Instant::now());
                let Some(at) = free
                    .iter()
                    .position(|it| job.worker.as_ref() == Some(&it.worker))
                else {
                    continue;
                };
                let worker = free.swap_remove(at);
                let service = self.service.mul_f64(luck.random_range(0.5..1.5));
                running.spawn(work(
                    Arc::clone(&self.place),
                    job,
                    service,
                    worker,
                    freed.clone(),
                ));
            }
        }
        for ended in running.join_all().await {
            ended?;
        }
        Ok((self, leased_at))
    }
}

async fn work(
    place: Arc<Place>,
    job: Job,
    service: Duration,
    worker: WorkerView,
    freed: mpsc::UnboundedSender<WorkerView>,
) -> Result<()> {
    sleep(service).await;
    place.complete(&job).await?;
    // Nobody takes it back once the shop is shut.
    let _ = freed.send(worker);
    Ok(())
}
