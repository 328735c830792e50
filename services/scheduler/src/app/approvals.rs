//! Deciding before a device is used: approvals of previews, and estimates.

use std::time::Duration;

use kinora_ids::JobId;

use super::prepare::Desk;
use super::{App, View};
use crate::clients::call::Token;
use crate::clients::ledger::Quote;
use crate::domain::hold::Work;
use crate::domain::job::{Job, VideoSpec};
use crate::domain::price;
use crate::domain::submission::Submission;
use crate::domain::transition;
use crate::error::Error;
use crate::store::Change;

/// What a submission would take.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// What would be made.
    pub spec: VideoSpec,
    /// Time on a device, preview and clip. None while the model's pace is not known.
    pub gpu_time: Option<Duration>,
    /// Time until a worker takes it. None while it is not known.
    pub queue_time: Option<Duration>,
    /// Predicted peak of device memory. None while it is not known.
    pub memory_bytes: Option<u64>,
    /// Preview and clip.
    pub credits: u64,
    /// What the payer can spend. None where nothing costs anything.
    pub available_credits: Option<u64>,
    /// Why a submission would be refused for its credits. None when it would not.
    pub refusal: Option<String>,
    /// Whether an attached worker can take it.
    pub fits: bool,
}

impl App {
    /// Lets the clip be made whose preview awaits approval.
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::NotApprovable`], [`Error::Store`].
    pub async fn approve(&self, owner: &str, id: JobId) -> Result<View, Error> {
        let now = self.now();
        let seen = self.store.get(owner, id).await?.ok_or(Error::JobNotFound)?;
        let cost = self.cost_of(&seen.spec).await?;
        let changed = self.store.change(id, Some(owner), |job| {
            let event = transition::approve(job, cost, now)?;
            Ok(Change {
                event,
                removals: Vec::new(),
            })
        });
        match changed.await? {
            Some(Ok((job, outcome))) => {
                tracing::info!(job_id = %id, "preview approved");
                self.tell(outcome);
                self.view(job).await
            }
            Some(Err(refused)) => Err(Error::NotApprovable(refused)),
            None => Err(Error::JobNotFound),
        }
    }

    /// Checks a submission as [`App::submit`] does and tells what it would take.
    ///
    /// # Errors
    /// As [`App::submit`], without the limits and what billing refuses.
    pub async fn estimate(
        &self,
        owner: &str,
        token: &Token,
        submission: &Submission,
    ) -> Result<Estimate, Error> {
        let mut desk = Desk::open(self, owner, self.now()).await?;
        let job = desk.prepare(submission).await?.job;
        if job.prompting.is_some() && !self.can_enhance() {
            return Err(Error::EnhancementNotSupported);
        }
        let model = desk.model(&job.spec.model);
        let memory_bytes = model.and_then(|model| price::memory_bytes(&job.spec, model));
        let pace = desk.pace(&job.spec.model).await?;
        let made = || job.preview_spec.iter().chain([&job.spec]);
        let times = made().map(|spec| price::device_time(spec, pace));
        let quote = self.quote(token, &job).await?;
        Ok(Estimate {
            gpu_time: pace.map(|_| times.sum()),
            queue_time: self.expected_wait(&job).await?,
            memory_bytes,
            credits: quote
                .as_ref()
                .map_or_else(|| made().map(price::credits).sum(), |quote| quote.credits),
            available_credits: quote.as_ref().map(|quote| quote.available),
            refusal: quote.and_then(|quote| quote.refusal),
            fits: self.fits(&job, memory_bytes).await?,
            spec: job.spec,
        })
    }

    /// What billing would take for a job. None where nothing costs anything.
    async fn quote(&self, token: &Token, job: &Job) -> Result<Option<Quote>, Error> {
        let Some(billing) = &self.billing else {
            return Ok(None);
        };
        let made = job.preview_spec.iter().chain([&job.spec]);
        let works: Vec<Work> = made.map(|spec| Work::of(spec, job.priority)).collect();
        Ok(Some(billing.estimate(token, &works).await?))
    }

    async fn cost_of(&self, spec: &VideoSpec) -> Result<Duration, Error> {
        let pace = self.store.pace(&spec.model).await?;
        Ok(price::device_time(
            spec,
            pace.map(|pace| pace.nanos_per_unit),
        ))
    }
}
