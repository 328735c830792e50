//! The `simulate` program: the scheduler's own policy, dispatch loop and store, with fake workers on a virtual clock.
//!
//! Nothing of the scheduler is imitated: [`kinora_scheduler::dispatch::Dispatcher`] makes the rounds, and jobs lie in a
//! real SQLite or PostgreSQL. Only time, workers and callers are made up, from a seed, so that the same arguments give
//! the same table but for the times that the machine itself took.

mod engine;
mod fleet;
mod options;
mod outcome;
mod plots;
mod queue;
mod report;
mod svg;
#[cfg(test)]
mod tests;
mod workload;

use std::io::Write;

use anyhow::Context;
use clap::Parser;

use options::Options;
use report::{Experiments, Runs};
use workload::{Scope, Variant};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let runs = Box::pin(runs(&options)).await?;
    // What was asked for is told before the comparisons, which take as long again.
    show(&report::text(&options, &runs))?;
    if let Some(folder) = &options.plots {
        plots::write(folder, &runs.all, &runs.alone).context("the plots")?;
    }
    if options.experiment_workers > 0 {
        let options = options.experiment();
        let experiments = Box::pin(experiments(&options)).await?;
        show(&report::comparison(&options, &experiments))?;
    }
    Ok(())
}

fn show(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// The run that was asked for, and the one that it is compared with.
async fn runs(options: &Options) -> anyhow::Result<Runs> {
    let alone = engine::run(options, Variant::of(Scope::LightAlone), None);
    let alone = alone.await.context("the run of the light tenant alone")?;
    let all = engine::run(options, Variant::of(Scope::All), options.database.as_ref());
    let all = all.await.context("the run of all tenants")?;
    Ok(Runs { all, alone })
}

async fn experiments(options: &Options) -> anyhow::Result<Experiments> {
    let all = Variant::of(Scope::All);
    let blind = Variant {
        is_affine: false,
        ..all
    };
    let polite = Variant {
        has_preemption: false,
        ..all
    };
    Ok(Experiments {
        alone: engine::run(options, Variant::of(Scope::LightAlone), None).await?,
        without_flood: engine::run(options, Variant::of(Scope::WithoutFlood), None).await?,
        all: engine::run(options, all, None).await?,
        without_affinity: engine::run(options, blind, None).await?,
        without_preemption: engine::run(options, polite, None).await?,
    })
}
