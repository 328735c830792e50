//! What is simulated.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use kinora_store::DatabaseUrl;

/// Runs the scheduler's policy, dispatch loop and store against fake workers and callers on a virtual clock.
///
/// One tenant is light, one floods with a hundred times as many jobs, and the others ask together for what is left of
/// the load. They submit clips of several models and classes; the light tenant's are standard ones, as the flood's.
/// Workers have three sizes of memory and load weights when the model changes. Some are spot machines that vanish, with
/// what they ran since their last checkpoint; some only fall silent, and report when nobody listens to them any more.
/// Attempts fail, some jobs can never succeed, and a few kill every worker. One tenant may run only so many jobs.
///
/// At the end every accepted job must have exactly one outcome, in the database as in the reports that were taken, and
/// the limit must have held; otherwise the command fails. The light tenant is also simulated alone on the same fleet, and
/// a small fleet is simulated with and without the flood, affinity and pre-emption, to show what each is good for.
///
/// The table says how long jobs waited by class and tenant, how fairly device time was shared (Jain's index of device
/// time by weight, 1 is equal), what the workers did, how often a lease found the weights in memory, how often jobs were
/// pre-empted, and how long snapshots, plans and claims took on this machine.
///
/// For example: simulate --workers 10000 --tenants 40 --seed 1 --plots docs/scheduling
#[derive(Clone, Debug, Parser)]
#[command(name = "simulate", version)]
pub struct Options {
    /// Workers, with one slot each.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub workers: u32,
    /// Tenants: a light one, one that floods, and regular ones with weights of 100, 200 and 300.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(3..))]
    pub tenants: u32,
    /// Models, 1 to 8. The larger ones do not fit the smaller workers.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub models: u32,
    /// Device time asked for, as a multiple of what the fleet has. Above 1 there is a backlog, and shares matter.
    #[arg(long, default_value_t = 2.0)]
    pub load: f64,
    /// Simulated time for which jobs are submitted and measured.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// Simulated time at the beginning that is not measured: all workers begin together.
    #[arg(long, default_value = "2m", value_parser = humantime::parse_duration)]
    pub warm_up: Duration,
    /// The light tenant's jobs a second, for each thousand workers. The flood submits a hundred times as many.
    #[arg(long, default_value_t = 0.05)]
    pub light_rate: f64,
    /// Share of the workers that are spot machines.
    #[arg(long, default_value_t = 0.3)]
    pub spot_share: f64,
    /// Mean time until a spot machine vanishes.
    #[arg(long, default_value = "20m", value_parser = humantime::parse_duration)]
    pub spot_life: Duration,
    /// Simulated time between two rounds of dispatch. What happens meanwhile is dealt with together.
    #[arg(long, default_value = "50ms", value_parser = humantime::parse_duration)]
    pub pause: Duration,
    /// Cancel what waits when the last job was submitted, instead of working it off.
    #[arg(long)]
    pub cancel_rest: bool,
    /// Workers of the fleet that shows what the flood, affinity and pre-emption change; 0 to leave that out.
    #[arg(long, default_value_t = 100)]
    pub experiment_workers: u32,
    /// Of all that is random.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// An empty database to use instead of a temporary SQLite file, as `sqlite://PATH` or `postgres://…`. Used for the
    /// run of all tenants; the runs to compare it with always use temporary files.
    #[arg(long)]
    pub database: Option<DatabaseUrl>,
    /// A folder for the plots, as SVG.
    #[arg(long)]
    pub plots: Option<PathBuf>,
}

impl Options {
    /// A small fleet with few tenants, a heavier flood and enough time for the light tenant's few jobs.
    pub fn experiment(&self) -> Self {
        Self {
            workers: self.experiment_workers,
            tenants: 5,
            load: 2.5,
            duration: Duration::from_secs(10 * 60),
            warm_up: Duration::from_secs(2 * 60),
            light_rate: 0.5,
            pause: Duration::from_millis(200),
            cancel_rest: true,
            database: None,
            plots: None,
            ..self.clone()
        }
    }
}
