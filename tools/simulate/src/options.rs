//! What is simulated.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use kinora_store::DatabaseUrl;

/// Runs the scheduler's policy, dispatch loop and store against fake workers and callers on a virtual clock.
///
/// One tenant is light, one floods with a hundred times as many jobs, and the others ask together for what is left of
/// the load. They submit clips of several models and classes; the light tenant's are standard ones, as the flood's.
/// Workers have three sizes of memory and load weights when the model changes. The light tenant is also simulated alone
/// on the same fleet, to compare its waits.
///
/// The table says how long jobs waited by class and tenant, how fairly device time was shared (Jain's index of device
/// time by weight, 1 is equal), what the workers did, how often a lease found the weights in memory, how often jobs were
/// pre-empted, and how long snapshots, plans and claims took on this machine.
///
/// For example: simulate --workers 10000 --tenants 40 --duration 10m --seed 1 --plots docs
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
    /// Of all that is random.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// An empty database to use instead of a temporary SQLite file, as `sqlite://PATH` or `postgres://…`. Used for the
    /// run of all tenants; the light tenant alone is always simulated on a temporary file.
    #[arg(long)]
    pub database: Option<DatabaseUrl>,
    /// A folder for the plots, as SVG.
    #[arg(long)]
    pub plots: Option<PathBuf>,
}
