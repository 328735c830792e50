//! What workers report, and what becomes of it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kinora_ids::{JobId, LeaseRef};
use kinora_scheduler::domain::job::{Failure, Job, Outputs, State};
use kinora_scheduler::domain::retry::{PREEMPTED, RetryPolicy};
use kinora_scheduler::domain::transition::{self, Reporter};
use kinora_scheduler::store::Change;

use super::Engine;
use super::faults::checkpoint;
use crate::fleet::{Attempt, Ending};
use crate::outcome::Wait;

/// The scheduler's own defaults.
pub(super) const RETRIES: RetryPolicy = RetryPolicy {
    max_attempts: 3,
    base_delay: Duration::from_secs(2),
};

impl Engine {
    /// An attempt has run its course.
    pub(super) async fn end(&mut self, worker: usize, lease: LeaseRef) -> anyhow::Result<()> {
        let Some(attempt) = self.fleet.running(worker, lease) else {
            // It was handed back, or lost.
            return Ok(());
        };
        if attempt.ending == Ending::Crash {
            return self.crash(worker).await;
        }
        self.fleet.end(worker, lease);
        match attempt.ending {
            Ending::Clip => self.complete(worker, &attempt).await?,
            Ending::Refusal => {
                self.fail(worker, &attempt, failure("INVALID_REQUEST", false))
                    .await?
            }
            Ending::Failure | Ending::Crash => {
                self.outcome.failures += 1;
                self.fleet
                    .with_facts(lease.job, |facts| facts.failures += 1);
                self.fail(worker, &attempt, failure("DEVICE_ERROR", true))
                    .await?;
            }
        }
        self.wake();
        Ok(())
    }

    async fn complete(&mut self, worker: usize, attempt: &Attempt) -> anyhow::Result<()> {
        self.account_of(attempt);
        let (name, _) = self.fleet.identity(worker);
        let (lease, now) = (attempt.lease, self.now);
        let device_time = (now - attempt.started).to_std().ok();
        let complete = move |job: &mut Job| {
            let from = Reporter {
                worker: &name,
                lease,
            };
            let event = transition::complete(job, from, Outputs::default(), device_time, now)?;
            Ok::<_, transition::StaleLease>(Change {
                event,
                removals: Vec::new(),
            })
        };
        if !self.apply(lease.job, complete).await? {
            bail!("a clip under a standing lease was refused");
        }
        Ok(())
    }

    /// An attempt ends without a clip; the checkpoint that it stored is kept.
    async fn fail(
        &mut self,
        worker: usize,
        attempt: &Attempt,
        failure: Failure,
    ) -> anyhow::Result<()> {
        self.account_of(attempt);
        let is_hand_back = failure.reason == PREEMPTED;
        let steps = attempt.steps(self.now);
        let saved = if is_hand_back {
            steps
        } else {
            attempt.saved_steps(self.now)
        };
        if failure.retryable {
            self.outcome.steps_recomputed += u64::from(steps.saturating_sub(saved));
        }
        let (name, _) = self.fleet.identity(worker);
        let (lease, now) = (attempt.lease, self.now);
        let device_time = (now - attempt.started).to_std().ok();
        let fail = move |job: &mut Job| {
            let from = Reporter {
                worker: &name,
                lease,
            };
            if let Some(checkpoint) = checkpoint(lease, saved) {
                transition::checkpoint(job, from, checkpoint)?;
            }
            let event = transition::fail(job, from, failure, device_time, now, (&RETRIES, 0.5))?;
            Ok::<_, transition::StaleLease>(Change {
                event: Some(event),
                removals: Vec::new(),
            })
        };
        if !self.apply(lease.job, fail).await? {
            bail!("a failure under a standing lease was refused");
        }
        Ok(())
    }

    pub(super) async fn hand_back(&mut self, worker: usize, lease: LeaseRef) -> anyhow::Result<()> {
        let Some(attempt) = self.fleet.end(worker, lease) else {
            // It ended before.
            return Ok(());
        };
        self.outcome.preemptions += 1;
        self.fleet
            .with_facts(lease.job, |facts| facts.preemptions += 1);
        self.fail(worker, &attempt, failure(PREEMPTED, true))
            .await?;
        self.wake();
        Ok(())
    }

    fn account_of(&mut self, attempt: &Attempt) {
        let tenant = self
            .fleet
            .facts(attempt.lease.job)
            .map(|facts| facts.tenant);
        self.account(tenant, attempt);
    }

    /// Applies a rule to a job. False when the rule refused, or nothing happened.
    pub(super) async fn apply<E>(
        &mut self,
        id: JobId,
        rule: impl FnOnce(&mut Job) -> Result<Change, E>,
    ) -> anyhow::Result<bool> {
        let since = Instant::now();
        let changed = self.queue.store.change(id, None, rule).await?;
        self.outcome.changes.push(since.elapsed());
        let Ok((job, outcome)) = changed.context("an accepted job is gone")? else {
            return Ok(false);
        };
        if outcome.event.is_none() {
            return Ok(false);
        }
        self.note(&job)?;
        Ok(true)
    }

    /// A job was queued again, or ended.
    fn note(&mut self, job: &Job) -> anyhow::Result<()> {
        let facts = self
            .fleet
            .facts(job.id)
            .context("a job that had ended ended again")?;
        let had_worker = job.state != State::Cancelled;
        if had_worker {
            self.running_by_tenant[facts.tenant] -= 1;
        }
        if job.state == State::Queued {
            self.queued += 1;
            self.queued_by_tenant[facts.tenant] += 1;
            return Ok(());
        }
        if !had_worker {
            self.queued -= 1;
            self.queued_by_tenant[facts.tenant] -= 1;
        }
        if !job.state.is_terminal() {
            bail!("{} is neither queued nor at its end", job.id);
        }
        if job.lease == 0 && facts.submitted >= self.window.begin {
            // It would have waited longer still.
            self.outcome.waits.push(Wait {
                tenant: facts.tenant,
                class: facts.drawn.class,
                time: (self.now - facts.submitted).to_std()?,
            });
        }
        self.fleet.forget(job.id);
        self.open -= 1;
        match self.ends.insert(job.id, Some(job.state)) {
            Some(None) => {}
            _ => bail!("{} ended twice, or was never accepted", job.id),
        }
        match job.state {
            State::Completed => self.outcome.completed += 1,
            State::Cancelled => self.outcome.cancelled += 1,
            _ if job.is_quarantined => self.outcome.quarantined += 1,
            _ => self.outcome.failed += 1,
        }
        Ok(())
    }
}

fn failure(reason: &str, retryable: bool) -> Failure {
    Failure {
        reason: reason.to_owned(),
        message: "made up".to_owned(),
        retryable,
    }
}
