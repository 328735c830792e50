//! The virtual clock, and what happens when.

mod account;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kinora_ids::{JobId, LeaseRef};
use kinora_migrations::scheduler::migrate;
use kinora_scheduler::dispatch::{DispatchOptions, Dispatcher};
use kinora_scheduler::domain::job::{Failure, Job, Outputs, Time};
use kinora_scheduler::domain::retry::{PREEMPTED, RetryPolicy};
use kinora_scheduler::domain::transition::{self, Reporter};
use kinora_scheduler::store::{
    Attachment, Change, JobStore, Limits, Submitted, TenantChange,
};
use kinora_store::{Database, DatabaseUrl};
use uuid::Builder;

use crate::fleet::{Attempt, Facts, FakeFleet, Order};
use crate::options::Options;
use crate::outcome::{Outcome, TenantOutcome, Wait, Window};
use crate::queue::TimedQueue;
use crate::workload::{Drawn, Kind, Model, Scope, Source, Tenant, models, spec, tenants};

/// Between two rounds of dispatch: what wakes the loop meanwhile is dealt with together.
const PAUSE: Duration = Duration::from_millis(50);

/// How often the loop looks although nothing has happened.
const POLL: Duration = Duration::from_secs(1);

/// Points of the plots.
const SAMPLES: u32 = 150;

/// No attempt of a simulation is overdue.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// 2026-01-01 in seconds, so that ids depend on the seed alone.
const BEGIN: u64 = 1_767_225_600;

/// Jobs that a tenant must have waiting at all times to count as one that asks for more than it gets.
const BACKLOG: i64 = 10;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrival { tenant: usize },
    End { worker: usize, job: JobId, lease: u64 },
    HandBack { worker: usize, job: JobId, lease: u64 },
    Sample,
    Poll,
    Round,
}

/// Runs one simulation.
///
/// # Errors
/// When the database fails, or holds jobs already.
pub async fn run(options: &Options, scope: Scope) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let url = match (&options.database, scope) {
        (Some(url), Scope::All) => url.clone(),
        _ => temporary(&folder)?,
    };
    let db = Database::connect(&url).await?;
    migrate(db.writer()).await?;
    let store = JobStore::new(db.clone());
    if !store.queues().await?.is_empty() {
        bail!("the database holds jobs; simulations need an empty one");
    }
    let mut engine = Engine::new(options, scope, store);
    engine.prepare().await?;
    let outcome = engine.go().await?;
    db.close().await?;
    Ok(outcome)
}

fn temporary(folder: &tempfile::TempDir) -> anyhow::Result<DatabaseUrl> {
    let path = folder.path().join("jobs.db");
    let path = path.to_str().context("the temporary folder's name is no text")?;
    Ok(format!("sqlite://{path}").parse()?)
}

struct Engine {
    now: Time,
    window: Window,
    queue: Arc<TimedQueue>,
    fleet: Arc<FakeFleet>,
    dispatcher: Dispatcher<TimedQueue, FakeFleet>,
    models: Arc<[Model]>,
    sources: Vec<Source>,
    scope: Scope,
    agenda: BinaryHeap<Reverse<(Time, u64, Happening)>>,
    happenings: u64,
    /// When the next round is due, if one is.
    round_due: Option<Time>,
    last_round: Time,
    ids: u64,
    queued: i64,
    queued_by_tenant: Vec<i64>,
    sample_every: Duration,
    outcome: Outcome,
}

impl Engine {
    fn new(options: &Options, scope: Scope, store: JobStore) -> Self {
        let begin = beginning();
        let models = models(options);
        let all = tenants(options, &models);
        let queue = Arc::new(TimedQueue::new(store));
        let fleet = Arc::new(FakeFleet::new(options.workers, Arc::clone(&models)));
        let dispatch = DispatchOptions::new(TIME_LIMIT, POLL);
        let dispatcher = Dispatcher::new(Arc::clone(&queue), Arc::clone(&fleet), dispatch);
        let named = all.iter().enumerate();
        let sources = named.map(|(at, tenant)| {
            Source::new(tenant.clone(), at, Arc::clone(&models), options.seed)
        });
        let window = Window {
            begin: begin + options.warm_up,
            end: begin + options.warm_up + options.duration,
        };
        Self {
            now: begin,
            window,
            queue,
            fleet,
            dispatcher,
            sources: sources.collect(),
            models,
            scope,
            agenda: BinaryHeap::new(),
            happenings: 0,
            round_due: None,
            last_round: begin,
            ids: 0,
            queued: 0,
            queued_by_tenant: vec![0; all.len()],
            sample_every: (options.warm_up + options.duration) / SAMPLES,
            outcome: Outcome {
                capacity: options.duration * options.workers,
                tenants: all.into_iter().map(outcome_of).collect(),
                ..Outcome::default()
            },
        }
    }

    /// Attaches the workers, and sets the shares of the tenants.
    async fn prepare(&mut self) -> anyhow::Result<()> {
        let store = &self.queue.store;
        for tenant in &self.outcome.tenants {
            let change = TenantChange {
                weight: Some(tenant.tenant.weight),
                ..TenantChange::default()
            };
            store.set_tenant(&tenant.tenant.name, change).await?;
        }
        let (names, session) = self.fleet.names();
        for worker in names {
            let attachment = Attachment {
                worker,
                session,
                slots: 1,
                ..Attachment::default()
            };
            let lose = |_: &mut Job| (None, Vec::new());
            store.attach(&attachment, self.now, lose).await?;
        }
        for tenant in 0..self.sources.len() {
            if self.scope == Scope::All || self.outcome.tenants[tenant].tenant.kind == Kind::Light {
                let pause = self.sources[tenant].pause();
                self.plan(self.now + pause, Happening::Arrival { tenant });
            }
        }
        self.plan(self.now, Happening::Poll);
        self.plan(self.now + self.sample_every, Happening::Sample);
        Ok(())
    }

    fn plan(&mut self, at: Time, happening: Happening) {
        self.happenings += 1;
        self.agenda.push(Reverse((at, self.happenings, happening)));
    }

    async fn go(mut self) -> anyhow::Result<Outcome> {
        while let Some(Reverse((at, _, happening))) = self.agenda.pop() {
            if at > self.window.end {
                break;
            }
            self.now = at;
            self.fleet.set_now(at);
            match happening {
                Happening::Arrival { tenant } => self.arrive(tenant).await?,
                Happening::End { worker, job, lease } => {
                    self.complete(worker, LeaseRef { job, lease }).await?;
                }
                Happening::HandBack { worker, job, lease } => {
                    self.hand_back(worker, LeaseRef { job, lease }).await?;
                }
                Happening::Sample => self.sample(),
                Happening::Poll => {
                    self.wake();
                    self.plan(at + POLL, Happening::Poll);
                }
                Happening::Round => self.rounds().await?,
            }
        }
        Ok(self.finish())
    }

    /// Has a round follow, after a pause.
    fn wake(&mut self) {
        if self.round_due.is_none() {
            let due = self.now.max(self.last_round + PAUSE);
            self.round_due = Some(due);
            self.plan(due, Happening::Round);
        }
    }

    async fn arrive(&mut self, tenant: usize) -> anyhow::Result<()> {
        let drawn = self.sources[tenant].draw();
        let mut jobs = Vec::with_capacity(drawn.len());
        for drawn in drawn {
            let job = self.job(&drawn);
            let facts = Facts {
                tenant,
                submitted: self.now,
                left: drawn.actual,
                preemptions: 0,
                has_started: false,
                drawn,
            };
            self.fleet.expect(job.id, facts);
            jobs.push(job);
        }
        let submitted = self.queue.store.submit(&jobs, None, None, &Limits::default(), &[]);
        let Submitted::Accepted(accepted) = submitted.await? else {
            bail!("jobs were not accepted");
        };
        let count = i64::try_from(accepted.len())?;
        self.queued += count;
        self.queued_by_tenant[tenant] += count;
        self.outcome.submitted += accepted.len() as u64;
        let pause = self.sources[tenant].pause();
        self.plan(self.now + pause, Happening::Arrival { tenant });
        self.wake();
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
        self.round_due = None;
        self.last_round = self.now;
        loop {
            let since = Instant::now();
            let round = self.dispatcher.round(self.now).await?;
            let took = since.elapsed();
            let in_store = std::mem::take(&mut self.queue.timings.lock().in_round);
            self.outcome.rounds += 1;
            self.outcome.plans.push(took.saturating_sub(in_store));
            if round.leased > 0 {
                let latest = self.queue.timings.lock().claims.last().copied();
                let depth = self.queued.unsigned_abs();
                self.outcome.claims_by_depth.extend(latest.map(|(_, took)| (depth, took)));
            }
            self.carry_out();
            if !round.is_cut {
                return Ok(());
            }
        }
    }

    /// Plans the ends of what was granted and asked back.
    fn carry_out(&mut self) {
        for order in self.fleet.orders() {
            match order {
                Order::Granted { worker, attempt } => self.begin(worker, &attempt),
                Order::Preempted { worker, lease, at } => {
                    let LeaseRef { job, lease } = lease;
                    self.plan(at, Happening::HandBack { worker, job, lease });
                }
            }
        }
    }

    fn begin(&mut self, worker: usize, attempt: &Attempt) {
        let LeaseRef { job, lease } = attempt.lease;
        self.plan(attempt.ends, Happening::End { worker, job, lease });
        let Some(facts) = self.fleet.facts(job) else {
            return;
        };
        self.queued -= 1;
        self.queued_by_tenant[facts.tenant] -= 1;
        if self.now < self.window.begin {
            return;
        }
        self.outcome.leases += 1;
        self.outcome.loads += u64::from(!attempt.load.is_zero());
        if lease == 1 && facts.submitted >= self.window.begin {
            self.outcome.waits.push(Wait {
                tenant: facts.tenant,
                class: facts.drawn.class,
                time: (self.now - facts.submitted).to_std().unwrap_or_default(),
            });
        }
    }

    async fn complete(&mut self, worker: usize, lease: LeaseRef) -> anyhow::Result<()> {
        let tenant = self.fleet.facts(lease.job).map(|facts| facts.tenant);
        let Some(attempt) = self.fleet.end(worker, lease, true) else {
            // It was handed back.
            return Ok(());
        };
        self.account(tenant, &attempt);
        let name = self.fleet.name(worker);
        let now = self.now;
        let device_time = (now - attempt.started).to_std().ok();
        let from = Reporter { worker: &name, lease };
        let changed = self.queue.store.change(lease.job, None, |job| {
            let event = transition::complete(job, from, Outputs::default(), device_time, now)?;
            Ok::<_, transition::StaleLease>(Change { event, removals: Vec::new() })
        });
        match changed.await? {
            Some(Ok((_, outcome))) if outcome.event.is_some() => self.outcome.completed += 1,
            _ => bail!("a completion under a standing lease was refused"),
        }
        self.wake();
        Ok(())
    }

    async fn hand_back(&mut self, worker: usize, lease: LeaseRef) -> anyhow::Result<()> {
        let Some(attempt) = self.fleet.end(worker, lease, false) else {
            // It ended before.
            return Ok(());
        };
        let tenant = self.fleet.facts(lease.job).map(|facts| facts.tenant);
        self.account(tenant, &attempt);
        self.queued += 1;
        if let Some(tenant) = tenant {
            self.queued_by_tenant[tenant] += 1;
        }
        self.outcome.preemptions += 1;
        let name = self.fleet.name(worker);
        let now = self.now;
        let device_time = (now - attempt.started).to_std().ok();
        let from = Reporter { worker: &name, lease };
        let changed = self.queue.store.change(lease.job, None, |job| {
            let rule = (&retry_policy(), 0.0);
            let event = transition::fail(job, from, preempted(), device_time, now, rule);
            Ok::<_, Infallible>(Change { event: event.ok(), removals: Vec::new() })
        });
        changed.await?;
        self.wake();
        Ok(())
    }
}

fn beginning() -> Time {
    Time::UNIX_EPOCH + Duration::from_secs(BEGIN)
}

const fn outcome_of(tenant: Tenant) -> TenantOutcome {
    TenantOutcome {
        tenant,
        served: Duration::ZERO,
        is_backlogged: true,
    }
}

const fn retry_policy() -> RetryPolicy {
    RetryPolicy {
        max_attempts: 3,
        base_delay: Duration::from_secs(2),
    }
}

fn preempted() -> Failure {
    Failure {
        reason: PREEMPTED.to_owned(),
        message: "an interactive job needed the worker".to_owned(),
        retryable: true,
    }
}
