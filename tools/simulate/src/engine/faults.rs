//! Workers that vanish, fall silent and come back.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::TimeDelta;
use kinora_ids::LeaseRef;
use kinora_scheduler::domain::job::{Checkpoint, Failure, Job, Outputs};
use kinora_scheduler::domain::retry::WORKER_LOST;
use kinora_scheduler::domain::transition::{self, Reporter};
use kinora_scheduler::store::Change;
use rand::Rng;

use super::reports::RETRIES;
use super::{Engine, Happening};
use crate::fleet::Attempt;

/// A worker that was not heard for this long is lost: the scheduler's own default.
const WORKER_TTL: Duration = Duration::from_secs(5);

/// How often the scheduler looks for silent workers, at most.
const REAP_INTERVAL: Duration = Duration::from_secs(1);

/// Until a vanished machine is replaced.
const REPLACEMENT: Duration = Duration::from_secs(60);

/// How long a worker is not heard that is still there.
const SILENCE: Duration = Duration::from_secs(15);

/// Of the workers that vanish, those that only fall silent.
const SILENT_SHARE: f64 = 0.25;

impl Engine {
    pub(super) fn plan_vanishing(&mut self, worker: usize) {
        let drawn: f64 = self.random.random();
        let life = self.spot_life.mul_f64(-(1.0 - drawn).ln());
        self.plan(self.now + life, Happening::Vanish { worker });
    }

    /// A spot machine's time has come.
    pub(super) async fn vanish(&mut self, worker: usize) -> anyhow::Result<()> {
        let is_silence = self.random.random::<f64>() < SILENT_SHARE;
        let Some(attempt) = self.fleet.vanish(worker) else {
            // It is away already, and has another life when it comes back.
            self.plan_vanishing(worker);
            return Ok(());
        };
        let late = attempt.as_ref().filter(|_| is_silence);
        let late = late.map(|attempt| (attempt.lease.job, attempt.lease.lease));
        self.lose(worker, attempt).await?;
        let away = if is_silence { SILENCE } else { REPLACEMENT };
        self.plan(self.now + away, Happening::Return { worker, late });
        self.plan_vanishing(worker);
        Ok(())
    }

    /// A job kills its worker.
    pub(super) async fn crash(&mut self, worker: usize) -> anyhow::Result<()> {
        if let Some(attempt) = self.fleet.vanish(worker) {
            self.lose(worker, attempt).await?;
            let back = Happening::Return { worker, late: None };
            self.plan(self.now + REPLACEMENT, back);
        }
        Ok(())
    }

    /// The worker is heard no more. What it stored before counts.
    async fn lose(&mut self, worker: usize, attempt: Option<Attempt>) -> anyhow::Result<()> {
        self.outcome.vanished += 1;
        let (name, session) = self.fleet.identity(worker);
        let store = &self.queue.store;
        let wishes = store
            .heartbeat(&name, session, false, None, self.now)
            .await?;
        if wishes.is_none() {
            bail!("the stream of {name} was taken over by nobody");
        }
        let Some(attempt) = attempt else {
            return Ok(());
        };
        let facts = self.fleet.facts(attempt.lease.job);
        self.account(facts.map(|it| it.tenant), &attempt);
        self.outcome.lost_leases += 1;
        let saved = attempt.saved_steps(self.now);
        let lost = attempt.steps(self.now).saturating_sub(saved);
        self.outcome.steps_recomputed += u64::from(lost);
        let (lease, now) = (attempt.lease, self.now);
        self.fleet
            .with_facts(lease.job, |facts| facts.lost_at = Some(now));
        let saved = checkpoint(lease, saved);
        let store_it = move |job: &mut Job| {
            let from = Reporter {
                worker: &name,
                lease,
            };
            if let Some(checkpoint) = saved {
                transition::checkpoint(job, from, checkpoint)?;
            }
            Ok::<_, transition::StaleLease>(Change::default())
        };
        let stored = self.queue.store.change(lease.job, None, store_it).await?;
        stored
            .context("an accepted job is gone")?
            .context("a checkpoint was refused")?;
        let due = self.now + WORKER_TTL + REAP_INTERVAL;
        self.plan(due, Happening::Reap);
        Ok(())
    }

    /// Takes attempts from workers that are not heard, as the scheduler's reaper does.
    pub(super) async fn reap(&mut self) -> anyhow::Result<()> {
        let silent_since = self.now - TimeDelta::from_std(WORKER_TTL)?;
        let store = &self.queue.store;
        let lapsed = store.lapsed(silent_since, self.now, None, u32::MAX).await?;
        for lost in lapsed.jobs {
            let now = self.now;
            let (id, newest) = (lost.id, lost.newest_lease());
            let lose = move |job: &mut Job| {
                let is_same = job.newest_lease() == newest;
                let event = is_same.then(|| transition::lose(job, vanished(), now, &RETRIES));
                Ok::<_, Infallible>(Change {
                    event: event.flatten(),
                    removals: Vec::new(),
                })
            };
            self.apply(id, lose).await?;
        }
        self.wake();
        Ok(())
    }

    /// A worker is heard again. What it reports of a lease that was taken from it must not count.
    pub(super) async fn come_back(
        &mut self,
        worker: usize,
        late: Option<LeaseRef>,
    ) -> anyhow::Result<()> {
        if let Some(lease) = late {
            let (name, _) = self.fleet.identity(worker);
            let now = self.now;
            let complete = move |job: &mut Job| {
                let from = Reporter {
                    worker: &name,
                    lease,
                };
                let event = transition::complete(job, from, Outputs::default(), None, now)?;
                Ok::<_, transition::StaleLease>(Change {
                    event,
                    removals: Vec::new(),
                })
            };
            match self.queue.store.change(lease.job, None, complete).await? {
                Some(Err(transition::StaleLease)) => self.outcome.stale_reports += 1,
                _ => bail!("a report under a lost lease was taken"),
            }
        }
        self.fleet.come_back(worker);
        self.attach(worker).await?;
        self.wake();
        Ok(())
    }
}

/// The object of so many steps; none of none.
pub(super) fn checkpoint(lease: LeaseRef, step: u32) -> Option<Checkpoint> {
    (step > 0).then(|| Checkpoint {
        key: format!("jobs/{}/{}/checkpoints/{step}", lease.job, lease.lease),
        step,
        sha256: "0".repeat(64),
        bytes: 1 << 20,
        lease: lease.lease,
        granted_step: 0,
    })
}

fn vanished() -> Failure {
    Failure {
        reason: WORKER_LOST.to_owned(),
        message: "the worker was not heard any more".to_owned(),
        retryable: true,
    }
}
