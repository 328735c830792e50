//! What waits, what runs and who works, for the metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use sea_orm::prelude::ChronoDateTimeUtc;
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QuerySelect};

use super::entity::{job, worker};
use super::rows::state_to_text;
use super::{JobStore, JobStoreError};
use crate::domain::job::{Priority, State, Time};
use crate::metrics::{Load, QueueLoad, WorkerLoad};

#[derive(FromQueryResult)]
struct Counted {
    model: String,
    state: String,
    jobs: i64,
    oldest: Option<ChronoDateTimeUtc>,
}

impl JobStore {
    /// Counts queues and workers. A worker that was not heard for `worker_ttl` counts as silent.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn load(&self, now: Time, worker_ttl: Duration) -> Result<Load, JobStoreError> {
        let counted = job::Entity::find()
            .select_only()
            .column(job::Column::Model)
            .column(job::Column::State)
            .column_as(job::Column::Id.count(), "jobs")
            .column_as(job::Column::RunAt.min(), "oldest")
            .filter(job::Column::State.is_in([State::Queued, State::Running].map(state_to_text)))
            .group_by(job::Column::Model)
            .group_by(job::Column::State)
            .into_model::<Counted>()
            .all(self.db.reader())
            .await?;
        let mut queues = BTreeMap::new();
        for row in counted {
            let queue = queues
                .entry(row.model.clone())
                .or_insert_with(|| empty(row.model.clone()));
            let jobs = row.jobs.unsigned_abs();
            if row.state == state_to_text(State::Queued) {
                queue.queued = jobs;
                queue.oldest = row.oldest.and_then(|since| (now - since).to_std().ok());
            } else {
                queue.running = jobs;
            }
        }
        let workers = worker::Entity::find().all(self.db.reader()).await?;
        let mut load = Load {
            queues: queues.into_values().collect(),
            workers: WorkerLoad::default(),
        };
        for worker in workers {
            let is_silent = (now - worker.seen_at)
                .to_std()
                .is_ok_and(|silence| silence > worker_ttl);
            let count = match (is_silent, worker.draining) {
                (true, _) => &mut load.workers.silent,
                (false, true) => &mut load.workers.draining,
                (false, false) => &mut load.workers.active,
            };
            *count += 1;
        }
        Ok(load)
    }
}

const fn empty(model: String) -> QueueLoad {
    QueueLoad {
        model,
        class: Priority::Standard,
        queued: 0,
        oldest: None,
        device_time: Duration::ZERO,
        running: 0,
    }
}
