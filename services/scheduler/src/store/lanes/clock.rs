//! What moves tags later: the queues' clocks, and the end of attempts.

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::lane_id;
use crate::domain::job::Job;
use crate::store::rows::{class_to_number, micros, model_of};
use crate::store::shares::Parties;
use crate::store::sql::Sql;
use crate::store::{JobStore, JobStoreError};

/// Lanes of a tenant that are let through again when one of its jobs ends.
const UNBLOCKED: i64 = 16;

/// A queue's clock is to be set to this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    pub model: String,
    pub class: i16,
    pub vt: i64,
}

impl JobStore {
    /// Sets clocks forward, outside any transaction: nobody waits for it, and the next one makes up for a lost one.
    pub(in crate::store) async fn set_clocks(&self, clocks: Vec<Clock>) {
        for clock in clocks {
            let upsert = Sql::new(
                self.backend(),
                "INSERT INTO queue (model, class, vt) VALUES (",
            )
            .bind(&clock.model)
            .then(", ")
            .bind(clock.class)
            .then(", ")
            .bind(clock.vt)
            .then(
                ") ON CONFLICT (model, class) DO UPDATE SET vt = excluded.vt \
                     WHERE queue.vt < excluded.vt",
            );
            if let Err(error) = self.db.writer().execute_raw(upsert.build()).await {
                tracing::warn!(%error, model = clock.model, "a queue's clock was not set");
            }
        }
    }
}

/// An attempt has ended: its lane pays for the time that was measured, and who was at a limit is let through again.
pub async fn release(
    store: &JobStore,
    tx: &DatabaseTransaction,
    before: &Job,
    after: &Job,
) -> Result<(), JobStoreError> {
    let mut parties = Parties::default();
    parties.add(&before.tenant, &before.owner);
    let mut standing = store.limits_of(tx, &parties).await?;
    let weight = standing.weights.remove(&before.tenant).unwrap_or(100);
    correct(tx, before, after, weight).await?;
    let is_limited = standing
        .tenants
        .values()
        .chain(standing.owners.values())
        .any(|usage| usage.max_running > 0);
    if is_limited {
        // Who marks lanes does so under these locks, and has done it by now or counts without this attempt.
        parties.lock(tx).await?;
        unblock(tx, &before.tenant, &before.owner).await?;
    }
    Ok(())
}

async fn correct(
    tx: &DatabaseTransaction,
    before: &Job,
    after: &Job,
    weight: u32,
) -> Result<(), JobStoreError> {
    let measured = micros(after.device_time) - micros(before.device_time);
    let estimated = micros(before.estimated_cost);
    if measured <= 0 || estimated <= 0 || measured == estimated {
        return Ok(());
    }
    let delta = (measured - estimated).saturating_mul(100) / i64::from(weight.max(1));
    let class = class_to_number(before.priority);
    let update = Sql::new(
        tx.get_database_backend(),
        "UPDATE lane SET finish = CASE WHEN finish + ",
    )
    .bind(delta)
    .then(" < vt THEN vt ELSE finish + ")
    .bind(delta)
    .then(" END WHERE id = ")
    .bind(lane_id(model_of(before), class, &before.owner));
    tx.execute_raw(update.build()).await?;
    Ok(())
}

/// Lets the first few lanes of a tenant, and those of an owner, be looked at again.
async fn unblock(
    tx: &impl ConnectionTrait,
    tenant: &str,
    owner: &str,
) -> Result<(), JobStoreError> {
    let update = Sql::new(
        tx.get_database_backend(),
        "UPDATE lane SET is_blocked = FALSE WHERE is_blocked AND (owner = ",
    )
    .bind(owner)
    .then(" OR id IN (SELECT id FROM lane WHERE is_blocked AND tenant = ")
    .bind(tenant)
    .then(" ORDER BY vt LIMIT ")
    .bind(UNBLOCKED)
    .then("))");
    tx.execute_raw(update.build()).await?;
    Ok(())
}
