//! How much may wait.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use crate::domain::job::{Job, Priority, State};
use crate::store::JobStoreError;
use crate::store::rows::{class_from_number, class_to_number, count, model_of};
use crate::store::sql::Sql;

/// How many jobs may be there at a time; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Jobs of an owner that have not ended, unless the owner has a limit of its own.
    pub max_active_per_owner: u32,
    /// Jobs of a tenant that wait, unless the tenant has a limit of its own.
    pub max_queued_per_tenant: u32,
    /// Jobs of one model and class that wait. Checked without a lock: submissions at the same moment may exceed it by
    /// as many as they are.
    pub max_queued_per_queue: u32,
}

/// A limit that leaves no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitHit {
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
        new: &[Job],
    ) -> Result<Option<LimitHit>, JobStoreError> {
        let Some(first) = new.first() else {
            return Ok(None);
        };
        let (of_owner, of_tenant) = own_limits(tx, first).await?;
        let active = new.iter().filter(|job| !job.state.is_terminal()).count();
        let limit = of_owner.unwrap_or(self.max_active_per_owner);
        let present = Sql::new(
            tx.get_database_backend(),
            "SELECT 1 FROM job WHERE owner = ",
        )
        .bind(&first.owner);
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
        if exceeds(tx, present, queued, limit).await? {
            return Ok(Some(LimitHit::Tenant { limit }));
        }
        self.hit_of_queues(tx, new).await
    }

    async fn hit_of_queues(
        &self,
        tx: &DatabaseTransaction,
        new: &[Job],
    ) -> Result<Option<LimitHit>, JobStoreError> {
        let mut queues: BTreeMap<(&str, i16), usize> = BTreeMap::new();
        for job in new.iter().filter(|job| job.state == State::Queued) {
            let queue = (model_of(job), class_to_number(job.priority));
            *queues.entry(queue).or_default() += 1;
        }
        let limit = self.max_queued_per_queue;
        for ((model, class), queued) in queues {
            let present = Sql::new(
                tx.get_database_backend(),
                "SELECT 1 FROM job WHERE state = 'queued' AND model = ",
            )
            .bind(model)
            .then(" AND class = ")
            .bind(class);
            if exceeds(tx, present, queued, limit).await? {
                return Ok(Some(LimitHit::Queue {
                    model: model.to_owned(),
                    priority: class_from_number(class)?,
                    limit,
                }));
            }
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
    if new > u64::from(limit) {
        return Ok(true);
    }
    let query = present
        .then(" LIMIT ")
        .bind(i64::from(limit) + 1)
        .wrap("SELECT COUNT(*) AS n FROM (", ") AS present");
    let row = tx.query_one_raw(query.build()).await?;
    let present: i64 = row.map_or(Ok(0), |row| row.try_get("", "n"))?;
    Ok(count(present) + new > u64::from(limit))
}
