//! The `kinora-prompts` program.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Parser;
use kinora_mesh::identity::{Identity, IdentityOptions};
use kinora_mesh::telemetry::TelemetryOptions;
use kinora_prompts::PromptsOptions;

/// Makes prompts ready for models, and says whether they may be generated.
#[derive(Parser)]
#[command(name = "kinora-prompts", version)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, env = "KINORA_PROMPTS_LISTEN", default_value = "127.0.0.1:7005")]
    listen: SocketAddr,
    #[command(flatten)]
    telemetry: TelemetryOptions,
    #[command(flatten)]
    identity: IdentityOptions,
    #[command(flatten)]
    prompts: PromptsOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Fails only when a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let _telemetry = kinora_mesh::telemetry::init("kinora-prompts", &arguments.telemetry)?;
    let identity = Identity::load(&arguments.identity)?;
    let shutdown = kinora_mesh::shutdown::on_signals();
    let listener = kinora_mesh::serve::bind(arguments.listen).await?;
    // On the heap: the future of the whole service is large.
    Box::pin(kinora_prompts::serve(
        arguments.prompts,
        identity,
        listener,
        shutdown,
    ))
    .await
    .context("the prompts service stopped")
}
