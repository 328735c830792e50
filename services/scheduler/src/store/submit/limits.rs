//! How much may wait.

use std::collections::BTreeMap;
use std::time::Instant;

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::depth::Depths;
use crate::domain::job::{Job, Priority, State};
use crate::store::JobStoreError;
use crate::store::rows::{class_from_number, class_to_number, count, model_of};
use crate::store::sql::Sql;

/// How many jobs may be there at a time; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Jobs of an owner that have not ended, unless the owner has a limit of its own. Jobs that wait for others do not
    /// count: a sequence counts as one, since one of its jobs at most has what it needs.
    pub max_active_per_owner: u32,
    /// Jobs of a tenant that wait, unless the tenant has a limit of its own.
    pub max_queued_per_tenant: u32,
    /// Jobs of one model and class that wait. Checked without a lock, and long queues are not counted each time:
    /// what replicas submit at the same moment may exceed it, and what has left a long queue may count for seconds.
    pub max_queued_per_queue: u32,
}

/// A limit that leaves no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitHit {
    /// Of any of these kinds, by the request alone: it would be too large with nothing else there.
    Request {
        /// The limit.
        limit: u32,
    },
    /// Of the owner's jobs that have not ended.
    Owner {
        /// The limit.
        limit: u32,
    },
    /// Of the tenant's jobs that wait.
    Tenant {
        /// The limit.
        limit: u32,
    },
    /// Of the jobs that wait for a model.
    Queue {
        /// The model; empty for work that needs none.
        model: String,
        /// The class.
        priority: Priority,
        /// The limit.
        limit: u32,
    },
}

impl Limits {
    /// The first limit that `new` jobs of one owner would exceed. The owner's and the tenant's rows are locked.
    pub(super) async fn hit(
        &self,
        tx: &DatabaseTransaction,
        depths: &Depths,
        new: &[Job],
    ) -> Result<Option<LimitHit>, JobStoreError> {
        let Some(first) = new.first() else {
            return Ok(None);
        };
        let (of_owner, of_tenant) = own_limits(tx, first).await?;
        // Jobs that wait for others are not counted: of a sequence one is active at a time.
        let is_active = |job: &&Job| !job.state.is_terminal() && job.has_what_it_needs();
        let active = new.iter().filter(is_active).count();
        let limit = of_owner.unwrap_or(self.max_active_per_owner);
        let present = Sql::new(
            tx.get_database_backend(),
            "SELECT 1 FROM job WHERE unmet = 0 AND owner = ",
        )
        .bind(&first.owner);
        if is_too_large(active, limit) {
            return Ok(Some(LimitHit::Request { limit }));
        }
        if exceeds(tx, present, active, limit).await? {
            return Ok(Some(LimitHit::Owner { limit }));
        }
        let queued = new.iter().filter(|job| job.state == State::Queued).count();
        let limit = of_tenant.unwrap_or(self.max_queued_per_tenant);
        let present = Sql::new(
            tx.get_database_backend(),
            "SELECT 1 FROM job WHERE state = 'queued' AND tenant = ",
        )
        .bind(&first.tenant);
        if is_too_large(queued, limit) {
            return Ok(Some(LimitHit::Request { limit }));
        }
        if exceeds(tx, present, queued, limit).await? {
            return Ok(Some(LimitHit::Tenant { limit }));
        }
        self.hit_of_queues(tx, depths, new).await
    }

    async fn hit_of_queues(
        &self,
        tx: &DatabaseTransaction,
        depths: &Depths,
        new: &[Job],
    ) -> Result<Option<LimitHit>, JobStoreError> {
        let mut queues: BTreeMap<(&str, i16), usize> = BTreeMap::new();
        for job in new.iter().filter(|job| job.state == State::Queued) {
            let queue = (model_of(job), class_to_number(job.priority));
            *queues.entry(queue).or_default() += 1;
        }
        let limit = self.max_queued_per_queue;
        for ((model, class), queued) in queues {
            if limit == 0 {
                break;
            }
            if is_too_large(queued, limit) {
                return Ok(Some(LimitHit::Request { limit }));
            }
            let present = depth(tx, depths, model, class, limit).await?;
            let queued = u64::try_from(queued).unwrap_or(u64::MAX);
            if present.saturating_add(queued) > u64::from(limit) {
                return Ok(Some(LimitHit::Queue {
                    model: model.to_owned(),
                    priority: class_from_number(class)?,
                    limit,
                }));
            }
            depths.add(model, class, queued);
        }
        Ok(None)
    }
}

/// The limits that were set for the owner and the tenant.
async fn own_limits(
    tx: &DatabaseTransaction,
    job: &Job,
) -> Result<(Option<u32>, Option<u32>), JobStoreError> {
    let query = Sql::new(
        tx.get_database_backend(),
        "SELECT (SELECT max_active FROM account WHERE owner = ",
    )
    .bind(&job.owner)
    .then(") AS of_owner, (SELECT max_queued FROM tenant WHERE id = ")
    .bind(&job.tenant)
    .then(") AS of_tenant");
    let Some(row) = tx.query_one_raw(query.build()).await? else {
        return Ok((None, None));
    };
    let limit = |name| -> Result<Option<u32>, sea_orm::DbErr> {
        let limit: Option<i32> = row.try_get("", name)?;
        Ok(limit.map(|limit| u32::try_from(limit).unwrap_or(0)))
    };
    Ok((limit("of_owner")?, limit("of_tenant")?))
}

/// Whether as many are too many whatever else there is.
fn is_too_large(new: usize, limit: u32) -> bool {
    limit > 0 && u64::try_from(new).unwrap_or(u64::MAX) > u64::from(limit)
}

/// Whether `new` more rows than are present exceed a limit. Counts no further than it has to.
async fn exceeds(
    tx: &DatabaseTransaction,
    present: Sql,
    new: usize,
    limit: u32,
) -> Result<bool, JobStoreError> {
    if limit == 0 || new == 0 {
        return Ok(false);
    }
    let new = u64::try_from(new).unwrap_or(u64::MAX);
    let present = count_up_to(tx, present, limit).await?;
    Ok(present + new > u64::from(limit))
}

/// Jobs that wait in a queue, counted now or a moment ago.
async fn depth(
    tx: &DatabaseTransaction,
    depths: &Depths,
    model: &str,
    class: i16,
    limit: u32,
) -> Result<u64, JobStoreError> {
    if let Some(present) = depths.recent(model, class) {
        return Ok(present);
    }
    let present = Sql::new(
        tx.get_database_backend(),
        "SELECT 1 FROM job WHERE state = 'queued' AND model = ",
    )
    .bind(model)
    .then(" AND class = ")
    .bind(class);
    let begun = Instant::now();
    let present = count_up_to(tx, present, limit).await?;
    depths.keep(model, class, present, begun.elapsed());
    Ok(present)
}

/// How many rows there are; beyond the limit one more than it.
async fn count_up_to(
    tx: &DatabaseTransaction,
    present: Sql,
    limit: u32,
) -> Result<u64, JobStoreError> {
    let query = present
        .then(" LIMIT ")
        .bind(i64::from(limit) + 1)
        .wrap("SELECT COUNT(*) AS n FROM (", ") AS present");
    let row = tx.query_one_raw(query.build()).await?;
    let present: i64 = row.map_or(Ok(0), |row| row.try_get("", "n"))?;
    Ok(count(present))
}
