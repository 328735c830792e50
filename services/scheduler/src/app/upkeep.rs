//! What the scheduler does on its own: attempts of silent workers, objects due for removal.

use std::convert::Infallible;
use std::time::Duration;

use kinora_ids::JobId;
use kinora_mesh::error::chain;

use super::App;
use super::admin::WORKER_MEMORY;
use crate::clock::CLOCK_STEP;
use crate::domain::job::{Failure, Job, Time};
use crate::domain::retry::{ATTEMPT_TIME_LIMIT, WORKER_LOST};
use crate::domain::transition;
use crate::error::Error;
use crate::store::{Change, DueRemoval, JobStoreError};

/// Jobs that expire or are purged in one go.
const UPKEEP_BATCH: u64 = 100;

/// The duty of ending and forgetting jobs whose time is over.
const UPKEEP: &str = "upkeep";

/// The row that shows that the reaper can write.
const REAPER: &str = "reaper";

/// Attempts looked at in one go.
const REAP_BATCH: u32 = 200;

/// Looks of one round of the reaper; the next round goes on soon.
const REAP_ROUNDS: u32 = 10;

/// Removals tried in one go.
const SWEEP_BATCH: u64 = 32;

/// A removal that another replica began is tried here after this long.
const REMOVAL_LEASE: Duration = Duration::from_secs(120);

const LONGEST_BACKOFF: Duration = Duration::from_secs(600);

impl App {
    /// Queues the jobs of workers again that fell silent, and those whose time is up.
    ///
    /// `listening` is how long workers could be heard without a break.
    ///
    /// # Errors
    /// [`Error::Store`] also when a lost attempt could not be ended: heartbeats may not have been noted either, and
    /// workers are to get their time again.
    pub async fn reap(&self, listening: Duration) -> Result<(), Error> {
        let now = self.clock.now();
        // A database whose disk is full is read as ever, and every worker in it falls silent.
        let told = self.store.beat(REAPER, &self.replica, now).await?;
        if let Some(told) = told
            && has_stepped(told, now, self.clock.now())
        {
            // Other replicas may go by the new time already: what they noted does not compare with ours.
            tracing::warn!(%told, own = %now, "the clock of the database stepped; no worker is judged by it yet");
            return Ok(());
        }
        let silent_since = self.silent_since(listening, now);
        let (mut after, mut problem) = (None, None);
        for _ in 0..REAP_ROUNDS {
            let lapsed = self
                .store
                .lapsed(silent_since, now, after, REAP_BATCH)
                .await?;
            for job in &lapsed.jobs {
                // One job that cannot be changed now must not hold up those after it.
                if let Err(error) = self.reap_one(job, silent_since, now).await {
                    problem.get_or_insert(error);
                }
            }
            after = lapsed.next;
            if after.is_none() {
                break;
            }
        }
        problem.map_or(Ok(()), Err)
    }

    /// While nobody could be heard, silence tells nothing: after a break workers get their time first.
    fn silent_since(&self, listening: Duration, now: Time) -> Time {
        let ttl = self.options.worker_ttl;
        let patience = chrono::TimeDelta::from_std(ttl).ok();
        patience
            .filter(|_| listening >= ttl)
            .and_then(|patience| now.checked_sub_signed(patience))
            .unwrap_or(Time::UNIX_EPOCH)
    }

    /// Fails when the database did, and only for a silent worker: other problems are this job's own.
    async fn reap_one(&self, job: &Job, silent_since: Time, now: Time) -> Result<(), Error> {
        let failure = loss(job, now);
        let silent_since = (failure.reason == WORKER_LOST).then_some(silent_since);
        let Err(error) = self.take_away(job, failure, silent_since).await else {
            return Ok(());
        };
        tracing::warn!(job_id = %job.id, error = %chain(&error), "a lost attempt was not ended");
        match error {
            Error::Store(JobStoreError::Database(_)) if silent_since.is_some() => Err(error),
            _ => Ok(()),
        }
    }

    /// Expires jobs that have waited too long and forgets those whose retention is over, if this replica has that duty.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn upkeep(&self) -> Result<(), Error> {
        let now = self.clock.now();
        // Others take over when this replica misses three rounds.
        let ttl = self.options.upkeep_interval * 3;
        if !self.store.duty(UPKEEP, &self.replica, now, ttl).await? {
            return Ok(());
        }
        self.expire(now).await?;
        while !self.shutdown.is_cancelled() {
            let purged = self.store.purge_due(now, UPKEEP_BATCH).await?;
            if purged.is_empty() {
                break;
            }
            tracing::info!(jobs = purged.len(), "jobs forgotten after their retention");
        }
        self.store.forget_requests(now).await?;
        self.store.forget_workers(now - 7 * WORKER_MEMORY).await?;
        if self.store.look_again().await? > 0 {
            self.waker.wake();
        }
        Ok(())
    }

    /// Makes room for the jobs that will end in the months to come. Until there is, they lie with the rest.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn keep_months(&self) -> Result<(), Error> {
        Ok(self.store.keep_months(self.clock.now()).await?)
    }

    /// Lets another replica have the duty at once.
    pub async fn hand_over_upkeep(&self) {
        if let Err(error) = self.store.give_up_duty(UPKEEP, &self.replica).await {
            tracing::debug!(error = %chain(&error), "the duty ends by itself");
        }
    }

    async fn expire(&self, now: Time) -> Result<(), Error> {
        loop {
            let due = self.store.expired(now, UPKEEP_BATCH).await?;
            let mut expired = 0;
            for job in &due {
                match self.expire_one(job.id, now).await {
                    Ok(has_expired) => expired += u64::from(has_expired),
                    // One that cannot be changed now must not hold up those after it.
                    Err(error) => {
                        tracing::warn!(job_id = %job.id, error = %chain(&error), "a job did not expire");
                    }
                }
            }
            if expired == 0 || expired < UPKEEP_BATCH {
                return Ok(());
            }
        }
    }

    async fn expire_one(&self, id: JobId, now: Time) -> Result<bool, Error> {
        let changed = self.store.change(id, None, |job| {
            let event = transition::expire(job, now);
            let has_objects = event.is_some() && (job.lease > 0 || job.spec.has_images());
            let removals = if has_objects {
                self.removals(id, now)
            } else {
                Vec::new()
            };
            Ok::<_, Infallible>(Change { event, removals })
        });
        let Some(Ok((_, outcome))) = changed.await? else {
            return Ok(false);
        };
        let has_expired = outcome.event.is_some();
        if has_expired {
            tracing::info!(job_id = %id, "job expired");
        }
        self.tell(outcome);
        Ok(has_expired)
    }

    /// Removes objects that are due, until none is left; those that fail are put off.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn sweep(&self) -> Result<(), Error> {
        loop {
            let now = self.clock.now();
            let due = self
                .store
                .due_removals(now, REMOVAL_LEASE, SWEEP_BATCH)
                .await?;
            if due.is_empty() {
                return Ok(());
            }
            for removal in due {
                self.remove(&removal).await?;
            }
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
        }
    }

    async fn remove(&self, removal: &DueRemoval) -> Result<(), Error> {
        match self.objects.remove_prefix(&removal.prefix).await {
            Ok(()) => Ok(self.store.removal_done(removal.id).await?),
            Err(error) => {
                let delay = backoff(removal.attempts);
                tracing::warn!(prefix = removal.prefix, attempts = removal.attempts, error = %chain(&*error), "objects not removed");
                let not_before = self.clock.now() + delay;
                Ok(self.store.postpone_removal(removal.id, not_before).await?)
            }
        }
    }
}

/// Whether a time told between two others is none that the same clock can have shown.
fn has_stepped(told: Time, before: Time, after: Time) -> bool {
    told < before - CLOCK_STEP || told > after + CLOCK_STEP
}

fn backoff(attempts: u32) -> Duration {
    (Duration::from_secs(1) * 2_u32.pow(attempts.min(16))).min(LONGEST_BACKOFF)
}

fn loss(job: &Job, now: Time) -> Failure {
    let (reason, message) = if job.deadline.is_some_and(|deadline| deadline < now) {
        (ATTEMPT_TIME_LIMIT, "the attempt took too long")
    } else {
        (WORKER_LOST, "the worker that generated this clip was lost")
    };
    Failure {
        reason: reason.to_owned(),
        message: message.to_owned(),
        retryable: true,
    }
}

#[cfg(test)]
mod tests;
