//! What operators see and do.

use std::time::Duration;

use kinora_ids::JobId;
use kinora_mesh::trace::current_traceparent;
use kinora_store::page::Page;
use uuid::Uuid;

use super::{App, PAGES, View};
use crate::domain::job::{Job, State};
use crate::domain::submission::{Stills, Submission};
use crate::error::Error;
use crate::store::{
    Attempt, Limits, QueueView, Request, Submitted, Tenant, TenantChange, Wishes, WorkerRow,
};

/// Workers that have not been heard for longer are not listed.
pub(super) const WORKER_MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// What page tokens of dead letters are bound to, as those of jobs are to their owners. No principal has this name.
const DEAD_LETTERS: &str = "dead letters";

/// A job that failed after its last attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// The job.
    pub view: View,
    /// Its attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// The job that a retry made.
    pub retried_as: Option<JobId>,
}

impl App {
    /// Lists the workers that were heard within the last day, by name.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn workers(&self) -> Result<Vec<WorkerRow>, Error> {
        Ok(self.store.workers(self.now() - WORKER_MEMORY).await?)
    }

    /// Keeps new leases from a worker, or lifts that and the order to drain.
    ///
    /// # Errors
    /// [`Error::WorkerNotFound`], [`Error::Store`].
    pub async fn cordon(&self, worker: &str, is_cordoned: bool) -> Result<WorkerRow, Error> {
        let wishes = Wishes {
            is_cordoned,
            is_drained: false,
        };
        self.set_wishes(worker, wishes).await
    }

    /// Cordons a worker, and orders it to hand back what it runs and end.
    ///
    /// # Errors
    /// As [`App::cordon`].
    pub async fn drain_worker(&self, worker: &str) -> Result<WorkerRow, Error> {
        let wishes = Wishes {
            is_cordoned: true,
            is_drained: true,
        };
        self.set_wishes(worker, wishes).await
    }

    /// What is wished is stored first: a worker that does not hear of it now reads it with its next heartbeat.
    async fn set_wishes(&self, worker: &str, wishes: Wishes) -> Result<WorkerRow, Error> {
        if !self.store.set_wishes(worker, wishes).await? {
            return Err(Error::WorkerNotFound);
        }
        tracing::info!(
            worker_id = worker,
            wishes.is_cordoned,
            wishes.is_drained,
            "worker cordoned, uncordoned or drained"
        );
        self.wish(worker, wishes);
        // However long it has not been heard: what was wished of it stands.
        let found = self.store.worker(worker).await?;
        found.ok_or(Error::WorkerNotFound)
    }

    /// Sums up what waits, by model and class.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn queues(&self) -> Result<Vec<QueueView>, Error> {
        Ok(self.store.queues().await?)
    }

    /// Reads a tenant's share and limits; the usual ones of a tenant that is not known, which leaves no trace of the name.
    ///
    /// # Errors
    /// [`Error::Field`] for a name that no tenant can have, [`Error::Store`].
    pub async fn tenant(&self, tenant: &str) -> Result<Tenant, Error> {
        check_tenant(tenant)?;
        Ok(self.store.tenant(tenant).await?)
    }

    /// Sets a tenant's share and limits. To set nothing is to read them.
    ///
    /// # Errors
    /// [`Error::Field`] for a weight out of range or a name that no tenant can have, [`Error::Store`].
    pub async fn set_tenant(&self, tenant: &str, change: TenantChange) -> Result<Tenant, Error> {
        if change
            .weight
            .is_some_and(|weight| !(1..=1000).contains(&weight))
        {
            return Err(Error::Field {
                reason: "WEIGHT_INVALID",
                field: "weight",
                problem: "must be from 1 to 1000",
            });
        }
        if change == TenantChange::default() {
            return self.tenant(tenant).await;
        }
        check_tenant(tenant)?;
        Ok(self.store.set_tenant(tenant, change).await?)
    }

    /// Lists jobs that failed after their last attempt, newest first, with the token of the next page.
    ///
    /// # Errors
    /// [`Error::PageSize`], [`Error::PageToken`], [`Error::Store`].
    pub async fn dead_letters(
        &self,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<DeadLetter>, String), Error> {
        let page = Page::of(PAGES, &[DEAD_LETTERS], page_size, page_token)?;
        let before = page.after.map(JobId::from_uuid);
        let jobs = self.store.dead_letters(before, page.rows()).await?;
        let (jobs, next) = page.cut(jobs, |job| job.id.as_uuid());
        let mut letters = Vec::with_capacity(jobs.len());
        for job in jobs {
            letters.push(self.dead_letter(job).await?);
        }
        Ok((letters, next))
    }

    /// Submits a dead letter's request again as a new job of its owner. Repeated, it answers with the same new job.
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::NotADeadLetter`], [`Error::PictureGone`], [`Error::Objects`], [`Error::Store`].
    pub async fn retry_dead_letter(&self, id: JobId) -> Result<View, Error> {
        let job = self.store.find(id).await?.ok_or(Error::JobNotFound)?;
        if job.state != State::Failed || job.attempt == 0 {
            return Err(Error::NotADeadLetter);
        }
        let request = Request {
            key: retry_key(id),
            fingerprint: id.to_string(),
            expires_at: None,
        };
        let previous = self.store.previous(&job.owner, &request.key, self.now());
        if let Some(previous) = previous.await? {
            return self.get(&job.owner, previous.job).await;
        }
        self.submit_again(&job, &request).await
    }

    async fn submit_again(&self, job: &Job, request: &Request) -> Result<View, Error> {
        let (mut again, nothing_sent) = ([self.again(job)], Submission::default());
        let (sent, mut latest) = ((&nothing_sent, Stills::default()), None);
        let [new] = &mut again;
        let stored = self.store_images(new, sent, &mut latest);
        let orphaned: Vec<Uuid> = stored.await?.into_iter().collect();
        // An operator's word stands above the limits, and costs the owner nothing.
        let limits = Limits::default();
        let submitted = self
            .store
            .submit(&again, None, Some(request), &limits, &orphaned);
        match submitted.await? {
            Submitted::Accepted(jobs) => {
                self.welcome(&jobs);
                let job = jobs.into_iter().next().ok_or(Error::JobNotFound)?;
                self.view(job).await
            }
            Submitted::Known(previous) => {
                self.abandon(&orphaned).await?;
                self.get(&job.owner, previous.job).await
            }
            Submitted::OverLimit(hit) => {
                self.abandon(&orphaned).await?;
                Err(Error::OverLimit(hit))
            }
        }
    }

    /// The same request as a new job: at once, and without what was cut short before.
    fn again(&self, failed: &Job) -> Job {
        let now = self.now();
        let spec = failed.spec.clone();
        let mut job = Job::queued(JobId::generate(), failed.owner.clone(), spec, now);
        job.kind = failed.kind;
        job.priority = failed.priority;
        job.terms = failed.terms;
        // Moderated and rewritten when it was submitted.
        job.prompting.clone_from(&failed.prompting);
        job.notes.clone_from(&failed.notes);
        job.needs.clone_from(&failed.needs);
        job.wants_last_frame = failed.wants_last_frame;
        job.estimated_cost = failed.estimated_cost;
        job.source = Some(failed.id);
        job.traceparent = current_traceparent();
        // One that was approved is not asked about again.
        if !failed.is_approved {
            job.preview_spec.clone_from(&failed.preview_spec);
        }
        job
    }

    async fn dead_letter(&self, job: Job) -> Result<DeadLetter, Error> {
        let key = retry_key(job.id);
        let retried = self.store.previous(&job.owner, &key, self.now()).await?;
        Ok(DeadLetter {
            attempts: self.store.attempts(job.id).await?,
            view: View { job, place: None },
            retried_as: retried.map(|previous| previous.job),
        })
    }
}

fn check_tenant(id: &str) -> Result<(), Error> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if (1..=128).contains(&id.len()) && id.chars().all(is_legal) {
        return Ok(());
    }
    Err(Error::Field {
        reason: "TENANT_INVALID",
        field: "id",
        problem: "is no part of a principal's name before a colon",
    })
}

fn retry_key(id: JobId) -> String {
    format!("retry:{id}")
}
