//! Accepting jobs: once, within the limits, all of a request or none.

use std::time::Duration;

use uuid::Uuid;

use super::holds::SetAside;
use super::prepare::{Desk, Prepared};
use super::{App, GroupView, View};
use crate::clients::call::Token;
use crate::domain::job::{Job, Time};
use crate::domain::sequence::{BatchOrder, SequenceOrder};
use crate::domain::submission::{Submission, check_request_id};
use crate::error::Error;
use crate::store::{Group, GroupKind, Previous, Request, Submitted};

/// How long an equal body without a request id answers with the same job.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(60);

/// What a request led to.
enum Acceptance {
    /// New jobs, as they are stored.
    New(Vec<Job>),
    /// Those of an equal request.
    Known(Previous),
}

impl App {
    /// Accepts a job durably, or answers with the one that the same request led to. Its prompt is moderated before, and
    /// rewritten if that is wanted; then whoever pays for `token` has what it costs set aside.
    ///
    /// # Errors
    /// [`Error::Submission`], [`Error::NoModel`], [`Error::SourceNotFound`], [`Error::RequestIdReused`],
    /// [`Error::PictureGone`], [`Error::OverLimit`], [`Error::Objects`], [`Error::Store`]; where jobs cost something also
    /// [`Error::Billing`], [`Error::BillingUnavailable`], [`Error::RequestInProgress`]; for what the prompt says
    /// [`Error::PromptRefused`], [`Error::PromptNeedsReview`], [`Error::Prompts`], [`Error::PromptsUnavailable`],
    /// [`Error::EnhancementNotSupported`].
    pub async fn submit(
        &self,
        owner: &str,
        token: &Token,
        submission: &Submission,
    ) -> Result<View, Error> {
        check_request_id(submission.request_id.as_deref())?;
        let now = self.now();
        let request = request(
            submission.request_id.as_deref(),
            submission.fingerprint(),
            submission.allow_duplicate,
            now,
        );
        if let Some(previous) = self.previous(owner, request.as_ref(), now).await? {
            return self.get(owner, previous.job).await;
        }
        // What is wrong in itself is said even before there is a model.
        if submission.remix_of.is_none() {
            submission.check_form()?;
        }
        let mut desk = Desk::open(self, owner, now).await?;
        let mut prepared = vec![desk.prepare(submission).await?];
        self.prepare_prompts(&desk, &mut prepared, token).await?;
        let accepted = self.accept(prepared, None, request, token).await?;
        match accepted {
            Acceptance::Known(previous) => self.get(owner, previous.job).await,
            Acceptance::New(jobs) => {
                let job = jobs.into_iter().next().ok_or(Error::JobNotFound)?;
                self.view(job).await
            }
        }
    }

    /// Accepts several jobs, all or none.
    ///
    /// # Errors
    /// As [`App::submit`].
    pub async fn submit_batch(
        &self,
        owner: &str,
        token: &Token,
        order: &BatchOrder,
    ) -> Result<GroupView, Error> {
        check_request_id(order.request_id.as_deref())?;
        order.check()?;
        let now = self.now();
        let request = request(
            order.request_id.as_deref(),
            order.fingerprint(),
            order.allows_duplicate(),
            now,
        );
        if let Some(previous) = self.previous(owner, request.as_ref(), now).await? {
            return self.group_of(owner, &previous).await;
        }
        let group = new_group(owner, GroupKind::Batch, now);
        let mut desk = Desk::open(self, owner, now).await?;
        let mut prepared = desk.batch(order, group.id).await?;
        self.prepare_prompts(&desk, &mut prepared, token).await?;
        self.accept_group(prepared, group, request, token).await
    }

    /// Accepts a long clip: its segments, and the job that joins them.
    ///
    /// # Errors
    /// As [`App::submit`], and [`Error::SourceNotCompleted`].
    pub async fn submit_sequence(
        &self,
        owner: &str,
        token: &Token,
        order: &SequenceOrder,
    ) -> Result<GroupView, Error> {
        check_request_id(order.request_id.as_deref())?;
        order.segments()?;
        let now = self.now();
        let request = request(
            order.request_id.as_deref(),
            order.fingerprint(),
            order.segment.allow_duplicate,
            now,
        );
        if let Some(previous) = self.previous(owner, request.as_ref(), now).await? {
            return self.group_of(owner, &previous).await;
        }
        let group = new_group(owner, GroupKind::Sequence, now);
        let mut desk = Desk::open(self, owner, now).await?;
        let mut prepared = desk.sequence(order, group.id).await?;
        self.prepare_prompts(&desk, &mut prepared, token).await?;
        self.accept_group(prepared, group, request, token).await
    }

    async fn accept_group(
        &self,
        prepared: Vec<Prepared>,
        group: Group,
        request: Option<Request>,
        token: &Token,
    ) -> Result<GroupView, Error> {
        let owner = group.owner.clone();
        match self.accept(prepared, Some(&group), request, token).await? {
            Acceptance::Known(previous) => self.group_of(&owner, &previous).await,
            Acceptance::New(jobs) => self.group_view(group, jobs).await,
        }
    }

    /// What an equal request led to before.
    async fn previous(
        &self,
        owner: &str,
        request: Option<&Request>,
        now: Time,
    ) -> Result<Option<Previous>, Error> {
        let Some(request) = request else {
            return Ok(None);
        };
        let previous = self.store.previous(owner, &request.key, now).await?;
        previous
            .map(|previous| of_equal_body(previous, request))
            .transpose()
    }

    async fn group_of(&self, owner: &str, previous: &Previous) -> Result<GroupView, Error> {
        let group = previous.group.ok_or(Error::GroupNotFound)?;
        self.group(owner, group).await
    }

    /// Stores pictures and jobs. Whatever keeps the jobs from being stored removes the pictures.
    async fn accept(
        &self,
        prepared: Vec<Prepared>,
        group: Option<&Group>,
        request: Option<Request>,
        token: &Token,
    ) -> Result<Acceptance, Error> {
        let (jobs, orphaned) = self.store_pictures(prepared).await?;
        // A large future otherwise.
        let taken = Box::pin(self.take_in(jobs, group, request.as_ref(), &orphaned, token)).await;
        match taken {
            Ok(Submitted::Accepted(jobs)) => {
                self.welcome(&jobs);
                Ok(Acceptance::New(jobs))
            }
            Ok(Submitted::Known(previous)) => {
                self.abandon(&orphaned).await?;
                let request = request.ok_or(Error::JobNotFound)?;
                of_equal_body(previous, &request).map(Acceptance::Known)
            }
            Ok(Submitted::OverLimit(hit)) => {
                self.abandon(&orphaned).await?;
                Err(Error::OverLimit(hit))
            }
            // The jobs may be stored all the same: the pictures' removal is due in a while unless they are.
            Err(error @ Error::Store(_)) => Err(error),
            Err(error) => {
                self.abandon(&orphaned).await?;
                Err(error)
            }
        }
    }

    /// Stores the pictures of jobs that are about to be stored, and plans their removal.
    async fn store_pictures(
        &self,
        prepared: Vec<Prepared>,
    ) -> Result<(Vec<Job>, Vec<Uuid>), Error> {
        if prepared.len() > 1 && prepared.iter().any(|one| one.job.spec.has_images()) {
            // Copies of pictures take long, and would be removed again.
            let jobs: Vec<Job> = prepared.iter().map(|one| one.job.clone()).collect();
            let limits = self.options.limits();
            if let Some(hit) = self.store.limit_hit(&jobs, &limits).await? {
                return Err(Error::OverLimit(hit));
            }
        }
        let mut orphaned = Vec::new();
        let mut jobs = Vec::with_capacity(prepared.len());
        let mut borrowed = None;
        for mut one in prepared {
            let sent = (&one.submission, one.stills);
            let stored = self.store_images(&mut one.job, sent, &mut borrowed);
            match stored.await {
                Ok(planned) => orphaned.extend(planned),
                Err(error) => {
                    self.abandon(&orphaned).await?;
                    return Err(error);
                }
            }
            jobs.push(one.job);
        }
        Ok((jobs, orphaned))
    }

    /// Stores jobs, with the credits that they need.
    async fn take_in(
        &self,
        jobs: Vec<Job>,
        group: Option<&Group>,
        request: Option<&Request>,
        orphaned: &[Uuid],
        token: &Token,
    ) -> Result<Submitted, Error> {
        let limits = self.options.limits();
        let Some(billing) = &self.billing else {
            let submitted = self.store.submit(&jobs, group, request, &limits, orphaned);
            return Ok(submitted.await?);
        };
        match self.set_aside(billing, jobs, group, request, token).await? {
            SetAside::Ended(submitted) => Ok(submitted),
            SetAside::Held(jobs, promise) => {
                let submitted = self.store.submit(&jobs, group, request, &limits, orphaned);
                let submitted = submitted.await?;
                if matches!(submitted, Submitted::Accepted(_)) {
                    promise.keep();
                }
                Ok(submitted)
            }
        }
    }

    pub(super) fn welcome(&self, jobs: &[Job]) {
        for job in jobs {
            tracing::info!(job_id = %job.id, model = %job.spec.model, "job accepted");
            self.announce(job.event(job.create_time));
        }
    }

    /// Removes pictures whose jobs were not stored, at once.
    pub(super) async fn abandon(&self, orphaned: &[Uuid]) -> Result<(), Error> {
        for removal in orphaned {
            self.store.postpone_removal(*removal, self.now()).await?;
        }
        Ok(())
    }
}

/// How a repetition of this request is recognised. None when every request is meant to be one of its own.
fn request(
    id: Option<&str>,
    fingerprint: String,
    allows_duplicate: bool,
    now: Time,
) -> Option<Request> {
    match id {
        Some(id) => Some(Request {
            key: format!("id:{id}"),
            fingerprint,
            expires_at: None,
        }),
        None if allows_duplicate => None,
        None => Some(Request {
            key: format!("body:{fingerprint}"),
            fingerprint,
            expires_at: Some(now + DUPLICATE_WINDOW),
        }),
    }
}

fn of_equal_body(previous: Previous, request: &Request) -> Result<Previous, Error> {
    if previous.fingerprint == request.fingerprint {
        return Ok(previous);
    }
    Err(Error::RequestIdReused { job: previous.job })
}

fn new_group(owner: &str, kind: GroupKind, now: Time) -> Group {
    Group {
        id: Uuid::now_v7(),
        owner: owner.to_owned(),
        kind,
        create_time: now,
    }
}
