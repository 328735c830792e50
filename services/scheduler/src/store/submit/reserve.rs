//! Jobs that are about to be stored, and the credits that billing sets aside for them meanwhile.
//!
//! Before billing is asked, the release of each job's hold is planned: a settlement that is due a little later. The
//! transaction that stores the jobs calls it off; whatever keeps them from being stored makes it due at once. So no hold
//! outlives its request, wherever a process dies. The first job's row names the request, too: the same request is made
//! once at a time, by whichever replica.

use kinora_ids::JobId;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, TryInsertResult,
};
use uuid::Uuid;

use super::depth::Depths;
use super::{LimitHit, Limits, Previous, Request, previous};
use crate::domain::hold::Due;
use crate::domain::job::{Job, Time};
use crate::store::entity::settlement;
use crate::store::settlements::row;
use crate::store::sql::Sql;
use crate::store::{JobStore, JobStoreError};

/// Whether billing may be asked for credits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// It may.
    Made,
    /// The same request is being made.
    InProgress,
    /// The request has led to jobs before.
    Known(Previous),
    /// A limit leaves no room for the jobs, as things are at the moment.
    OverLimit(LimitHit),
}

impl JobStore {
    /// Plans the release of the holds of `held`, which are among the jobs that are about to be stored, for `until`.
    ///
    /// Limits are looked at without locks, for those who would otherwise set credits aside for nothing;
    /// [`JobStore::submit`] decides.
    ///
    /// # Errors
    /// [`JobStoreError::Database`].
    pub async fn reserve(
        &self,
        new: &[Job],
        held: &[JobId],
        request: Option<&Request>,
        limits: &Limits,
        until: Time,
    ) -> Result<Reservation, JobStoreError> {
        let Some(first) = new.first() else {
            return Ok(Reservation::Made);
        };
        let tx = self.begin().await?;
        if !plan_releases(&tx, first, held, request, until).await? {
            tx.rollback().await?;
            return Ok(Reservation::InProgress);
        }
        // After the plan: whoever made the request a moment ago has taken its own plan away with the key.
        if let Some(request) = request {
            let known = previous(&tx, &first.owner, &request.key, first.create_time).await?;
            if let Some(known) = known {
                tx.rollback().await?;
                return Ok(Reservation::Known(known));
            }
        }
        if let Some(hit) = limits.hit(&tx, &Depths::default(), new).await? {
            tx.rollback().await?;
            return Ok(Reservation::OverLimit(hit));
        }
        tx.commit().await?;
        Ok(Reservation::Made)
    }

    /// Whether a request is being made.
    ///
    /// # Errors
    /// [`JobStoreError::Database`].
    pub async fn is_being_made(&self, owner: &str, request: &str) -> Result<bool, JobStoreError> {
        let query = Sql::new(
            self.backend(),
            "SELECT 1 AS found FROM settlement WHERE owner = ",
        )
        .bind(owner)
        .then(" AND request = ")
        .bind(request);
        let found = self.db.reader().query_one_raw(query.build()).await?;
        Ok(found.is_some())
    }

    /// Makes the planned releases of jobs due that were not stored in the end. Those of jobs that were stored are gone.
    ///
    /// # Errors
    /// [`JobStoreError::Database`].
    pub async fn give_up_reservation(
        &self,
        held: &[JobId],
        now: Time,
    ) -> Result<(), JobStoreError> {
        let update = Sql::new(
            self.backend(),
            "UPDATE settlement SET owner = NULL, request = NULL, next_at = ",
        )
        .bind(now)
        .then(" WHERE is_planned AND attempts = 0 AND job_id")
        .any_id(held.iter().map(|job| job.as_uuid()));
        self.db.writer().execute_raw(update.build()).await?;
        Ok(())
    }

    /// Forgets the planned releases of jobs for which nothing was set aside.
    ///
    /// # Errors
    /// [`JobStoreError::Database`].
    pub async fn forget_reservation(&self, held: &[JobId]) -> Result<(), JobStoreError> {
        let ids = held.iter().map(|job| job.as_uuid());
        call_off(self.db.writer(), ids).await?;
        Ok(())
    }
}

/// False when the same request is being made.
async fn plan_releases(
    tx: &DatabaseTransaction,
    first: &Job,
    held: &[JobId],
    request: Option<&Request>,
    until: Time,
) -> Result<bool, JobStoreError> {
    let mut request = request;
    let mut rows = Vec::with_capacity(held.len());
    for job in held {
        let request = request.take();
        let planned = settlement::Model {
            is_planned: true,
            owner: request.map(|_| first.owner.clone()),
            request: request.map(|request| request.key.clone()),
            next_at: until,
            ..row(*job, Due::Release, first.create_time)?
        };
        rows.push(planned.into_active_model());
    }
    if rows.is_empty() {
        return Ok(true);
    }
    let planned = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let inserted = settlement::Entity::insert_many(rows)
        .on_conflict_do_nothing_on([settlement::Column::Owner, settlement::Column::Request])
        .exec_without_returning(tx)
        .await?;
    Ok(matches!(inserted, TryInsertResult::Inserted(rows) if rows == planned))
}

/// Calls planned releases off that have not been tried. Returns how many.
async fn call_off(
    db: &impl ConnectionTrait,
    held: impl IntoIterator<Item = Uuid>,
) -> Result<u64, JobStoreError> {
    let delete = Sql::new(
        db.get_database_backend(),
        "DELETE FROM settlement WHERE is_planned AND attempts = 0 AND job_id",
    )
    .any_id(held);
    Ok(db.execute_raw(delete.build()).await?.rows_affected())
}

/// Calls the planned releases of new jobs off. False when it is too late for one: its credits may be gone.
pub async fn call_off_releases(
    tx: &DatabaseTransaction,
    new: &[Job],
) -> Result<bool, JobStoreError> {
    let held: Vec<Uuid> = new
        .iter()
        .filter(|job| job.hold.is_some())
        .map(|job| job.id.as_uuid())
        .collect();
    if held.is_empty() {
        return Ok(true);
    }
    let planned = u64::try_from(held.len()).unwrap_or(u64::MAX);
    Ok(call_off(tx, held).await? == planned)
}
