//! What waits, what runs and who works, for the metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use sea_orm::prelude::ChronoDateTimeUtc;
use sea_orm::{EntityTrait, FromQueryResult, QuerySelect};

use super::entity::worker;
use super::rows::{class_from_number, count, duration, state_to_text};
use super::sql::Sql;
use super::{JobStore, JobStoreError};
use crate::domain::job::{State, Time};
use crate::metrics::{Load, QueueLoad, WorkerLoad};

#[derive(FromQueryResult)]
struct Counted {
    model: String,
    class: i16,
    state: String,
    jobs: i64,
    cost: i64,
    oldest: Option<ChronoDateTimeUtc>,
}

#[derive(FromQueryResult)]
struct Heard {
    seen_at: ChronoDateTimeUtc,
    draining: bool,
    cordoned: bool,
    attached: bool,
}

impl JobStore {
    /// Counts queues and workers. A worker whose stream has ended, or that was not heard for `worker_ttl`, counts as
    /// silent.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn load(&self, now: Time, worker_ttl: Duration) -> Result<Load, JobStoreError> {
        Ok(Load {
            queues: self.queue_loads(now).await?,
            workers: self.worker_load(now, worker_ttl).await?,
            settlements: Some(self.settlement_load(now).await?),
        })
    }

    async fn queue_loads(&self, now: Time) -> Result<Vec<QueueLoad>, JobStoreError> {
        let query = Sql::new(
            self.backend(),
            "SELECT model, class, state, COUNT(*) AS jobs, CAST(SUM(cost) AS BIGINT) AS cost, \
             MIN(CASE WHEN is_ready THEN ready_at END) AS oldest FROM job \
             WHERE state IN ('queued', 'running') GROUP BY model, class, state",
        );
        let counted = Counted::find_by_statement(query.build())
            .all(self.db.reader())
            .await?;
        let mut queues = BTreeMap::new();
        for row in counted {
            let class = class_from_number(row.class)?;
            let queue = queues
                .entry((row.model.clone(), class))
                .or_insert_with(|| QueueLoad::empty(row.model, class));
            if row.state == state_to_text(State::Queued) {
                queue.queued = count(row.jobs);
                queue.device_time = duration(row.cost);
                let age = |since: Time| (now - since).to_std().unwrap_or_default();
                queue.oldest = row.oldest.map(age);
            } else {
                queue.running = count(row.jobs);
            }
        }
        Ok(queues.into_values().collect())
    }

    async fn worker_load(
        &self,
        now: Time,
        worker_ttl: Duration,
    ) -> Result<WorkerLoad, JobStoreError> {
        let workers = worker::Entity::find()
            .select_only()
            .columns([
                worker::Column::SeenAt,
                worker::Column::Draining,
                worker::Column::Cordoned,
                worker::Column::Attached,
            ])
            .into_model::<Heard>()
            .all(self.db.reader())
            .await?;
        let mut load = WorkerLoad::default();
        for worker in workers {
            let silence = (now - worker.seen_at).to_std().unwrap_or_default();
            let count = if silence > worker_ttl || !worker.attached {
                &mut load.silent
            } else if worker.draining || worker.cordoned {
                &mut load.draining
            } else {
                &mut load.active
            };
            *count += 1;
        }
        Ok(load)
    }
}
