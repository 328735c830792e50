//! Credits for jobs that are about to be stored.
//!
//! Their release is planned first, billing is asked then, and the transaction that stores the jobs calls the release off.
//! What fails on the way, or is cut off, leaves a planned release behind that ends the hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kinora_ids::JobId;
use kinora_mesh::error::{PublicError, chain};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::App;
use super::billing::Billing;
use crate::clients::call::Token;
use crate::clock::Clock;
use crate::domain::hold::{Hold, JobWork};
use crate::domain::job::Job;
use crate::error::Error;
use crate::store::{Group, GroupKind, JobStore, Request, Reservation, Submitted};

/// A planned release is due after this long: longer than billing may take, and the transaction that calls it off.
const PLANNED_FOR: Duration = Duration::from_secs(60);

/// How long a request waits for the same one that is being made.
const PATIENCE: Duration = Duration::from_secs(3);

/// It looks again after this long, and then after twice as long each time: there may be many of them.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Between tries to give credits back while the database is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What became of jobs that want credits.
pub(super) enum SetAside {
    /// They hold what they need, and may be stored.
    Held(Vec<Job>, Promise),
    /// They are not to be stored.
    Ended(Submitted),
}

/// Gives credits back unless their jobs are stored, also when the caller goes away in the middle.
pub(super) struct Promise {
    store: JobStore,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
    held: Vec<JobId>,
}

impl Promise {
    /// The jobs are stored.
    pub(super) fn keep(mut self) {
        self.held.clear();
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        // At the end of a process the plan stands as it is.
        if self.held.is_empty() || self.shutdown.is_cancelled() {
            return;
        }
        let (store, clock) = (self.store.clone(), Arc::clone(&self.clock));
        let given_up = give_up(store, clock, std::mem::take(&mut self.held));
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.shutdown.clone().run_until_cancelled_owned(given_up));
        }
    }
}

/// Makes the planned releases due, or leaves it once they are: what has cut the request off may keep the database away
/// for a while, and until it is done nobody can make the request again.
async fn give_up(store: JobStore, clock: Arc<dyn Clock>, held: Vec<JobId>) {
    let began = Instant::now();
    let mut pause = LOOK_AGAIN;
    while let Err(error) = store.give_up_reservation(&held, clock.now()).await {
        tracing::warn!(error = %chain(&error), "credits are given back a little later");
        if began.elapsed() > PLANNED_FOR {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl App {
    /// Sets credits aside for those of the jobs that cost something, for all or for none.
    ///
    /// # Errors
    /// [`Error::Billing`], [`Error::BillingUnavailable`], [`Error::RequestInProgress`], [`Error::Store`].
    pub(super) async fn set_aside(
        &self,
        billing: &Billing,
        mut jobs: Vec<Job>,
        group: Option<&Group>,
        request: Option<&Request>,
        caller: &Token,
    ) -> Result<SetAside, Error> {
        let works: Vec<JobWork> = jobs.iter().filter_map(JobWork::of).collect();
        let held: Vec<JobId> = works.iter().map(|work| work.job).collect();
        if works.is_empty() {
            return Ok(SetAside::Held(jobs, self.promise(held)));
        }
        billing.check_awake()?;
        if let Some(ended) = self.reserve(&jobs, &held, request).await? {
            return Ok(SetAside::Ended(ended));
        }
        let promise = self.promise(held);
        let holds = match billing.hold(caller, &works).await {
            Ok(holds) => holds,
            Err(Error::Billing(refused)) => {
                self.store.forget_reservation(&promise.held).await?;
                promise.keep();
                return Err(Error::Billing(self.explain(refused, &jobs, group).await?));
            }
            Err(error) => return Err(error),
        };
        for hold in holds {
            if let Some(job) = jobs.iter_mut().find(|job| job.id == hold.job) {
                job.hold = Some(Hold {
                    credits: hold.credits,
                    preview_credits: hold.preview_credits,
                    is_preview_made: false,
                });
            }
        }
        Ok(SetAside::Held(jobs, promise))
    }

    fn promise(&self, held: Vec<JobId>) -> Promise {
        Promise {
            store: self.store.clone(),
            clock: self.clock(),
            shutdown: self.shutdown.clone(),
            held,
        }
    }

    /// Plans releases. None once that is done, or what the request has come to without.
    async fn reserve(
        &self,
        jobs: &[Job],
        held: &[JobId],
        request: Option<&Request>,
    ) -> Result<Option<Submitted>, Error> {
        let limits = self.options.limits();
        let began = Instant::now();
        loop {
            let until = self.now() + PLANNED_FOR;
            let reserved = self.store.reserve(jobs, held, request, &limits, until);
            match (reserved.await?, request, jobs.first()) {
                (Reservation::Made, _, _) => return Ok(None),
                (Reservation::Known(previous), _, _) => {
                    return Ok(Some(Submitted::Known(previous)));
                }
                (Reservation::OverLimit(hit), _, _) => {
                    return Ok(Some(Submitted::OverLimit(hit)));
                }
                (Reservation::InProgress, Some(request), Some(job)) => {
                    self.wait_for_same(&job.owner, &request.key, began).await?;
                }
                (Reservation::InProgress, _, _) => return Err(Error::RequestInProgress),
            }
        }
    }

    /// Waits until nobody makes the request any more.
    async fn wait_for_same(&self, owner: &str, key: &str, began: Instant) -> Result<(), Error> {
        let mut pause = LOOK_AGAIN;
        loop {
            if began.elapsed() > PATIENCE {
                return Err(Error::RequestInProgress);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            if !self.store.is_being_made(owner, key).await? {
                return Ok(());
            }
        }
    }

    /// Adds to a refusal how many frames of the model would do, where that can be told. The id of a job that was not
    /// stored becomes its place in the batch.
    async fn explain(
        &self,
        mut refused: PublicError,
        jobs: &[Job],
        group: Option<&Group>,
    ) -> Result<PublicError, Error> {
        let told = |refused: &PublicError, name: &str| {
            let found = refused.metadata.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone())
        };
        let id = told(&refused, "job_id");
        refused.metadata.retain(|(key, _)| key != "job_id");
        let job = match (jobs, id) {
            ([only], _) => Some(only),
            (_, Some(id)) => jobs.iter().find(|job| job.id.to_string() == id),
            (_, None) => None,
        };
        // The segments of a sequence all have the same frames: what one of them could have tells nothing.
        let is_sequence = group.is_some_and(|group| group.kind == GroupKind::Sequence);
        let Some(job) = job.filter(|_| !is_sequence) else {
            return Ok(refused);
        };
        if let Some(group) = job.group {
            refused = refused.with_metadata("index", group.index.to_string());
        }
        let affordable = told(&refused, "affordable_frames").and_then(|text| text.parse().ok());
        let suggested = match affordable {
            Some(affordable) => self.frames_within(job, affordable).await?,
            None => None,
        };
        Ok(match suggested {
            Some(frames) => refused.with_metadata("suggested_frames", frames.to_string()),
            None => refused,
        })
    }

    /// The most frames up to `affordable` that the job's model can make of its pictures.
    async fn frames_within(&self, job: &Job, affordable: u32) -> Result<Option<u32>, Error> {
        let models = self.store.models().await?;
        let model = models.iter().find(|model| model.id == job.spec.model);
        Ok(model.and_then(|model| {
            // A last picture needs a latent frame of its own.
            let fewest = match job.spec.last_image {
                Some(_) => model.limits.frame_stride.saturating_add(1),
                None => 1,
            };
            model.limits.frames_within(affordable, fewest)
        }))
    }
}

#[cfg(test)]
mod tests;
