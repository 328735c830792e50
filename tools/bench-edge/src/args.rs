//! What is measured, and how much of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Flags, Parser, Subcommand, ValueEnum};

/// Measures what the edge adds to a call, and what a watcher costs it. Needs `kinora-edge` beside itself.
#[derive(Debug, Parser)]
pub struct Args {
    /// A run of seconds that measures little and shows that all of it works.
    #[arg(long)]
    quick: bool,
    /// These sections instead of all.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,
    /// How often each measurement is repeated.
    #[arg(long)]
    rounds: Option<usize>,
    /// An envoy to start. Envoy is left out without it.
    #[arg(long, env = "KINORA_BENCH_ENVOY")]
    pub envoy: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What else this program is.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The service that answers. The benchmark starts it.
    #[command(hide = true)]
    Backend(Place),
}

/// Where the service listens, and who it is.
#[derive(Debug, Flags)]
pub struct Place {
    #[arg(long)]
    pub listen: SocketAddr,
    #[arg(long)]
    pub identity_dir: PathBuf,
}

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// One client, one call after the other.
    Series,
    /// As many calls as the cores can take.
    Load,
    /// Many who follow events.
    Watchers,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Rounds that count; one before them warms up.
    pub rounds: usize,
    /// Calls of one client in a round.
    pub calls: usize,
    /// Calls at a time under load.
    pub clients: usize,
    /// How long a round under load is.
    pub load: Duration,
    /// Rounds under load that count.
    pub load_rounds: usize,
    /// Who follow events.
    pub watchers: usize,
    /// Events for all of them at once.
    pub bursts: usize,
    /// Seconds in each of which every watcher gets an event, one after the other.
    pub steady_seconds: usize,
}

impl Args {
    /// What is to be measured, in this order.
    pub fn sections(&self) -> impl Iterator<Item = Section> {
        let all = Section::value_variants().iter().copied();
        all.filter(|section| self.only.is_empty() || self.only.contains(section))
    }

    /// How much.
    pub fn scale(&self) -> Scale {
        let mut scale = if self.quick { QUICK } else { FULL };
        if let Some(rounds) = self.rounds {
            scale.rounds = rounds.max(1);
            scale.load_rounds = rounds.max(1);
        }
        scale
    }
}

const FULL: Scale = Scale {
    rounds: 11,
    calls: 500,
    clients: 32,
    load: Duration::from_secs(2),
    load_rounds: 5,
    watchers: 1000,
    bursts: 20,
    steady_seconds: 10,
};

const QUICK: Scale = Scale {
    rounds: 1,
    calls: 10,
    clients: 2,
    load: Duration::from_millis(100),
    load_rounds: 1,
    watchers: 10,
    bursts: 1,
    steady_seconds: 1,
};
