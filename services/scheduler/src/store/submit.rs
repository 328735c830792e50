//! Accepting jobs once, all of a request or none.

mod depth;
mod limits;
mod reserve;

use kinora_ids::JobId;
use sea_orm::{ConnectionTrait, DatabaseTransaction, EntityTrait};
use uuid::Uuid;

use super::entity::request_key;
use super::events::record;
use super::groups::{self, Group};
use super::lanes::{make, settle};
use super::needs::note_needs;
use super::removal::call_off_removal;
use super::rows::job_to_row;
use super::shares::Parties;
use super::sql::Sql;
use super::tables::Jobs;
use super::{JobStore, JobStoreError};
use crate::domain::job::{Event, Job, Time};

pub use depth::Depths;
pub use limits::{LimitHit, Limits};
pub use reserve::Reservation;

use reserve::call_off_releases;

/// What makes a repeated request recognisable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `id:` and the caller's request id, or `body:` and the fingerprint of the body.
    pub key: String,
    /// Of the body.
    pub fingerprint: String,
    /// When the key is free again. None for as long as the job is kept.
    pub expires_at: Option<Time>,
}

/// What a submission led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Submitted {
    /// The jobs are stored, as they are here: what they need of older jobs is filled in.
    Accepted(Vec<Job>),
    /// The request has led to jobs before.
    Known(Previous),
    /// A limit leaves no room for them; nothing is stored.
    OverLimit(LimitHit),
}

/// The earlier use of a request key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// The job it led to, or the first of them.
    pub job: JobId,
    /// The group it led to.
    pub group: Option<Uuid>,
    /// The body it came with.
    pub fingerprint: String,
}

impl JobStore {
    /// Finds what a request key of `owner` led to.
    ///
    /// # Errors
    /// [`JobStoreError::Database`].
    pub async fn previous(
        &self,
        owner: &str,
        key: &str,
        now: Time,
    ) -> Result<Option<Previous>, JobStoreError> {
        previous(self.db.reader(), owner, key, now).await
    }

    /// Stores jobs of one owner, their first events, their group and their request key in one transaction, or nothing.
    ///
    /// `orphaned` are the removals that were planned for the jobs' pictures, should it not come to that; they are called
    /// off, as are the releases that were planned for their holds ([`JobStore::reserve`]). Limits are exact for owners and tenants: submissions of one tenant take turns.
    ///
    /// # Errors
    /// [`JobStoreError::Database`]; [`JobStoreError::LostUpdate`] when pictures are being removed, or credits released,
    /// already.
    pub async fn submit(
        &self,
        new: &[Job],
        group: Option<&Group>,
        request: Option<&Request>,
        limits: &Limits,
        orphaned: &[Uuid],
    ) -> Result<Submitted, JobStoreError> {
        let Some(first) = new.first() else {
            return Ok(Submitted::Accepted(Vec::new()));
        };
        let mut jobs = new.to_vec();
        let tx = self.begin().await?;
        for removal in orphaned {
            if !call_off_removal(&tx, *removal).await? {
                return Err(JobStoreError::LostUpdate);
            }
        }
        if !call_off_releases(&tx, &jobs).await? {
            return Err(JobStoreError::LostUpdate);
        }
        if let Some(request) = request
            && !take_key(&tx, first, group, request).await?
        {
            tx.rollback().await?;
            return self.lost_race(first, &request.key).await;
        }
        note_needs(&tx, &mut jobs).await?;
        let mut parties = Parties::default();
        parties.add(&first.tenant, &first.owner);
        parties.lock(&tx).await?;
        if let Some(hit) = limits.hit(&tx, &self.depths, &jobs).await? {
            tx.rollback().await?;
            return Ok(Submitted::OverLimit(hit));
        }
        if let Some(group) = group {
            groups::insert(&tx, group).await?;
        }
        store(&tx, &jobs).await?;
        tx.commit().await?;
        Ok(Submitted::Accepted(jobs))
    }

    /// The limit that leaves no room for jobs of one owner, as things are at the moment. For those who would otherwise
    /// prepare much for nothing; [`JobStore::submit`] decides.
    ///
    /// # Errors
    /// [`JobStoreError::Database`].
    pub async fn limit_hit(
        &self,
        new: &[Job],
        limits: &Limits,
    ) -> Result<Option<LimitHit>, JobStoreError> {
        let tx = self.begin().await?;
        let hit = limits.hit(&tx, &Depths::default(), new).await?;
        tx.rollback().await?;
        Ok(hit)
    }

    async fn lost_race(&self, job: &Job, key: &str) -> Result<Submitted, JobStoreError> {
        match self.previous(&job.owner, key, job.create_time).await? {
            Some(previous) => Ok(Submitted::Known(previous)),
            // The winner was deleted a moment ago.
            None => Err(JobStoreError::LostUpdate),
        }
    }
}

async fn previous(
    db: &impl ConnectionTrait,
    owner: &str,
    key: &str,
    now: Time,
) -> Result<Option<Previous>, JobStoreError> {
    let row = request_key::Entity::find_by_id((owner.to_owned(), key.to_owned()))
        .one(db)
        .await?;
    let row = row.filter(|row| row.expires_at.is_none_or(|expires_at| expires_at > now));
    Ok(row.map(|row| Previous {
        job: JobId::from_uuid(row.job_id),
        group: row.group_id,
        fingerprint: row.fingerprint,
    }))
}

async fn store(tx: &DatabaseTransaction, jobs: &[Job]) -> Result<(), JobStoreError> {
    let mut hot = Vec::with_capacity(jobs.len());
    let mut ended = Vec::new();
    for job in jobs {
        let row = job_to_row(job, job.create_time)?;
        if job.state.is_terminal() {
            ended.push(row);
        } else {
            hot.push(row);
        }
    }
    if !hot.is_empty() {
        Jobs::Hot.insert(tx, hot.clone()).await?;
    }
    if !ended.is_empty() {
        Jobs::Finished.insert(tx, ended).await?;
    }
    let events: Vec<Event> = jobs.iter().map(|job| job.event(job.create_time)).collect();
    let events: Vec<(&Job, &Event)> = jobs.iter().zip(&events).collect();
    record(tx, &events).await?;
    let lanes = make(tx, hot.iter().filter(|row| row.is_ready)).await?;
    settle(tx, &lanes).await?;
    Ok(())
}

/// Takes a free or expired key. Waits for another transaction that is about to take it. False when it is taken.
async fn take_key(
    tx: &DatabaseTransaction,
    job: &Job,
    group: Option<&Group>,
    request: &Request,
) -> Result<bool, JobStoreError> {
    let upsert = Sql::new(
        tx.get_database_backend(),
        "INSERT INTO request_key (owner, request, fingerprint, job_id, group_id, expires_at) VALUES (",
    )
    .bind(&job.owner)
    .then(", ")
    .bind(&request.key)
    .then(", ")
    .bind(&request.fingerprint)
    .then(", ")
    .bind(job.id.as_uuid())
    .then(", ")
    .bind(group.map(|group| group.id))
    .then(", ")
    .bind(request.expires_at)
    .then(
        ") ON CONFLICT (owner, request) DO UPDATE SET fingerprint = excluded.fingerprint, \
         job_id = excluded.job_id, group_id = excluded.group_id, expires_at = excluded.expires_at \
         WHERE request_key.expires_at <= ",
    )
    .bind(job.create_time);
    Ok(tx.execute_raw(upsert.build()).await?.rows_affected() == 1)
}
