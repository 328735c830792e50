//! What moves tags later: the queues' clocks, and the end of attempts.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, FromQueryResult};
use uuid::Uuid;

use super::{lane_id, lock};
use crate::domain::job::Job;
use crate::store::rows::{class_to_number, micros, model_of};
use crate::store::shares::Parties;
use crate::store::sql::Sql;
use crate::store::{JobStore, JobStoreError};

/// Lanes of a tenant that are let through again when one of its jobs ends.
const UNBLOCKED: i64 = 16;

/// A queue's clock is to be set to this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock {
    pub model: String,
    pub class: i16,
    pub vt: i64,
}

impl JobStore {
    /// Sets clocks forward, outside any transaction: nobody waits for it, and the next one makes up for a lost one. So it
    /// does not wait for the disk either.
    pub(in crate::store) async fn set_clocks(&self, mut clocks: Vec<Clock>) {
        if clocks.is_empty() {
            return;
        }
        // Everybody locks them in the same order.
        clocks.sort_unstable();
        let (from, guard) = match self.backend() {
            DbBackend::Postgres => (
                "SELECT clock.* FROM set_config('synchronous_commit', 'off', true), (VALUES (",
                ")) AS clock(model, class, vt)",
            ),
            // Without a condition SQLite takes the conflict's ON for that of a join.
            _ => ("SELECT * FROM (VALUES (", ")) WHERE TRUE"),
        };
        let mut upsert =
            Sql::new(self.backend(), "INSERT INTO queue (model, class, vt) ").then(from);
        for (position, clock) in clocks.iter().enumerate() {
            upsert = upsert
                .then(if position > 0 { "), (" } else { "" })
                .bind(&clock.model)
                .then(", ")
                .bind(clock.class)
                .then(", ")
                .bind(clock.vt);
        }
        let upsert = upsert.then(guard).then(
            " ON CONFLICT (model, class) DO UPDATE SET vt = excluded.vt WHERE queue.vt < excluded.vt",
        );
        if let Err(error) = self.db.writer().execute_raw(upsert.build()).await {
            tracing::warn!(%error, "the clocks of queues were not set");
        }
    }
}

/// Attempts that have ended. Lanes are locked after everybody who may stand in their way: what has to be known before
/// is found out by [`Ended::of`], and written by [`Ended::release`].
pub struct Ended {
    /// Lanes, and how much later what they are promised ends.
    corrections: BTreeMap<Uuid, i64>,
    /// Lanes to be looked at again.
    blocked: Vec<Uuid>,
}

impl Ended {
    /// Locks the tenants and owners of attempts that have ended, before and after, if they have limits.
    pub async fn of(
        store: &JobStore,
        tx: &DatabaseTransaction,
        attempts: &[(&Job, &Job)],
    ) -> Result<Self, JobStoreError> {
        let mut ended = Self {
            corrections: BTreeMap::new(),
            blocked: Vec::new(),
        };
        if attempts.is_empty() {
            return Ok(ended);
        }
        let mut parties = Parties::default();
        for (before, _) in attempts {
            parties.add(&before.tenant, &before.owner);
        }
        let standing = store.limits_of(tx, &parties).await?;
        let mut limited = Parties::default();
        for (before, after) in attempts {
            let weight = standing.weights.get(&before.tenant).copied();
            if let Some(delta) = correction(before, after, weight.unwrap_or(100)) {
                let class = class_to_number(before.priority);
                let lane = lane_id(model_of(before), class, &before.owner);
                *ended.corrections.entry(lane).or_default() += delta;
            }
            let tenant = standing.tenants.get(&before.tenant);
            let owner = standing.owners.get(&before.owner);
            if tenant
                .into_iter()
                .chain(owner)
                .any(|usage| usage.max_running > 0)
            {
                limited.add(&before.tenant, &before.owner);
            }
        }
        // Who marks lanes does so under these locks, and has done it by now or counts without these attempts.
        limited.lock(tx).await?;
        for (owner, tenant) in &limited.owners {
            ended.blocked.extend(blocked(tx, tenant, owner).await?);
        }
        Ok(ended)
    }

    /// Locks lanes in their order, these and `others`; has those of the attempts pay for the time that was measured,
    /// and lets those that were at a limit be looked at again.
    pub async fn release(
        self,
        tx: &DatabaseTransaction,
        others: impl IntoIterator<Item = Uuid>,
    ) -> Result<(), JobStoreError> {
        let own = self.corrections.keys().chain(&self.blocked).copied();
        let lanes: BTreeSet<Uuid> = own.chain(others).collect();
        lock(tx, lanes).await?;
        for (lane, delta) in self.corrections {
            correct(tx, lane, delta).await?;
        }
        if self.blocked.is_empty() {
            return Ok(());
        }
        let backend = tx.get_database_backend();
        let unblock = Sql::new(backend, "UPDATE lane SET is_blocked = FALSE WHERE id");
        tx.execute_raw(unblock.any_id(self.blocked).build()).await?;
        Ok(())
    }
}

/// What the measured time differs from the estimated one, in the tenant's virtual time.
fn correction(before: &Job, after: &Job, weight: u32) -> Option<i64> {
    let measured = micros(after.device_time) - micros(before.device_time);
    let estimated = micros(before.estimated_cost);
    if measured <= 0 || estimated <= 0 || measured == estimated {
        return None;
    }
    Some((measured - estimated).saturating_mul(100) / i64::from(weight.max(1)))
}

async fn correct(tx: &DatabaseTransaction, lane: Uuid, delta: i64) -> Result<(), JobStoreError> {
    let update = Sql::new(
        tx.get_database_backend(),
        "UPDATE lane SET finish = CASE WHEN finish + ",
    )
    .bind(delta)
    .then(" < vt THEN vt ELSE finish + ")
    .bind(delta)
    .then(" END WHERE id = ")
    .bind(lane);
    tx.execute_raw(update.build()).await?;
    Ok(())
}

/// The first few blocked lanes of a tenant, and those of an owner.
async fn blocked(
    tx: &DatabaseTransaction,
    tenant: &str,
    owner: &str,
) -> Result<Vec<Uuid>, JobStoreError> {
    #[derive(FromQueryResult)]
    struct Blocked {
        id: Uuid,
    }
    let query = Sql::new(
        tx.get_database_backend(),
        "SELECT id FROM lane WHERE is_blocked AND (owner = ",
    )
    .bind(owner)
    .then(" OR id IN (SELECT id FROM lane WHERE is_blocked AND is_open AND tenant = ")
    .bind(tenant)
    .then(" ORDER BY vt LIMIT ")
    .bind(UNBLOCKED)
    .then("))");
    let found = Blocked::find_by_statement(query.build()).all(tx).await?;
    Ok(found.into_iter().map(|found| found.id).collect())
}
