//! What workers do: attach, take leases, report.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kinora_ids::LeaseRef;
use kinora_mesh::error::chain;
use uuid::Uuid;

use super::App;
use crate::domain::job::{Checkpoint, Event, Failure, Job, Outputs, State, Time};
use crate::domain::model::Model;
use crate::domain::price;
use crate::domain::retry::{WORKER_RESTARTED, is_hand_back};
use crate::domain::transition::{self, Reporter, StaleLease};
use crate::error::Error;
use crate::metrics::Outcome;
use crate::sessions::{DeviceState, NameTaken, Offer};
use crate::store::{Attachment, Change, Reconciled, Removal, Wishes};

/// What a worker says of itself when it attaches.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// Its stable name.
    pub worker: String,
    /// For people.
    pub version: String,
    /// For people.
    pub device: String,
    /// Kind of machine.
    pub pool: String,
    /// The version of the contract that it speaks.
    pub protocol: u32,
    /// Which process of that name; may be empty.
    pub instance: String,
    /// What its device holds.
    pub device_state: DeviceState,
    /// Leases it takes at a time; 0 while it drains.
    pub slots: u32,
    /// What it can run.
    pub models: Vec<Model>,
    /// Leases it still works on, or whose last report it will repeat.
    pub held: Vec<LeaseRef>,
}

impl Greeting {
    /// What dispatch has to know of it.
    #[must_use]
    pub fn offer(&self) -> Offer {
        let models = self.models.iter();
        let models = models.map(|model| (model.id.clone(), model.memory));
        Offer {
            worker: self.worker.clone(),
            instance: self.instance.clone(),
            protocol: self.protocol,
            slots: self.slots,
            models: Arc::new(models.collect()),
            device: self.device_state.clone(),
        }
    }
}

impl App {
    /// Records a worker, and settles which of its leases stand.
    ///
    /// # Errors
    /// [`Error::NameTaken`] while another instance has the name, here or at another replica; [`Error::Store`].
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
            instance: greeting.instance,
            pool: greeting.pool,
            protocol: greeting.protocol,
            device_state: greeting.device_state,
        };
        let lose = |job: &mut Job| self.lose(job, restarted(), now);
        let heard_since = now - self.options.worker_ttl;
        let attached = self.store.attach(&attachment, now, heard_since, lose);
        let mut reconciled = attached.await?.ok_or(NameTaken)?;
        tracing::info!(
            worker_id = attachment.worker,
            device = attachment.device,
            pool = attachment.pool,
            protocol = attachment.protocol,
            slots = attachment.slots,
            held = attachment.held.len(),
            "worker attached"
        );
        for event in reconciled.events.drain(..) {
            tracing::warn!(job_id = %event.job, attempt = event.attempt, "worker came back without the job");
            self.metrics.attempt_ended(Outcome::Lost);
            self.announce(event);
        }
        Ok(reconciled)
    }

    /// Renews a worker, with what its device is like where that has changed. What operators want of it, and those of its
    /// leases that no longer stand.
    ///
    /// # Errors
    /// [`Error::Superseded`], [`Error::Store`].
    pub async fn heartbeat(
        &self,
        worker: &str,
        session: Uuid,
        is_draining: bool,
        device: Option<&DeviceState>,
        held: &[LeaseRef],
    ) -> Result<(Wishes, Vec<LeaseRef>), Error> {
        let now = self.clock.now();
        let renewed = self
            .store
            .heartbeat(worker, session, is_draining, device, now);
        let wishes = renewed.await?.ok_or(Error::Superseded)?;
        Ok((wishes, self.store.stale_leases(worker, held).await?))
    }

    /// Notes that a worker's stream has ended. Its leases stand.
    pub async fn detach(&self, worker: &str, session: Uuid) {
        if let Err(error) = self.store.detach(worker, session).await {
            // It counts as attached until it has been silent for long enough.
            tracing::warn!(worker_id = worker, error = %chain(&error), "the end of a stream was not noted");
        }
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
            &outputs.spritesheet_key,
        ];
        if outputs.video_key.is_empty() || !keys.into_iter().all(is_own) {
            self.fail(from, outputs_invalid(), device_time).await?;
            return Ok(false);
        }
        let now = self.clock.now();
        let mut measured = None;
        let accepted = self.report(from, |job| {
            let (model, units) = (job.work().model.clone(), price::measured_units(job));
            let longest = transition::attempt_length(job, now);
            let Some(event) = transition::complete(job, from, outputs, device_time, now)? else {
                return Ok(Change::default());
            };
            measured = units
                .zip(device_time)
                .map(|(units, time)| (model, units, time.min(longest)));
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
        if accepted {
            self.metrics.attempt_ended(Outcome::Completed);
        }
        if let Some((model, units, time)) = measured {
            self.store.note_pace(&model, units, time).await?;
        }
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
        let is_back = is_hand_back(&failure);
        let mut outcome = Outcome::Failed;
        let accepted = self.report(from, |job| {
            let event = transition::fail(job, from, failure, device_time, now, (&policy, jitter))?;
            if !event.state.is_terminal() {
                outcome = if is_back {
                    Outcome::HandedBack
                } else {
                    Outcome::Retried
                };
            }
            let removals = self.removals_after_failure(job, now);
            Ok(Change {
                event: Some(event),
                removals,
            })
        });
        let accepted = accepted.await?;
        if accepted {
            self.metrics.attempt_ended(outcome);
        }
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
            Some(Ok((_, outcome))) => {
                self.tell(outcome);
                Ok(true)
            }
            Some(Err(StaleLease)) | None => {
                self.refuse(from);
                Ok(false)
            }
        }
    }

    /// Notes a report under a lease that does not stand.
    pub(super) fn refuse(&self, from: Reporter<'_>) {
        self.board.forget(from.lease.job);
        self.metrics.stale_report();
        tracing::info!(job_id = %from.lease.job, lease = from.lease.lease, worker_id = from.worker, "stale report refused");
    }

    /// Takes an attempt from a worker that no longer deserves it, unless it has changed since it was read, or the worker
    /// was heard at or after `silent_since` where that is given.
    pub(super) async fn take_away(
        &self,
        seen: &Job,
        failure: Failure,
        silent_since: Option<Time>,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let reason = failure.reason.clone();
        let rule = |job: &mut Job| {
            if job.newest_lease() != seen.newest_lease() {
                return Ok::<_, Infallible>(Change::default());
            }
            let (event, removals) = self.lose(job, failure, now);
            Ok(Change { event, removals })
        };
        let changed = match (seen.worker.as_deref(), silent_since) {
            (Some(worker), Some(since)) => {
                let changed = self.store.change_unless_heard(seen.id, worker, since, rule);
                changed.await?
            }
            _ => self.store.change(seen.id, None, rule).await?,
        };
        if let Some(Ok((_, outcome))) = changed
            && outcome.event.is_some()
        {
            tracing::warn!(job_id = %seen.id, lease = seen.lease, worker_id = seen.worker, reason, "attempt lost");
            self.metrics.lease_expired();
            self.metrics.attempt_ended(Outcome::Lost);
            self.tell(outcome);
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
