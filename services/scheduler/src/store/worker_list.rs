//! Workers as operators see them.

use std::collections::HashMap;

use kinora_ids::JobId;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
};
use uuid::Uuid;

use super::entity::worker;
use super::rows::{count, from_json, number};
use super::sql::Sql;
use super::{JobStore, JobStoreError};
use crate::domain::job::Time;

/// What a worker says of its device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceState {
    /// Models in its memory.
    pub resident_models: Vec<String>,
    /// 0 when it is not known.
    pub memory_total_bytes: u64,
    /// For a clip and its model. 0 when it is not known.
    pub memory_free_bytes: u64,
}

/// What operators want of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromQueryResult)]
pub struct Wishes {
    /// That it gets no new leases.
    pub is_cordoned: bool,
    /// That it hands back what it runs and ends.
    pub is_drained: bool,
}

/// A worker and what it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRow {
    /// Its stable name.
    pub id: String,
    /// Its newest stream.
    pub session: Uuid,
    /// The process behind it.
    pub instance: String,
    /// For people.
    pub version: String,
    /// For people.
    pub device: String,
    /// May be empty.
    pub pool: String,
    /// What it speaks.
    pub protocol: u32,
    /// Leases it takes at a time.
    pub slots: u32,
    /// What it can run.
    pub models: Vec<String>,
    /// Its device.
    pub device_state: DeviceState,
    /// Whether its newest stream stood when it was last heard.
    pub is_attached: bool,
    /// Whether it takes no new leases by its own wish.
    pub is_draining: bool,
    /// Whether it gets no new leases by an operator's wish.
    pub is_cordoned: bool,
    /// When it was last heard.
    pub seen_at: Time,
    /// Jobs that run on it.
    pub jobs: Vec<JobId>,
}

impl JobStore {
    /// Workers that were heard at or after `since`, by name.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn workers(&self, since: Time) -> Result<Vec<WorkerRow>, JobStoreError> {
        #[derive(FromQueryResult)]
        struct Running {
            worker: Option<String>,
            id: Uuid,
        }
        let rows = worker::Entity::find()
            .filter(worker::Column::SeenAt.gte(since))
            .order_by_asc(worker::Column::Id)
            .all(self.db.reader())
            .await?;
        let running = "SELECT worker_id AS worker, id FROM job WHERE state = 'running' ORDER BY id";
        let running = Running::find_by_statement(Sql::new(self.backend(), running).build());
        let mut jobs: HashMap<String, Vec<JobId>> = HashMap::new();
        for row in running.all(self.db.reader()).await? {
            let of_worker = jobs.entry(row.worker.unwrap_or_default()).or_default();
            of_worker.push(JobId::from_uuid(row.id));
        }
        rows.into_iter()
            .map(|row| {
                let jobs = jobs.remove(&row.id).unwrap_or_default();
                from_row(row, jobs)
            })
            .collect()
    }

    /// Forgets workers that were last heard before `since`, run nothing and are not cordoned. Returns how many.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn forget_workers(&self, since: Time) -> Result<u64, JobStoreError> {
        let delete = Sql::new(self.backend(), "DELETE FROM worker WHERE seen_at < ")
            .bind(since)
            .then(
                " AND NOT cordoned AND NOT EXISTS \
                 (SELECT 1 FROM job WHERE job.state = 'running' AND job.worker_id = worker.id)",
            );
        let deleted = self.db.writer().execute_raw(delete.build()).await?;
        Ok(deleted.rows_affected())
    }

    /// One worker by its name, whenever it was heard; none for an unknown name.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn worker(&self, id: &str) -> Result<Option<WorkerRow>, JobStoreError> {
        #[derive(FromQueryResult)]
        struct Running {
            id: Uuid,
        }
        let db = self.db.reader();
        let Some(row) = worker::Entity::find_by_id(id).one(db).await? else {
            return Ok(None);
        };
        let running = "SELECT id FROM job WHERE state = 'running' AND worker_id = ";
        let running = Sql::new(self.backend(), running)
            .bind(id)
            .then(" ORDER BY id");
        let running = Running::find_by_statement(running.build()).all(db).await?;
        let jobs = running.iter().map(|row| JobId::from_uuid(row.id));
        from_row(row, jobs.collect()).map(Some)
    }

    /// Records what operators want of a worker. False for an unknown name.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn set_wishes(&self, worker: &str, wishes: Wishes) -> Result<bool, JobStoreError> {
        let updated = worker::Entity::update_many()
            .col_expr(worker::Column::Cordoned, Expr::value(wishes.is_cordoned))
            .col_expr(worker::Column::DrainOrdered, Expr::value(wishes.is_drained))
            .filter(worker::Column::Id.eq(worker))
            .exec(self.db.writer())
            .await?;
        Ok(updated.rows_affected == 1)
    }

    /// Records that a worker's stream has ended. Its leases stand; nothing happens when a newer stream has taken over.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn detach(&self, worker: &str, session: Uuid) -> Result<(), JobStoreError> {
        worker::Entity::update_many()
            .col_expr(worker::Column::Attached, Expr::value(false))
            .filter(worker::Column::Id.eq(worker))
            .filter(worker::Column::Session.eq(session))
            .exec(self.db.writer())
            .await?;
        Ok(())
    }
}

fn from_row(row: worker::Model, jobs: Vec<JobId>) -> Result<WorkerRow, JobStoreError> {
    let resident = row.resident_models.map(|json| from_json("worker", json));
    Ok(WorkerRow {
        id: row.id,
        session: row.session,
        instance: row.instance,
        version: row.version,
        device: row.device,
        pool: row.pool,
        protocol: number("worker", row.protocol)?,
        slots: number("worker", row.slots)?,
        models: from_json("worker", row.models)?,
        device_state: DeviceState {
            resident_models: resident.transpose()?.unwrap_or_default(),
            memory_total_bytes: count(row.memory_total),
            memory_free_bytes: count(row.memory_free),
        },
        is_attached: row.attached,
        is_draining: row.draining,
        is_cordoned: row.cordoned,
        seen_at: row.seen_at,
        jobs,
    })
}
