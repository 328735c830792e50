//! Who submits what, and what it takes.

use std::sync::Arc;
use std::time::Duration;

use kinora_scheduler::domain::job::{Priority, VideoSpec};
use kinora_scheduler::domain::model::MemoryNeed;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::options::Options;

const GIB: u64 = 1 << 30;

/// Jobs of the flood for each of the light tenant.
const FLOOD: f64 = 100.0;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every tenant.
    All,
    /// The light tenant, with the same jobs at the same times.
    LightAlone,
    /// Every tenant but the one that floods.
    WithoutFlood,
}

impl Scope {
    /// Whether tenants of that sort take part.
    pub fn includes(self, kind: Kind) -> bool {
        match self {
            Self::All => true,
            Self::LightAlone => kind == Kind::Light,
            Self::WithoutFlood => kind != Kind::Flood,
        }
    }
}

/// A run among others that it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    pub scope: Scope,
    /// Whether the policy knows which worker has which model in memory.
    pub is_affine: bool,
    /// Whether the policy may ask for leases back.
    pub has_preemption: bool,
}

impl Variant {
    pub const fn of(scope: Scope) -> Self {
        Self {
            scope,
            is_affine: true,
            has_preemption: true,
        }
    }
}

/// What sort of tenant it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Asks for far less than its share.
    Light,
    /// Asks for a hundred times as much, in bursts.
    Flood,
    /// Asks for its part of the load.
    Regular,
    /// Asks for its part of the load, and may run only so many jobs at a time.
    Capped,
}

/// A tenant, and what it submits.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub name: String,
    pub kind: Kind,
    pub weight: u32,
    pub owners: u32,
    /// Jobs of a submission.
    pub burst: u32,
    /// Submissions a second.
    pub rate: f64,
    /// Jobs that may run at a time; 0 for no limit.
    pub max_running: u32,
}

/// A model: what it takes to run it.
#[derive(Clone, Debug)]
pub struct Model {
    pub name: String,
    pub need: MemoryNeed,
    /// Expected device time of a clip.
    pub cost: Duration,
    /// Time to load its weights.
    pub load: Duration,
    /// Share of the jobs.
    pub popularity: f64,
}

/// A job as it will turn out.
#[derive(Clone, Debug)]
pub struct Drawn {
    pub owner: String,
    pub model: usize,
    pub class: Priority,
    pub estimated: Duration,
    pub actual: Duration,
    pub fate: Fate,
}

/// What is wrong with a job, whoever runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its first attempts fail half-way, so many of them.
    Fails(u32),
    /// No attempt can succeed, and the first one finds that out.
    Broken,
    /// It kills every worker before the first checkpoint.
    Poison,
}

/// The memory of a worker, and the share of workers that have it.
pub const WORKER_KINDS: [(u64, f64); 3] = [(24 * GIB, 0.5), (48 * GIB, 0.3), (80 * GIB, 0.2)];

/// Seconds of a clip, seconds to load, GiB of weights, popularity.
const MODELS: [(u64, u64, u64, f64); 8] = [
    (12, 4, 6, 0.30),
    (20, 5, 8, 0.22),
    (30, 8, 12, 0.16),
    (25, 6, 10, 0.12),
    (45, 10, 26, 0.09),
    (60, 12, 30, 0.05),
    (50, 15, 55, 0.04),
    (90, 20, 60, 0.02),
];

/// Pixels of all clips.
const SIZE: (u32, u32, u32) = (832, 480, 81);

/// Steps of all clips.
pub const STEPS: u32 = 30;

/// The models of a run.
pub fn models(options: &Options) -> Arc<[Model]> {
    let count = usize::try_from(options.models).unwrap_or(MODELS.len());
    let named = MODELS.iter().take(count).enumerate();
    named
        .map(|(at, (cost, load, base, popularity))| Model {
            name: format!("model-{at}"),
            need: MemoryNeed {
                base_bytes: base * GIB,
                bytes_per_pixel: 200.0,
            },
            cost: Duration::from_secs(*cost),
            load: Duration::from_secs(*load),
            popularity: *popularity,
        })
        .collect()
}

/// The tenants of a run: the light one first, then the flood.
pub fn tenants(options: &Options, models: &[Model]) -> Vec<Tenant> {
    let total: f64 = models.iter().map(|model| model.popularity).sum();
    let costs = models
        .iter()
        .map(|it| it.popularity * it.cost.as_secs_f64());
    let mean_cost = costs.sum::<f64>() / total;
    let light = options.light_rate * f64::from(options.workers) / 1000.0;
    let all = options.load * f64::from(options.workers) / mean_cost;
    let left = (all - light * (1.0 + FLOOD)).max(0.0);
    let weights: f64 = (2..options.tenants).map(|at| f64::from(weight(at))).sum();
    let tenant = |(name, kind, weight, owners, burst, jobs): (String, Kind, u32, u32, u32, f64)| {
        let rate = jobs / f64::from(burst);
        let max_running = match kind {
            Kind::Capped => (options.workers / options.tenants / 2).max(1),
            _ => 0,
        };
        Tenant {
            name,
            kind,
            weight,
            owners,
            burst,
            rate,
            max_running,
        }
    };
    let first = [
        ("light".to_owned(), Kind::Light, 100, 1, 1, light),
        ("flood".to_owned(), Kind::Flood, 100, 3, 40, light * FLOOD),
    ];
    let regular = (2..options.tenants).map(|at| {
        let jobs = left * f64::from(weight(at)) / weights;
        let is_last = at > 2 && at + 1 == options.tenants;
        let kind = if is_last { Kind::Capped } else { Kind::Regular };
        (
            format!("tenant-{at:02}"),
            kind,
            weight(at),
            1 + at % 3,
            4,
            jobs,
        )
    });
    first.into_iter().chain(regular).map(tenant).collect()
}

const fn weight(at: u32) -> u32 {
    100 * (1 + at % 3)
}

/// What one tenant submits, the same for the same seed whoever else takes part.
pub struct Source {
    tenant: Tenant,
    models: Arc<[Model]>,
    random: StdRng,
}

impl Source {
    pub fn new(tenant: Tenant, at: usize, models: Arc<[Model]>, seed: u64) -> Self {
        let own = seed.wrapping_mul(1_000_003).wrapping_add(at as u64);
        Self {
            tenant,
            models,
            random: StdRng::seed_from_u64(own),
        }
    }

    /// Time until the next submission.
    pub fn pause(&mut self) -> Duration {
        let drawn: f64 = self.random.random();
        let seconds = -(1.0 - drawn).ln() / self.tenant.rate.max(1e-9);
        Duration::from_secs_f64(seconds.min(1e6))
    }

    /// The jobs of a submission: one owner, one model, one class.
    pub fn draw(&mut self) -> Vec<Drawn> {
        let owner = self.random.random_range(0..self.tenant.owners);
        let model = self.model();
        let class = match self.tenant.kind {
            Kind::Light | Kind::Flood => Priority::Standard,
            Kind::Regular | Kind::Capped => match self.random.random_range(0..20) {
                0 => Priority::Interactive,
                1..17 => Priority::Standard,
                _ => Priority::Batch,
            },
        };
        let estimated = self.models[model].cost;
        (0..self.tenant.burst)
            .map(|_| Drawn {
                owner: format!("{}:{owner}", self.tenant.name),
                model,
                class,
                estimated,
                // Estimates are wrong in both directions.
                actual: estimated.mul_f64(self.random.random_range(0.7..1.3)),
                fate: fate(self.random.random()),
            })
            .collect()
    }

    fn model(&mut self) -> usize {
        let total: f64 = self.models.iter().map(|model| model.popularity).sum();
        let mut drawn = self.random.random_range(0.0..total);
        let found = self.models.iter().position(|model| {
            drawn -= model.popularity;
            drawn < 0.0
        });
        found.unwrap_or(0)
    }
}

/// Of ten thousand jobs one is poison, twenty are broken, two hundred fail once and twenty more often.
fn fate(drawn: f64) -> Fate {
    match drawn {
        0.0..0.0001 => Fate::Poison,
        0.0001..0.0021 => Fate::Broken,
        0.0021..0.0041 => Fate::Fails(3),
        0.0041..0.0241 => Fate::Fails(1),
        _ => Fate::Fails(0),
    }
}

/// The request of a job.
pub fn spec(model: &str) -> VideoSpec {
    let (width, height, frames) = SIZE;
    VideoSpec {
        model: model.to_owned(),
        prompt: "a boat on a lake".to_owned(),
        negative_prompt: String::new(),
        width,
        height,
        frames,
        steps: STEPS,
        guidance: 5.0,
        seed: 1,
        fps: 16,
        image: None,
        last_image: None,
    }
}
