//! The `kinora-edge` program: the HTTP front of a mesh.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Parser;
use kinora_edge::{EdgeOptions, UploadOptions};
use kinora_mesh::identity::{Identity, IdentityOptions};
use kinora_mesh::telemetry::TelemetryOptions;

/// Answers REST, event streams, gRPC and gRPC-Web in front of the services of a mesh.
#[derive(Parser)]
#[command(name = "kinora-edge", version)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, env = "KINORA_EDGE_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    telemetry: TelemetryOptions,
    #[command(flatten)]
    identity: IdentityOptions,
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
    let identity = Identity::load(&arguments.identity)?;
    let listener = kinora_mesh::serve::bind(arguments.listen).await?;
    let Arguments { edge, uploads, .. } = arguments;
    kinora_edge::serve_with(edge, uploads, identity, listener, shutdown)
        .await
        .context("the edge stopped")
}
