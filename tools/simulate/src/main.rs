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
use workload::Scope;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let alone = engine::run(&options, Scope::LightAlone)
        .await
        .context("the run of the light tenant alone")?;
    let all = engine::run(&options, Scope::All)
        .await
        .context("the run of all tenants")?;
    let text = report::text(&options, &all, &alone);
    std::io::stdout().write_all(text.as_bytes())?;
    if let Some(folder) = &options.plots {
        plots::write(folder, &all, &alone).context("the plots")?;
    }
    Ok(())
}
