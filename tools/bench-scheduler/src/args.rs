//! What is measured, and how much of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::place::Engine;

/// Measures the scheduler's store and event buses. Needs the PostgreSQL that scripts/with-postgres starts.
#[derive(Debug, Parser)]
pub struct Args {
    /// A run of seconds that measures little and shows that all of it works.
    #[arg(long)]
    quick: bool,
    /// These sections instead of all.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,
    /// These databases instead of both.
    #[arg(long, value_enum, value_delimiter = ',')]
    on: Vec<Engine>,
    /// How often each measurement is repeated.
    #[arg(long)]
    repetitions: Option<u32>,
    /// Backlogs, in jobs, smallest first.
    #[arg(long, value_delimiter = ',')]
    backlogs: Vec<u64>,
    /// The folder of peer.mjs with its packages. The peer is left out without it.
    #[arg(long)]
    pub peer: Option<PathBuf>,
    /// A nats-server to start. NATS is left out without it.
    #[arg(long, env = "KINORA_TEST_NATS_SERVER")]
    pub nats_server: Option<PathBuf>,
}

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// Claims and completions a second.
    Claims,
    /// How long a claim takes, by what waits.
    Backlog,
    /// How long a submission takes.
    Submit,
    /// How long a light tenant waits.
    Fairness,
    /// Events a second.
    Events,
    /// Another scheduler on the same PostgreSQL.
    Peer,
}

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Repetitions of each measurement.
    pub repetitions: u32,
    /// Workers with a slot each.
    pub workers: u32,
    /// Claims of one job in a repetition.
    pub singles: u32,
    /// Claims of many jobs in a repetition.
    pub batches: u32,
    /// Jobs of such a claim.
    pub batch: u32,
    /// Backlogs in jobs.
    pub backlogs: Vec<u64>,
    /// How long a scenario in real time runs.
    pub scenario: Duration,
    /// Events a repetition.
    pub events: u32,
    /// Watchers.
    pub watchers: Vec<u32>,
    /// Jobs of the peer a repetition.
    pub peer_jobs: u32,
}

impl Args {
    /// What is to be measured, in this order.
    pub fn sections(&self) -> Vec<Section> {
        let all = Section::value_variants().iter().copied();
        all.filter(|section| self.only.is_empty() || self.only.contains(section))
            .collect()
    }

    /// Where.
    pub fn engines(&self) -> Vec<Engine> {
        let all = Engine::value_variants().iter().copied();
        all.filter(|engine| self.on.is_empty() || self.on.contains(engine))
            .collect()
    }

    /// How much.
    pub fn scale(&self) -> Scale {
        let mut scale = if self.quick { quick() } else { full() };
        if let Some(repetitions) = self.repetitions {
            scale.repetitions = repetitions.max(1);
        }
        if !self.backlogs.is_empty() {
            scale.backlogs.clone_from(&self.backlogs);
        }
        scale
    }
}

fn full() -> Scale {
    Scale {
        repetitions: 3,
        workers: 512,
        singles: 200,
        batches: 50,
        batch: 64,
        backlogs: vec![1_000, 10_000, 100_000, 1_000_000],
        scenario: Duration::from_secs(15),
        events: 20_000,
        watchers: vec![1, 100, 1_000],
        peer_jobs: 10_000,
    }
}

fn quick() -> Scale {
    Scale {
        repetitions: 1,
        workers: 32,
        singles: 8,
        batches: 4,
        batch: 16,
        backlogs: vec![200, 400],
        scenario: Duration::from_secs(2),
        events: 200,
        watchers: vec![1, 10],
        peer_jobs: 200,
    }
}
