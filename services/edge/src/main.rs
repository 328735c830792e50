//! The `kinora-edge` program: the HTTP front of a mesh.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Parser;
use kinora_edge::{EdgeOptions, UploadOptions};
use kinora_mesh::telemetry::TelemetryOptions;

/// Answers REST and event streams in front of a scheduler.
#[derive(Parser)]
#[command(name = "kinora-edge", version)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, env = "KINORA_EDGE_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    telemetry: TelemetryOptions,
    #[command(flatten)]
    edge: EdgeOptions,
    #[command(flatten)]
    uploads: UploadOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Fails only when a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let _telemetry = kinora_mesh::telemetry::init("kinora-edge", &arguments.telemetry)?;
    let shutdown = kinora_mesh::shutdown::on_signals();
    let listener = kinora_mesh::serve::bind(arguments.listen).await?;
    kinora_edge::serve_with(arguments.edge, arguments.uploads, listener, shutdown)
        .await
        .context("the edge stopped")
}
