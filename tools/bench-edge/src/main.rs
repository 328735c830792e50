//! Measures what the edge adds to a call of gRPC, and what a watcher of events costs it, beside Envoy: `make bench-edge`.
//!
//! One service of the mesh answers ([`backend`]); it is called directly by gRPC, by REST through the `kinora-edge` that
//! stands beside this program, and by REST through Envoy, whose transcoder has the same contracts ([`envoy`]). Service, edge
//! and Envoy are processes of their own. Tables go to standard output.

mod args;
mod backend;
mod client;
mod envoy;
mod load;
mod process;
mod series;
mod stand;
mod table;
mod video;
mod watchers;

use std::io::{self, Write as _};

use anyhow::Result;
use clap::Parser as _;

use args::{Args, Command, Section};
use stand::Stand;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    // Fails only when a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(Command::Backend(place)) = &args.command {
        return backend::serve(place).await;
    }
    let scale = args.scale();
    let cores = std::thread::available_parallelism()?;
    writeln!(
        io::stdout(),
        "{cores} cores for clients, edge or Envoy, and the service behind\n"
    )?;
    for section in args.sections() {
        // Programs that have done nothing yet: what they did before would be in their memory.
        let stand = Stand::start(args.envoy.as_deref()).await?;
        match section {
            Section::Series => series::measure(&stand, &scale).await?,
            Section::Load => load::measure(&stand, &scale).await?,
            Section::Watchers => watchers::measure(&stand, &scale).await?,
        }
    }
    Ok(())
}
