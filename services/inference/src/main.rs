//! The `kinora-inference` program: one worker on one device.

use anyhow::Context;
use clap::Parser;
use kinora_inference::InferenceOptions;
use kinora_mesh::identity::{Identity, IdentityOptions};
use kinora_mesh::telemetry::TelemetryOptions;

/// Attaches to a scheduler and generates clips on one device.
#[derive(Parser)]
#[command(name = "kinora-inference", version)]
struct Arguments {
    #[command(flatten)]
    telemetry: TelemetryOptions,
    #[command(flatten)]
    identity: IdentityOptions,
    #[command(flatten)]
    inference: InferenceOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Another provider cannot be installed before the first line of main.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let _telemetry = kinora_mesh::telemetry::init("kinora-inference", &arguments.telemetry)?;
    let shutdown = kinora_mesh::shutdown::on_signals();
    let identity = Identity::load(&arguments.identity)?;
    Box::pin(kinora_inference::run(
        arguments.inference,
        identity,
        shutdown,
    ))
    .await
    .context("worker stopped")
}
