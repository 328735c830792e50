//! The virtual clock, and what happens when.

mod account;
mod check;
mod faults;
mod reports;
mod start;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kinora_ids::{JobId, LeaseRef};
use kinora_scheduler::dispatch::Dispatcher;
use kinora_scheduler::domain::job::{Job, State, Time};
use kinora_scheduler::domain::transition;
use kinora_scheduler::store::{Change, Limits, Submitted};
use rand::rngs::StdRng;
use uuid::Builder;

use crate::fleet::{Attempt, Facts, FakeFleet, Order};
use crate::outcome::{Outcome, Wait, Window};
use crate::queue::TimedQueue;
use crate::workload::{Drawn, Model, Source, spec};
pub use start::run;

/// How often the loop looks although nothing has happened.
const POLL: Duration = Duration::from_secs(1);

/// Jobs that a tenant must have waiting at all times to count as one that asks for more than it gets.
const BACKLOG: i64 = 10;

/// From the order to hand a lease back until the checkpoint is stored.
const HAND_BACK: Duration = Duration::from_secs(1);

/// A simulation that has not ended by then never will.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrival {
        tenant: usize,
    },
    End {
        worker: usize,
        job: JobId,
        lease: u64,
    },
    HandBack {
        worker: usize,
        job: JobId,
        lease: u64,
    },
    /// A spot machine's time has come.
    Vanish {
        worker: usize,
    },
    /// A worker that only fell silent reports late what it was leased.
    Return {
        worker: usize,
        late: Option<(JobId, u64)>,
    },
    /// Silent workers are looked for.
    Reap,
    Sample,
    Poll,
    Round,
}

struct Engine {
    now: Time,
    window: Window,
    queue: Arc<TimedQueue>,
    fleet: Arc<FakeFleet>,
    dispatcher: Dispatcher<TimedQueue, FakeFleet>,
    models: Arc<[Model]>,
    sources: Vec<Source>,
    /// Of the workers' fates.
    random: StdRng,
    spot_life: Duration,
    pause: Duration,
    cancels_rest: bool,
    agenda: BinaryHeap<Reverse<(Time, u64, Happening)>>,
    happenings: u64,
    is_round_due: bool,
    last_round: Time,
    ids: u64,
    /// Jobs that have been accepted and how they ended, once they have.
    ends: HashMap<JobId, Option<State>>,
    open: u64,
    queued: i64,
    queued_by_tenant: Vec<i64>,
    running_by_tenant: Vec<u32>,
    sample_every: Duration,
    outcome: Outcome,
}

impl Engine {
    fn plan(&mut self, at: Time, happening: Happening) {
        self.happenings += 1;
        self.agenda.push(Reverse((at, self.happenings, happening)));
    }

    async fn go(mut self) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        while let Some(Reverse((at, _, happening))) = self.agenda.pop() {
            if at > self.window.end && self.open == 0 {
                break;
            }
            if at > self.window.end + PATIENCE {
                bail!("{} jobs never end", self.open);
            }
            self.now = at;
            self.fleet.set_now(at);
            // A large future otherwise.
            Box::pin(self.happen(happening)).await?;
        }
        self.check().await?;
        Ok(self.finish(began.elapsed()))
    }

    async fn happen(&mut self, happening: Happening) -> anyhow::Result<()> {
        match happening {
            Happening::Arrival { tenant } => self.arrive(tenant).await?,
            Happening::End { worker, job, lease } => {
                self.end(worker, LeaseRef { job, lease }).await?;
            }
            Happening::HandBack { worker, job, lease } => {
                self.hand_back(worker, LeaseRef { job, lease }).await?;
            }
            Happening::Vanish { worker } => {
                if self.now <= self.window.end {
                    self.vanish(worker).await?;
                }
            }
            Happening::Return { worker, late } => {
                let late = late.map(|(job, lease)| LeaseRef { job, lease });
                self.come_back(worker, late).await?;
            }
            Happening::Reap => self.reap().await?,
            Happening::Sample => self.sample(),
            Happening::Poll => {
                self.wake();
                self.plan(self.now + POLL, Happening::Poll);
            }
            Happening::Round => self.rounds().await?,
        }
        Ok(())
    }

    /// Has a round follow, after a pause.
    fn wake(&mut self) {
        if !self.is_round_due {
            self.is_round_due = true;
            self.plan(self.now.max(self.last_round + self.pause), Happening::Round);
        }
    }

    async fn arrive(&mut self, tenant: usize) -> anyhow::Result<()> {
        if self.now > self.window.end {
            return self.give_up(tenant).await;
        }
        let drawn = self.sources[tenant].draw();
        let mut jobs = Vec::with_capacity(drawn.len());
        for drawn in drawn {
            let job = self.job(&drawn);
            let facts = Facts {
                tenant,
                submitted: self.now,
                preemptions: 0,
                failures: 0,
                lost_at: None,
                drawn,
            };
            self.fleet.expect(job.id, facts);
            jobs.push(job);
        }
        let since = Instant::now();
        let limits = Limits::default();
        let submitted = self.queue.store.submit(&jobs, None, None, &limits, &[]);
        // A large future otherwise.
        let Submitted::Accepted(accepted) = Box::pin(submitted).await? else {
            bail!("jobs were not accepted");
        };
        self.outcome.submits.push(since.elapsed());
        self.ends.extend(accepted.iter().map(|job| (job.id, None)));
        let count = i64::try_from(accepted.len())?;
        self.queued += count;
        self.queued_by_tenant[tenant] += count;
        self.open += accepted.len() as u64;
        self.outcome.submitted += accepted.len() as u64;
        self.outcome.tenants[tenant].submitted += accepted.len() as u64;
        let pause = self.sources[tenant].pause();
        self.plan(self.now + pause, Happening::Arrival { tenant });
        self.wake();
        Ok(())
    }

    /// Cancels what a tenant still has waiting, if that is how the run is to end.
    async fn give_up(&mut self, tenant: usize) -> anyhow::Result<()> {
        if !self.cancels_rest {
            return Ok(());
        }
        let open = self.ends.iter().filter(|(_, end)| end.is_none());
        let of_tenant = open.filter(|(id, _)| {
            let facts = self.fleet.facts(**id);
            facts.is_some_and(|it| it.tenant == tenant)
        });
        let mut ids: Vec<JobId> = of_tenant.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        let now = self.now;
        for id in ids {
            let cancel = |job: &mut Job| {
                let waits = job.state == State::Queued;
                let event = waits.then(|| transition::cancel(job, now)).flatten();
                Ok::<_, Infallible>(Change {
                    event,
                    removals: Vec::new(),
                })
            };
            self.apply(id, cancel).await?;
        }
        Ok(())
    }

    fn job(&mut self, drawn: &Drawn) -> Job {
        self.ids += 1;
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&self.ids.to_be_bytes());
        let millis = self.now.timestamp_millis().unsigned_abs();
        let id = Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
        let spec = spec(&self.models[drawn.model].name);
        let mut job = Job::queued(JobId::from_uuid(id), drawn.owner.clone(), spec, self.now);
        job.priority = drawn.class;
        job.estimated_cost = drawn.estimated;
        job
    }

    async fn rounds(&mut self) -> anyhow::Result<()> {
        self.is_round_due = false;
        self.last_round = self.now;
        loop {
            let since = Instant::now();
            let depth = self.queued.unsigned_abs();
            let round = self
                .dispatcher
                .round(self.now)
                .await
                .context("a round of dispatch")?;
            let took = since.elapsed();
            let in_store = std::mem::take(&mut self.queue.timings.lock().in_round);
            self.outcome.rounds += 1;
            self.outcome.plans.push(took.saturating_sub(in_store));
            if round.leased > 0 {
                let latest = self.queue.timings.lock().claims.last().copied();
                let latest = latest.map(|(jobs, took)| (depth, jobs, took));
                self.outcome.claims_by_depth.extend(latest);
            }
            self.carry_out()?;
            if !round.is_cut {
                return Ok(());
            }
        }
    }

    /// Plans the ends of what was granted and asked back.
    fn carry_out(&mut self) -> anyhow::Result<()> {
        for order in self.fleet.orders() {
            match order {
                Order::Granted { worker, attempt } => self.begin(worker, &attempt)?,
                Order::Preempted { worker, lease } => {
                    let LeaseRef { job, lease } = lease;
                    self.plan(
                        self.now + HAND_BACK,
                        Happening::HandBack { worker, job, lease },
                    );
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, worker: usize, attempt: &Attempt) -> anyhow::Result<()> {
        let LeaseRef { job, lease } = attempt.lease;
        self.plan(attempt.ends, Happening::End { worker, job, lease });
        let facts = self
            .fleet
            .facts(job)
            .context("a job was leased that had ended")?;
        self.queued -= 1;
        self.queued_by_tenant[facts.tenant] -= 1;
        self.running_by_tenant[facts.tenant] += 1;
        let running = self.running_by_tenant[facts.tenant];
        let tenant = &mut self.outcome.tenants[facts.tenant];
        tenant.most_running = tenant.most_running.max(running);
        if tenant.tenant.max_running > 0 && running > tenant.tenant.max_running {
            bail!(
                "{} runs {running} jobs, more than it may",
                tenant.tenant.name
            );
        }
        if let Some(lost_at) = facts.lost_at {
            self.outcome.re_leases.push((self.now - lost_at).to_std()?);
            self.fleet.with_facts(job, |facts| facts.lost_at = None);
        }
        if self.now >= self.window.begin && self.now <= self.window.end {
            self.outcome.leases += 1;
            self.outcome.loads += u64::from(!attempt.load.is_zero());
        }
        if lease == 1 && facts.submitted >= self.window.begin {
            self.outcome.waits.push(Wait {
                tenant: facts.tenant,
                class: facts.drawn.class,
                time: (self.now - facts.submitted).to_std()?,
            });
        }
        Ok(())
    }
}
