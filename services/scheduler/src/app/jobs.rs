//! What callers do with their jobs.

use std::convert::Infallible;

use kinora_ids::JobId;
use kinora_mesh::trace::current_traceparent;

use super::App;
use super::page::{PageToken, page_limit};
use crate::domain::job::{Job, State};
use crate::domain::model::Model;
use crate::domain::submission::{Stills, Submission, choose_model, notes};
use crate::domain::transition;
use crate::error::Error;
use crate::metrics::Outcome;
use crate::store::{Change, Previous, Submitted};

/// A job as its owner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The job.
    pub job: Job,
    /// Jobs ahead of it. 0 unless it is queued.
    pub jobs_ahead: u64,
}

impl App {
    /// Accepts a job durably, or answers with the one that the same request led to.
    ///
    /// # Errors
    /// [`Error::Submission`], [`Error::NoModel`], [`Error::RequestIdReused`], [`Error::Store`].
    pub async fn submit(&self, owner: &str, submission: &Submission) -> Result<View, Error> {
        let stills = submission.check_form()?;
        let fingerprint = submission.fingerprint();
        let request = submission
            .request_id
            .as_deref()
            .map(|id| (id, fingerprint.as_str()));
        if let Some((id, fingerprint)) = request
            && let Some(previous) = self.store.previous(owner, id).await?
        {
            return self.repeat(owner, previous, fingerprint).await;
        }
        let mut job = self.prepare(owner, submission, stills).await?;
        let orphaned = self.store_images(&mut job, submission, stills).await?;
        match self.store.submit(&job, request, orphaned).await? {
            Submitted::Known(previous) => {
                if let Some(orphaned) = orphaned {
                    self.store.postpone_removal(orphaned, self.now()).await?;
                }
                self.repeat(owner, previous, &fingerprint).await
            }
            Submitted::Accepted => {
                tracing::info!(job_id = %job.id, model = %job.spec.model, "job accepted");
                self.announce(job.event(job.create_time));
                self.view(job).await
            }
        }
    }

    /// Reads a job.
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::Store`].
    pub async fn get(&self, owner: &str, id: JobId) -> Result<View, Error> {
        let job = self.store.get(owner, id).await?.ok_or(Error::JobNotFound)?;
        self.view(job).await
    }

    /// Lists jobs, newest first, with the token of the next page if there is one.
    ///
    /// # Errors
    /// [`Error::PageSize`], [`Error::PageToken`], [`Error::Store`].
    pub async fn list(
        &self,
        owner: &str,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<View>, String), Error> {
        let limit = page_limit(page_size)?;
        let before = PageToken::parse(page_token, owner)?;
        // One more than asked for tells whether there is another page.
        let mut jobs = self.store.list(owner, before, limit as u64 + 1).await?;
        let has_more = jobs.len() > limit;
        jobs.truncate(limit);
        let next = match jobs.last() {
            Some(last) if has_more => PageToken::make(last.id, owner),
            _ => String::new(),
        };
        let mut views = Vec::with_capacity(jobs.len());
        for job in jobs {
            views.push(self.view(job).await?);
        }
        Ok((views, next))
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
        let Some(Ok((job, change))) = changed.await? else {
            return Err(Error::JobNotFound);
        };
        if let Some(event) = change.event {
            tracing::info!(job_id = %id, lease = job.lease, "job cancelled");
            if was_running {
                self.metrics.attempt_ended(Outcome::Cancelled);
            }
            self.announce(event);
            self.revoke_newest(&job);
        }
        Ok(View { job, jobs_ahead: 0 })
    }

    /// Ends a job if need be, forgets it and removes its objects.
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::Store`].
    pub async fn delete(&self, owner: &str, id: JobId) -> Result<(), Error> {
        let now = self.clock.now();
        let removals = self.removals(id, now);
        let deleted = self.store.delete(owner, id, &removals).await?;
        let mut job = deleted.ok_or(Error::JobNotFound)?;
        tracing::info!(job_id = %id, "job deleted");
        if let Some(event) = transition::cancel(&mut job, now) {
            self.announce(event);
            self.revoke_newest(&job);
        }
        Ok(())
    }

    /// Lists the models that workers have announced.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn models(&self) -> Result<Vec<Model>, Error> {
        Ok(self.store.models().await?)
    }

    async fn prepare(
        &self,
        owner: &str,
        submission: &Submission,
        stills: Stills,
    ) -> Result<Job, Error> {
        let models = self.store.models().await?;
        if models.is_empty() {
            return Err(Error::NoModel);
        }
        let default = self.options.default_model.as_deref();
        let model = choose_model(submission.model.as_deref(), default, &models)?;
        let spec = submission.resolve(model, stills, rand::random())?;
        let notes = notes(&spec, model);
        let mut job = Job::queued(JobId::generate(), owner.to_owned(), spec, self.clock.now());
        job.notes = notes;
        job.traceparent = current_traceparent();
        Ok(job)
    }

    async fn repeat(
        &self,
        owner: &str,
        previous: Previous,
        fingerprint: &str,
    ) -> Result<View, Error> {
        if previous.fingerprint != fingerprint {
            return Err(Error::RequestIdReused { job: previous.job });
        }
        self.get(owner, previous.job).await
    }

    async fn view(&self, job: Job) -> Result<View, Error> {
        let place = self.queue_place(&job).await?;
        let jobs_ahead = place.map_or(0, |place| place.ahead);
        Ok(View { job, jobs_ahead })
    }

    pub(super) fn revoke_newest(&self, job: &Job) {
        if let Some(worker) = &job.worker {
            self.revoke(worker, job.newest_lease());
        }
    }
}
