//! Turns: who is next within the queue of a model and class.
//!
//! A lane holds the queued jobs of one owner, of one model and class. Its first job has a **start tag**: where in virtual
//! time it is to begin, in micro-seconds of device time divided by the tenant's weight. The lane with the lowest tag is
//! next. A lane is tagged when a job comes to its head, after everything that its tenant has been promised before and
//! never before the queue's clock, which is the tag of the latest job that was leased. So a tenant has one share however
//! many jobs and users it has, its users take turns, and nobody saves time up while idle.
//!
//! Tags exist for heads alone: nothing here grows with the backlog, and a new weight holds at once.

mod clock;
mod mend;

use std::collections::{BTreeMap, HashMap};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, FromQueryResult};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::JobStoreError;
use super::entity::job;
use super::sql::{FOR_UPDATE, Sql};

pub use clock::{Clock, Ended};

/// What an attempt of unknown cost is charged: a second.
const UNKNOWN_COST: i64 = 1_000_000;

/// The least that an attempt is charged.
const LEAST_COST: i64 = 1000;

/// The id of the lane of these jobs.
pub fn lane_id(model: &str, class: i16, owner: &str) -> Uuid {
    let digest = Sha256::new()
        .chain_update(class.to_be_bytes())
        .chain_update(model)
        .chain_update([0])
        .chain_update(owner)
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(bytes)
}

/// Lanes to be looked at, each with those of its jobs that have just been leased, in their order, and their costs.
pub type Lanes = BTreeMap<Uuid, Vec<(Uuid, i64)>>;

/// Virtual time of some device time.
pub fn weighted(cost: i64, weight: i64) -> i64 {
    let cost = if cost <= 0 { UNKNOWN_COST } else { cost };
    cost.max(LEAST_COST).saturating_mul(100) / weight.max(1)
}

#[derive(Debug, FromQueryResult)]
struct LaneRow {
    id: Uuid,
    model: String,
    class: i16,
    tenant: String,
    vt: i64,
    finish: i64,
    is_open: bool,
    /// The first job that may be leased.
    head_id: Option<Uuid>,
    /// Its cost.
    head: Option<i64>,
    /// The end of what the tenant has been promised in this queue, by its lanes that are not looked at now.
    promised: Option<i64>,
    clock: Option<i64>,
    weight: Option<i32>,
}

/// Makes the lanes of these jobs, if they are not there.
pub async fn make<'a>(
    tx: &DatabaseTransaction,
    jobs: impl IntoIterator<Item = &'a job::Model>,
) -> Result<Lanes, JobStoreError> {
    let mut rows = BTreeMap::new();
    for job in jobs {
        rows.insert(job.lane, job);
    }
    if rows.is_empty() {
        return Ok(Lanes::new());
    }
    let text = "INSERT INTO lane (id, model, class, owner, tenant, vt, finish, is_open, is_blocked) VALUES ";
    let mut insert = Sql::new(tx.get_database_backend(), text);
    for (position, (lane, job)) in rows.iter().enumerate() {
        insert = insert
            .then(if position > 0 { ", (" } else { "(" })
            .bind(*lane)
            .then(", ")
            .bind(&job.model)
            .then(", ")
            .bind(job.class)
            .then(", ")
            .bind(&job.owner)
            .then(", ")
            .bind(&job.tenant)
            .then(", 0, 0, FALSE, FALSE)");
    }
    tx.execute_raw(insert.then(" ON CONFLICT (id) DO NOTHING").build())
        .await?;
    Ok(rows.into_keys().map(|lane| (lane, Vec::new())).collect())
}

/// Opens, tags and closes lanes after their jobs have changed. To be called after the jobs are written: whoever makes a
/// job leasable waits here for whoever closes its lane, and sees what that one did.
///
/// Returns how far the queues' clocks are to be set once this is committed.
pub async fn settle(tx: &DatabaseTransaction, lanes: &Lanes) -> Result<Vec<Clock>, JobStoreError> {
    if lanes.is_empty() {
        return Ok(Vec::new());
    }
    lock(tx, lanes.keys().copied()).await?;
    let mut rows = read(tx, lanes).await?;
    let old: Vec<_> = rows.iter().map(LaneRow::place).collect();
    let mut clocks = HashMap::new();
    let mut promised = HashMap::new();
    for row in &mut rows {
        let queue = (row.model.clone(), row.class);
        if let Some(tag) = charge(row, dispatched(lanes, row)) {
            let clock = clocks.entry(queue.clone()).or_insert(tag);
            *clock = tag.max(*clock);
        }
        let promise = promised.entry((queue, row.tenant.clone())).or_insert(0);
        *promise = row.finish.max(row.promised.unwrap_or(0)).max(*promise);
    }
    for row in &mut rows {
        let of_tenant = ((row.model.clone(), row.class), row.tenant.clone());
        let promise = promised.entry(of_tenant).or_insert(0);
        tag_head(row, !dispatched(lanes, row).is_empty(), promise);
    }
    let changed = rows.iter().zip(old);
    let changed = changed.filter(|(row, old)| row.place() != *old);
    let changed = changed
        .map(|(row, _)| (row.id, row.vt, row.finish, row.is_open))
        .collect();
    write(tx, changed).await?;
    let clock = |((model, class), vt)| Clock { model, class, vt };
    Ok(clocks.into_iter().map(clock).collect())
}

impl LaneRow {
    const fn place(&self) -> (i64, i64, bool) {
        (self.vt, self.finish, self.is_open)
    }
}

fn dispatched<'a>(lanes: &'a Lanes, row: &LaneRow) -> &'a [(Uuid, i64)] {
    lanes.get(&row.id).map_or(&[][..], Vec::as_slice)
}

/// Charges what was leased, and returns the last start tag. The first of it was charged when it was tagged, unless the
/// job that was has been passed over: then that one gives back what it was charged.
fn charge(row: &mut LaneRow, dispatched: &[(Uuid, i64)]) -> Option<i64> {
    let weight = row.weight.unwrap_or(100).into();
    let (first, further) = dispatched.split_first()?;
    let mut tag = row.vt;
    if let (Some(head), Some(cost)) = (row.head_id, row.head)
        && dispatched.iter().all(|(id, _)| head < *id)
    {
        let charged = row.finish.saturating_sub(weighted(cost, weight));
        row.finish = charged.saturating_add(weighted(first.1, weight));
    }
    for (_, cost) in further {
        tag = row.finish;
        row.finish = row.finish.saturating_add(weighted(*cost, weight));
    }
    Some(tag)
}

fn tag_head(row: &mut LaneRow, is_dispatched: bool, promised: &mut i64) {
    match row.head {
        Some(_) if row.is_open && !is_dispatched => {}
        Some(cost) => {
            row.vt = row.clock.unwrap_or(0).max(*promised);
            let weight = row.weight.unwrap_or(100).into();
            row.finish = row.vt.saturating_add(weighted(cost, weight));
            row.is_open = true;
            *promised = row.finish;
        }
        None => {
            if row.is_open && !is_dispatched {
                // The head went without having run: it costs nothing.
                row.finish = row.finish.min(row.vt);
            }
            row.is_open = false;
        }
    }
}

/// Locks lanes in the order in which everybody does.
pub async fn lock(
    tx: &DatabaseTransaction,
    lanes: impl IntoIterator<Item = Uuid>,
) -> Result<(), JobStoreError> {
    let lanes: Vec<Uuid> = lanes.into_iter().collect();
    if lanes.is_empty() || tx.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let lock = Sql::new(DbBackend::Postgres, "SELECT id FROM lane WHERE id")
        .any_id(lanes)
        .then(" ORDER BY id")
        .locked(FOR_UPDATE);
    tx.query_all_raw(lock.build()).await?;
    Ok(())
}

/// Lets lanes at a limit be looked at again: those whose column has this value. To be called under the lock of the
/// tenant or owner that the column names, so that none is added meanwhile.
pub async fn unblock(
    tx: &DatabaseTransaction,
    column: &str,
    value: &str,
) -> Result<(), JobStoreError> {
    let backend = tx.get_database_backend();
    let condition = format!("is_blocked AND {column} = ");
    if backend == DbBackend::Postgres {
        // An update alone would lock them in any order.
        let lock = Sql::new(backend, "SELECT id FROM lane WHERE ")
            .then(&condition)
            .bind(value)
            .then(" ORDER BY id")
            .locked(FOR_UPDATE);
        tx.query_all_raw(lock.build()).await?;
    }
    let update = Sql::new(backend, "UPDATE lane SET is_blocked = FALSE WHERE ")
        .then(&condition)
        .bind(value);
    tx.execute_raw(update.build()).await?;
    Ok(())
}

async fn read(tx: &DatabaseTransaction, lanes: &Lanes) -> Result<Vec<LaneRow>, JobStoreError> {
    let query = Sql::new(
        tx.get_database_backend(),
        "SELECT l.id, l.model, l.class, l.tenant, l.vt, l.finish, l.is_open, \
         (SELECT id FROM job WHERE is_ready AND job.lane = l.id ORDER BY job.id LIMIT 1) AS head_id, \
         (SELECT cost FROM job WHERE is_ready AND job.lane = l.id ORDER BY job.id LIMIT 1) AS head, \
         (SELECT MAX(peer.finish) FROM lane AS peer WHERE peer.tenant = l.tenant AND peer.model = l.model \
         AND peer.class = l.class AND NOT (peer.id",
    )
    .any_id(lanes.keys().copied())
    .then(
        ")) AS promised, \
         (SELECT q.vt FROM queue AS q WHERE q.model = l.model AND q.class = l.class) AS clock, \
         (SELECT t.weight FROM tenant AS t WHERE t.id = l.tenant) AS weight \
         FROM lane AS l WHERE l.id",
    )
    .any_id(lanes.keys().copied())
    .then(" ORDER BY l.vt, l.id");
    Ok(LaneRow::find_by_statement(query.build()).all(tx).await?)
}

async fn write(
    tx: &DatabaseTransaction,
    rows: Vec<(Uuid, i64, i64, bool)>,
) -> Result<(), JobStoreError> {
    let backend = tx.get_database_backend();
    if rows.is_empty() {
        return Ok(());
    }
    if backend == DbBackend::Postgres {
        let mut columns: (Vec<Uuid>, Vec<i64>, Vec<i64>, Vec<bool>) = Default::default();
        for (id, vt, finish, is_open) in rows {
            columns.0.push(id);
            columns.1.push(vt);
            columns.2.push(finish);
            columns.3.push(is_open);
        }
        let update = Sql::new(
            backend,
            "UPDATE lane SET vt = new.vt, finish = new.finish, is_open = new.is_open FROM unnest(",
        )
        .bind(columns.0)
        .then("::uuid[], ")
        .bind(columns.1)
        .then("::bigint[], ")
        .bind(columns.2)
        .then("::bigint[], ")
        .bind(columns.3)
        .then("::boolean[]) AS new(id, vt, finish, is_open) WHERE lane.id = new.id");
        tx.execute_raw(update.build()).await?;
        return Ok(());
    }
    let mut update = Sql::new(
        backend,
        "UPDATE lane SET vt = new.column2, finish = new.column3, is_open = new.column4 FROM (VALUES ",
    );
    for (position, (id, vt, finish, is_open)) in rows.into_iter().enumerate() {
        update = update
            .then(if position > 0 { ", (" } else { "(" })
            .bind(id)
            .then(", ")
            .bind(vt)
            .then(", ")
            .bind(finish)
            .then(", ")
            .bind(is_open)
            .then(")");
    }
    let update = update.then(") AS new WHERE lane.id = new.column1");
    tx.execute_raw(update.build()).await?;
    Ok(())
}
