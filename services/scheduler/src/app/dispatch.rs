//! What workers do: attach, take leases, report.

use std::convert::Infallible;
use std::time::Duration;

use kinora_ids::LeaseRef;
use uuid::Uuid;

use super::App;
use crate::domain::job::{
    Checkpoint, Event, Failure, Job, Outputs, Preview, Progress, State, Time,
};
use crate::domain::model::Model;
use crate::domain::retry::WORKER_RESTARTED;
use crate::domain::transition::{self, Reporter, StaleLease};
use crate::error::Error;
use crate::store::{Attachment, Change, Claim, Reconciled, Removal};

/// What a worker says of itself when it attaches.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// Its stable name.
    pub worker: String,
    /// For people.
    pub version: String,
    /// For people.
    pub device: String,
    /// Leases it takes at a time; 0 while it drains.
    pub slots: u32,
    /// What it can run.
    pub models: Vec<Model>,
    /// Leases it still works on, or whose last report it will repeat.
    pub held: Vec<LeaseRef>,
}

impl App {
    /// Records a worker, and settles which of its leases stand.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn attach(&self, greeting: Greeting, session: Uuid) -> Result<Reconciled, Error> {
        let now = self.clock.now();
        let attachment = Attachment {
            worker: greeting.worker,
            session,
            version: greeting.version,
            device: greeting.device,
            slots: greeting.slots,
            models: greeting.models,
            held: greeting.held,
        };
        let lose = |job: &mut Job| self.lose(job, restarted(), now);
        let mut reconciled = self.store.attach(&attachment, now, lose).await?;
        for event in reconciled.events.drain(..) {
            tracing::warn!(job_id = %event.job, attempt = event.attempt, "worker came back without the job");
            self.announce(event);
        }
        Ok(reconciled)
    }

    /// Leases up to `limit` jobs to a worker.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn claim(
        &self,
        worker: &str,
        session: Uuid,
        models: &[String],
        limit: u64,
    ) -> Result<Vec<Job>, Error> {
        let now = self.clock.now();
        if !self.store.has_work(models, now).await? {
            return Ok(Vec::new());
        }
        let claim = Claim {
            worker,
            session,
            limit,
            now,
            // The worker reports an overdue attempt itself; we step in when it does not.
            time_limit: self.options.time_limit + self.options.worker_ttl,
        };
        let claimed = self.store.claim(claim).await?;
        let mut jobs = Vec::with_capacity(claimed.len());
        for (job, event) in claimed {
            tracing::info!(job_id = %job.id, lease = job.lease, worker_id = worker, "job leased");
            self.announce(event);
            jobs.push(job);
        }
        Ok(jobs)
    }

    /// Renews a worker and finds those of its leases that no longer stand.
    ///
    /// # Errors
    /// [`Error::Superseded`], [`Error::Store`].
    pub async fn heartbeat(
        &self,
        worker: &str,
        session: Uuid,
        is_draining: bool,
        held: &[LeaseRef],
    ) -> Result<Vec<LeaseRef>, Error> {
        let now = self.clock.now();
        if !self
            .store
            .heartbeat(worker, session, is_draining, now)
            .await?
        {
            return Err(Error::Superseded);
        }
        Ok(self.store.stale_leases(worker, held).await?)
    }

    /// Records progress and shows a picture, if there is one. False when the lease does not stand.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn progress(
        &self,
        from: Reporter<'_>,
        progress: Progress,
        preview: Option<Preview>,
    ) -> Result<bool, Error> {
        let now = self.clock.now();
        self.report(from, |job| {
            let event = match preview {
                Some(preview) => Some(transition::advance_with_preview(
                    job, from, progress, preview, now,
                )?),
                None => transition::advance(job, from, progress, now)?,
            };
            Ok(Change {
                event,
                removals: Vec::new(),
            })
        })
        .await
    }

    /// Records where the next attempt can go on. False when the lease does not stand.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn checkpoint(
        &self,
        from: Reporter<'_>,
        checkpoint: Checkpoint,
    ) -> Result<bool, Error> {
        if !checkpoint.is_plausible(from.lease.job) {
            tracing::warn!(job_id = %from.lease.job, worker_id = from.worker, key = checkpoint.key, "a checkpoint that cannot be one was ignored");
            return Ok(true);
        }
        self.report(from, |job| {
            transition::checkpoint(job, from, checkpoint)?;
            Ok(Change::default())
        })
        .await
    }

    /// Ends a job with its outputs. False when the lease does not stand.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn complete(
        &self,
        from: Reporter<'_>,
        outputs: Outputs,
        device_time: Option<Duration>,
    ) -> Result<bool, Error> {
        let prefix = from.lease.object_prefix();
        let is_own = |key: &String| key.is_empty() || key.starts_with(&prefix);
        let keys = [
            &outputs.video_key,
            &outputs.thumbnail_key,
            &outputs.manifest_key,
            &outputs.still_key,
            &outputs.last_frame_key,
        ];
        if outputs.video_key.is_empty() || !keys.into_iter().all(is_own) {
            self.fail(from, outputs_invalid(), device_time).await?;
            return Ok(false);
        }
        let now = self.clock.now();
        let accepted = self.report(from, |job| {
            let Some(event) = transition::complete(job, from, outputs, device_time, now)? else {
                return Ok(Change::default());
            };
            let removals = match job.state {
                State::Completed => self.removals_after_completion(job, now),
                _ => Vec::new(),
            };
            Ok(Change {
                event: Some(event),
                removals,
            })
        });
        let accepted = accepted.await?;
        log_end(from, "completed", accepted);
        Ok(accepted)
    }

    /// Ends an attempt that failed. False when the lease does not stand.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn fail(
        &self,
        from: Reporter<'_>,
        failure: Failure,
        device_time: Option<Duration>,
    ) -> Result<bool, Error> {
        let now = self.clock.now();
        let (policy, jitter) = (self.options.retry_policy(), rand::random());
        let reason = failure.reason.clone();
        let accepted = self.report(from, |job| {
            let event = transition::fail(job, from, failure, device_time, now, (&policy, jitter))?;
            let removals = self.removals_after_failure(job, now);
            Ok(Change {
                event: Some(event),
                removals,
            })
        });
        let accepted = accepted.await?;
        log_end(from, &reason, accepted);
        Ok(accepted)
    }

    pub(super) fn lose(
        &self,
        job: &mut Job,
        failure: Failure,
        now: Time,
    ) -> (Option<Event>, Vec<Removal>) {
        let event = transition::lose(job, failure, now, &self.options.retry_policy());
        let removals = self.removals_after_failure(job, now);
        (event, removals)
    }

    async fn report(
        &self,
        from: Reporter<'_>,
        rule: impl FnOnce(&mut Job) -> Result<Change, StaleLease>,
    ) -> Result<bool, Error> {
        match self.store.change(from.lease.job, None, rule).await? {
            Some(Ok((_, change))) => {
                if let Some(event) = change.event {
                    self.announce(event);
                }
                Ok(true)
            }
            Some(Err(StaleLease)) | None => {
                tracing::info!(job_id = %from.lease.job, lease = from.lease.lease, worker_id = from.worker, "stale report refused");
                Ok(false)
            }
        }
    }

    /// Takes an attempt from a worker that no longer deserves it, unless it has changed since it was read.
    pub(super) async fn take_away(&self, seen: &Job, failure: Failure) -> Result<(), Error> {
        let now = self.clock.now();
        let reason = failure.reason.clone();
        let changed = self.store.change(seen.id, None, |job| {
            if job.newest_lease() != seen.newest_lease() {
                return Ok::<_, Infallible>(Change::default());
            }
            let (event, removals) = self.lose(job, failure, now);
            Ok(Change { event, removals })
        });
        if let Some(Ok((
            _,
            Change {
                event: Some(event), ..
            },
        ))) = changed.await?
        {
            tracing::warn!(job_id = %seen.id, lease = seen.lease, worker_id = seen.worker, reason, "attempt lost");
            self.announce(event);
            self.revoke_newest(seen);
        }
        Ok(())
    }
}

fn log_end(from: Reporter<'_>, end: &str, accepted: bool) {
    let LeaseRef { job, lease } = from.lease;
    tracing::info!(job_id = %job, lease, worker_id = from.worker, end, accepted, "attempt ended");
}

fn restarted() -> Failure {
    Failure {
        reason: WORKER_RESTARTED.to_owned(),
        message: "the worker restarted while it generated this clip".to_owned(),
        retryable: true,
    }
}

fn outputs_invalid() -> Failure {
    Failure {
        reason: "OUTPUTS_INVALID".to_owned(),
        message: "the worker reported files that are not this attempt's".to_owned(),
        retryable: true,
    }
}
