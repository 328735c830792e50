//! What callers do with their jobs.

use std::convert::Infallible;

use kinora_ids::JobId;

use super::{App, QueuePlace};
use crate::domain::job::{Job, State};
use crate::domain::transition;
use crate::error::Error;
use crate::metrics;
use crate::store::{Change, Offer, Outcome};

/// A job as its owner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The job.
    pub job: Job,
    /// Where it stands in the queue, while it is queued.
    pub place: Option<QueuePlace>,
}

impl App {
    /// Reads a job.
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::Store`].
    pub async fn get(&self, owner: &str, id: JobId) -> Result<View, Error> {
        let job = self.store.get(owner, id).await?.ok_or(Error::JobNotFound)?;
        self.view(job).await
    }

    /// Ends a job that has not ended.
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::Store`].
    pub async fn cancel(&self, owner: &str, id: JobId) -> Result<View, Error> {
        let now = self.clock.now();
        let mut was_running = false;
        let changed = self.store.change(id, Some(owner), |job| {
            was_running = job.state == State::Running;
            let event = transition::cancel(job, now);
            let has_objects = event.is_some() && (job.lease > 0 || job.spec.has_images());
            let removals = if has_objects {
                self.removals(id, now)
            } else {
                Vec::new()
            };
            Ok::<_, Infallible>(Change { event, removals })
        });
        let Some(Ok((job, outcome))) = changed.await? else {
            return Err(Error::JobNotFound);
        };
        if outcome.event.is_some() {
            tracing::info!(job_id = %id, lease = job.lease, "job cancelled");
            if was_running {
                self.metrics.attempt_ended(metrics::Outcome::Cancelled);
            }
            self.tell(outcome);
            self.revoke_newest(&job);
        }
        Ok(View { job, place: None })
    }

    /// Ends a job if need be, forgets it and removes its objects.
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::Store`].
    pub async fn delete(&self, owner: &str, id: JobId) -> Result<(), Error> {
        let now = self.clock.now();
        let removals = self.removals(id, now);
        let deleted = self.store.delete(owner, id, &removals, now).await?;
        let deleted = deleted.ok_or(Error::JobNotFound)?;
        tracing::info!(job_id = %id, "job deleted");
        if deleted.job.state == State::Running {
            self.metrics.attempt_ended(metrics::Outcome::Cancelled);
        }
        if deleted.event.is_some() {
            self.revoke_newest(&deleted.job);
        }
        self.tell(Outcome {
            event: deleted.event,
            others: deleted.others,
        });
        Ok(())
    }

    /// Lists the models that workers have announced.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn offers(&self) -> Result<Vec<Offer>, Error> {
        Ok(self.store.offers().await?)
    }

    pub(super) async fn view(&self, mut job: Job) -> Result<View, Error> {
        self.board.freshen(&mut job);
        let place = self.queue_place(&job).await?;
        Ok(View { job, place })
    }

    pub(super) fn revoke_newest(&self, job: &Job) {
        if let Some(worker) = &job.worker {
            self.revoke(worker, job.newest_lease());
        }
    }

    /// Tells watchers and dispatch what a change led to.
    pub(super) fn tell(&self, outcome: Outcome) {
        let events = outcome.event.into_iter().chain(outcome.others);
        events.for_each(|event| self.announce(event));
    }
}
