//! From the options to an engine whose workers are attached.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use kinora_migrations::scheduler::migrate;
use kinora_scheduler::dispatch::{DispatchOptions, Dispatcher};
use kinora_scheduler::domain::job::{Job, Time};
use kinora_scheduler::store::{Attachment, JobStore, TenantChange};
use kinora_store::{Database, DatabaseUrl};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Engine, Happening, POLL};
use crate::fleet::FakeFleet;
use crate::options::Options;
use crate::outcome::{Outcome, TenantOutcome, Window};
use crate::queue::TimedQueue;
use crate::workload::{Source, Tenant, Variant, models, tenants};

/// Points of the plots.
const SAMPLES: u32 = 150;

/// No attempt of a simulation is overdue.
const TIME_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// How far ahead workers are heard that are there: heartbeats of thousands would show nothing.
pub(super) const HEARD_AHEAD: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs one simulation, in `database` or in a temporary file.
///
/// # Errors
/// When the database fails or holds jobs already, and when the scheduler broke a promise.
pub async fn run(
    options: &Options,
    variant: Variant,
    database: Option<&DatabaseUrl>,
) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let url = match database {
        Some(url) => url.clone(),
        None => temporary(&folder)?,
    };
    let db = Database::connect(&url).await?;
    migrate(db.writer()).await?;
    let store = JobStore::new(db.clone());
    if !store.queues().await?.is_empty() || !store.workers(Time::UNIX_EPOCH).await?.is_empty() {
        bail!("the database has been used; simulations need an empty one");
    }
    let mut engine = Engine::new(options, variant, store);
    engine.prepare(options, variant).await?;
    let outcome = engine.go().await?;
    db.close().await?;
    Ok(outcome)
}

fn temporary(folder: &tempfile::TempDir) -> anyhow::Result<DatabaseUrl> {
    let path = folder.path().join("jobs.db");
    let path = path
        .to_str()
        .context("the temporary folder's name is no text")?;
    Ok(format!("sqlite://{path}").parse()?)
}

impl Engine {
    fn new(options: &Options, variant: Variant, store: JobStore) -> Self {
        let begin = super::account::beginning();
        let models = models(options);
        let all = tenants(options, &models);
        let queue = Arc::new(TimedQueue::new(store));
        let fleet = FakeFleet::new(options.workers, Arc::clone(&models), variant.is_affine);
        let fleet = Arc::new(fleet);
        let mut dispatch = DispatchOptions::new(TIME_LIMIT, POLL);
        if !variant.has_preemption {
            dispatch.policy.max_preemptions = 0;
        }
        let dispatcher = Dispatcher::new(Arc::clone(&queue), Arc::clone(&fleet), dispatch);
        let named = all.iter().enumerate();
        let sources = named
            .map(|(at, tenant)| Source::new(tenant.clone(), at, Arc::clone(&models), options.seed));
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
            random: StdRng::seed_from_u64(options.seed.wrapping_add(0x5EED)),
            spot_life: options.spot_life,
            pause: options.pause,
            cancels_rest: options.cancel_rest,
            agenda: BinaryHeap::new(),
            happenings: 0,
            is_round_due: false,
            last_round: begin,
            ids: 0,
            ends: HashMap::new(),
            open: 0,
            queued: 0,
            queued_by_tenant: vec![0; all.len()],
            running_by_tenant: vec![0; all.len()],
            sample_every: (options.warm_up + options.duration) / SAMPLES,
            outcome: Outcome {
                capacity: options.duration * options.workers,
                tenants: all.into_iter().map(TenantOutcome::new).collect(),
                ..Outcome::default()
            },
        }
    }

    /// Attaches the workers, sets the shares of the tenants, and plans what begins by itself.
    async fn prepare(&mut self, options: &Options, variant: Variant) -> anyhow::Result<()> {
        self.queue.store.prepare(self.now).await?;
        for tenant in 0..self.outcome.tenants.len() {
            let drawn = self.outcome.tenants[tenant].tenant.clone();
            self.share(&drawn).await?;
            if variant.scope.includes(drawn.kind) {
                let pause = self.sources[tenant].pause();
                self.plan(self.now + pause, Happening::Arrival { tenant });
                if self.cancels_rest {
                    // The next arrival may be far.
                    let end = self.window.end + Duration::from_millis(1);
                    self.plan(end, Happening::Arrival { tenant });
                }
            }
        }
        for worker in 0..self.fleet.count() {
            self.attach(worker).await?;
            let place = (worker as f64 + 0.5) / self.fleet.count() as f64;
            // Every kind of worker is there as spot machine.
            if (place * 100.0).fract() < options.spot_share {
                self.plan_vanishing(worker);
            }
        }
        self.plan(self.now, Happening::Poll);
        self.plan(self.now + self.sample_every, Happening::Sample);
        Ok(())
    }

    async fn share(&self, tenant: &Tenant) -> anyhow::Result<()> {
        let change = TenantChange {
            weight: Some(tenant.weight),
            max_running: Some(tenant.max_running),
            ..TenantChange::default()
        };
        self.queue.store.set_tenant(&tenant.name, change).await?;
        Ok(())
    }

    /// Opens a worker's stream.
    pub(super) async fn attach(&self, worker: usize) -> anyhow::Result<()> {
        let (worker, session) = self.fleet.identity(worker);
        let attachment = Attachment {
            worker,
            session,
            slots: 1,
            ..Attachment::default()
        };
        let lose = |_: &mut Job| (None, Vec::new());
        let heard = self.now + HEARD_AHEAD;
        self.queue
            .store
            .attach(&attachment, heard, heard, lose)
            .await?;
        Ok(())
    }
}
