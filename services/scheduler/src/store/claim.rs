//! Leasing jobs to workers, many of either in one transaction.

mod write;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, FromQueryResult};
use uuid::Uuid;

use super::entity::job;
use super::events::record;
use super::lanes::{Lanes, settle};
use super::rows::number;
use super::shares::{Parties, Standing, is_full};
use super::sql::{FOR_UPDATE, SKIP_LOCKED, Sql};
use super::tables::readable;
use super::{JobStore, JobStoreError};
use crate::domain::job::{Event, Job, Time};
use crate::domain::transition;
use crate::policy::{Assignment, Usage};
use write::{Leased, put_off, write_leased};

impl JobStore {
    /// Leases jobs to workers as far as that is still right, and skips the rest: a job that another replica has taken,
    /// a worker that is full, cordoned, drains or has a newer stream, a tenant or an owner at its limit.
    ///
    /// No job is ever leased twice at a time, and no limit exceeded: workers, tenants and owners are locked before they
    /// are counted, and jobs are locked before they are written.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn claim(
        &self,
        assignments: &[Assignment],
        now: Time,
        time_limit: Duration,
    ) -> Result<Vec<(Job, Event)>, JobStoreError> {
        if assignments.is_empty() {
            return Ok(Vec::new());
        }
        let tx = self.begin().await?;
        let mut room = Room {
            slots: free_slots(&tx, assignments).await?,
            standing: self.lock_parties(&tx, assignments).await?,
        };
        let rows = lock_jobs(&tx, assignments).await?;
        let Draft {
            leased,
            unreadable,
            lanes,
        } = room.fill(assignments, rows, now, time_limit);
        if leased.is_empty() && unreadable.is_empty() {
            return Ok(Vec::new());
        }
        write_leased(&tx, &leased).await?;
        put_off(&tx, unreadable, now).await?;
        let events: Vec<_> = leased.iter().map(|it| (&it.job, &it.event)).collect();
        record(&tx, &events).await?;
        let clocks = settle(&tx, &lanes).await?;
        tx.commit().await?;
        self.set_clocks(clocks).await;
        Ok(leased.into_iter().map(|it| (it.job, it.event)).collect())
    }

    async fn lock_parties(
        &self,
        tx: &DatabaseTransaction,
        assignments: &[Assignment],
    ) -> Result<Standing, JobStoreError> {
        let mut parties = Parties::default();
        for assignment in assignments {
            parties.add(&assignment.tenant, &assignment.owner);
        }
        parties.lock(tx).await?;
        self.standing(tx, &parties).await
    }
}

/// What a claim comes to.
#[derive(Default)]
struct Draft {
    leased: Vec<Leased>,
    /// Jobs that this version cannot read.
    unreadable: Vec<Uuid>,
    lanes: Lanes,
}

/// What is left to give away.
struct Room {
    slots: HashMap<String, Slots>,
    standing: Standing,
}

impl Room {
    fn fill(
        &mut self,
        assignments: &[Assignment],
        mut rows: HashMap<Uuid, job::Model>,
        now: Time,
        time_limit: Duration,
    ) -> Draft {
        let mut draft = Draft::default();
        for assignment in assignments {
            let Some(row) = rows.remove(&assignment.job.as_uuid()) else {
                continue;
            };
            if !self.is_there(assignment, &row) {
                continue;
            }
            let (id, lane, cost, guard) = (row.id, row.lane, row.cost, row.seq);
            let Some(mut job) = readable(row) else {
                draft.unreadable.push(id);
                draft.lanes.entry(lane).or_default();
                continue;
            };
            let claimed = transition::claim(&mut job, &assignment.worker, now, time_limit);
            if let Some(event) = claimed {
                self.take(&assignment.worker, &job);
                draft.lanes.entry(lane).or_default().push((id, cost));
                draft.leased.push(Leased { job, event, guard });
            }
        }
        draft
    }

    fn is_there(&self, assignment: &Assignment, row: &job::Model) -> bool {
        let has_room = |usage: Option<&Usage>| usage.is_some_and(|usage| !is_full(*usage));
        let slots = self.slots.get(&assignment.worker);
        slots.is_some_and(|slots| slots.session == assignment.session && slots.free > 0)
            && has_room(self.standing.tenants.get(&row.tenant))
            && has_room(self.standing.owners.get(&row.owner))
    }

    fn take(&mut self, worker: &str, job: &Job) {
        if let Some(slots) = self.slots.get_mut(worker) {
            slots.free -= 1;
        }
        let usages = [
            self.standing.tenants.get_mut(&job.tenant),
            self.standing.owners.get_mut(&job.owner),
        ];
        for usage in usages.into_iter().flatten() {
            usage.running += 1;
        }
    }
}

/// What a worker can take.
struct Slots {
    /// Its newest stream.
    session: Uuid,
    free: u64,
}

/// Locks the workers' rows, so that newer streams wait, and counts what each may still take.
async fn free_slots(
    tx: &DatabaseTransaction,
    assignments: &[Assignment],
) -> Result<HashMap<String, Slots>, JobStoreError> {
    #[derive(FromQueryResult)]
    struct Worker {
        id: String,
        session: Uuid,
        slots: i32,
    }
    #[derive(FromQueryResult)]
    struct Running {
        worker: String,
        running: i64,
    }
    let names: HashSet<&str> = assignments.iter().map(|it| it.worker.as_str()).collect();
    let backend = tx.get_database_backend();
    let workers = Sql::new(
        backend,
        "SELECT id, session, slots FROM worker WHERE attached AND NOT draining AND NOT cordoned AND id",
    )
    .any_name(names.iter().copied())
    .then(" ORDER BY id")
    .locked(FOR_UPDATE);
    let workers = Worker::find_by_statement(workers.build()).all(tx).await?;
    let running = Sql::new(
        backend,
        "SELECT worker_id AS worker, COUNT(*) AS running FROM job WHERE state = 'running' AND worker_id",
    )
    .any_name(names)
    .then(" GROUP BY worker_id");
    let running = Running::find_by_statement(running.build()).all(tx).await?;
    let running: HashMap<String, i64> = running
        .into_iter()
        .map(|row| (row.worker, row.running))
        .collect();
    let mut free = HashMap::with_capacity(workers.len());
    for worker in workers {
        let taken = running.get(&worker.id).copied().unwrap_or(0);
        let slots = Slots {
            session: worker.session,
            free: number("worker", (i64::from(worker.slots) - taken).max(0))?,
        };
        free.insert(worker.id, slots);
    }
    Ok(free)
}

/// Locks those of the jobs that may still be leased and that nobody else has.
async fn lock_jobs(
    tx: &DatabaseTransaction,
    assignments: &[Assignment],
) -> Result<HashMap<Uuid, job::Model>, JobStoreError> {
    let query = Sql::new(
        tx.get_database_backend(),
        "SELECT * FROM job WHERE is_ready AND id",
    )
    .any_id(assignments.iter().map(|it| it.job.as_uuid()))
    .locked(SKIP_LOCKED);
    let rows = job::Model::find_by_statement(query.build()).all(tx).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}
