//! What callers do with their jobs.

use std::convert::Infallible;

use kinora_ids::JobId;
use kinora_store::page::Page;

use super::{App, PAGES, QueuePlace};
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

/// What a list of jobs is to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoQuery {
    /// Jobs in these states alone; in any when none is named.
    pub states: Vec<State>,
    /// How many at most; 0 for the usual number.
    pub page_size: i32,
    /// From the page before. Empty for the first one.
    pub page_token: String,
    /// The job after which the page begins, instead of a token.
    pub after: Option<JobId>,
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

    /// Lists jobs, newest first, with the token of the next page if there is one.
    ///
    /// # Errors
    /// [`Error::PageSize`], [`Error::PageToken`], [`Error::AfterUnknown`], [`Error::Store`].
    pub async fn list(
        &self,
        owner: &str,
        query: &VideoQuery,
    ) -> Result<(Vec<View>, String), Error> {
        let VideoQuery {
            states,
            page_size,
            page_token,
            after,
        } = query;
        let scope = scope(owner, states);
        let page = Page::of(PAGES, &[&scope], *page_size, page_token)?;
        if let Some(id) = after {
            let after = self.store.get(owner, *id).await?;
            after.ok_or(Error::AfterUnknown)?;
        }
        let before = after.or(page.after.map(JobId::from_uuid));
        let jobs = self.store.list(owner, states, before, page.rows()).await?;
        let (jobs, next) = page.cut(jobs, |job| job.id.as_uuid());
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

/// What a page token is bound to: its owner, and the states when some are named.
fn scope(owner: &str, states: &[State]) -> String {
    let mut names: Vec<String> = states.iter().map(|state| format!("{state:?}")).collect();
    names.sort_unstable();
    names.dedup();
    names.insert(0, owner.to_owned());
    names.join(" ")
}
