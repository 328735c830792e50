//! The `kinora-billing` program.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Parser;
use kinora_billing::BillingOptions;
use kinora_mesh::identity::{Identity, IdentityOptions};
use kinora_mesh::telemetry::TelemetryOptions;

/// Keeps credits: who has how many, what jobs cost, and where every one of them went.
#[derive(Parser)]
#[command(name = "kinora-billing", version)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, env = "KINORA_BILLING_LISTEN", default_value = "127.0.0.1:7004")]
    listen: SocketAddr,
    #[command(flatten)]
    telemetry: TelemetryOptions,
    #[command(flatten)]
    identity: IdentityOptions,
    #[command(flatten)]
    billing: BillingOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Fails only when a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let _telemetry = kinora_mesh::telemetry::init("kinora-billing", &arguments.telemetry)?;
    let identity = Identity::load(&arguments.identity)?;
    let shutdown = kinora_mesh::shutdown::on_signals();
    let listener = kinora_mesh::serve::bind(arguments.listen).await?;
    // On the heap: the future of the whole service is large.
    Box::pin(kinora_billing::serve(
        arguments.billing,
        identity,
        listener,
        shutdown,
    ))
    .await
    .context("the billing service stopped")
}
