//! Measures the scheduler's store, policy and event buses, and a peer beside them: `make bench-scheduler`.
//!
//! All of it runs the code that the scheduler runs, on the PostgreSQL of `scripts/with-postgres` and on SQLite files.
//! What is measured is described beside each section. Tables go to standard output, progress to standard error.

mod args;
mod backlog;
mod claims;
mod events;
mod fairness;
mod fill;
mod fleet;
mod peer;
mod place;
mod shop;
mod submit;
mod table;

use anyhow::Result;
use clap::Parser as _;

use args::{Args, Section};
use table::Table;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let scale = args.scale();
    let mut table = Table::begin()?;
    for section in args.sections() {
        for engine in args.engines() {
            match section {
                Section::Claims => claims::measure(engine, &scale, &mut table).await?,
                Section::Backlog => backlog::measure(engine, &scale, &mut table).await?,
                Section::Submit => submit::measure(engine, &scale, &mut table).await?,
                Section::Fairness => fairness::measure(engine, &scale, &mut table).await?,
                Section::Events | Section::Peer => {}
            }
        }
        match section {
            Section::Events => {
                events::measure(args.nats_server.is_some(), &scale, &mut table).await?
            }
            Section::Peer => peer::measure(args.peer.as_deref(), &scale, &mut table).await?,
            _ => {}
        }
    }
    Ok(())
}
