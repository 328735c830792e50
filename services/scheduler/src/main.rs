//! The `kinora-scheduler` program.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use kinora_blobs::{BlobOptions, BlobStore};
use kinora_mesh::identity::{Identity, IdentityOptions};
use kinora_mesh::telemetry::TelemetryOptions;
use kinora_scheduler::SchedulerOptions;

/// Owns jobs and hands them to workers.
#[derive(Parser)]
#[command(name = "kinora-scheduler", version)]
struct Arguments {
    /// Address to listen on.
    #[arg(
        long,
        env = "KINORA_SCHEDULER_LISTEN",
        default_value = "127.0.0.1:7001"
    )]
    listen: SocketAddr,
    #[command(flatten)]
    telemetry: TelemetryOptions,
    #[command(flatten)]
    identity: IdentityOptions,
    #[command(flatten)]
    scheduler: SchedulerOptions,
    #[command(flatten)]
    blobs: BlobOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Fails only when a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let _telemetry = kinora_mesh::telemetry::init("kinora-scheduler", &arguments.telemetry)?;
    let shutdown = kinora_mesh::shutdown::on_signals();
    let identity = Identity::load(&arguments.identity)?;
    let listener = kinora_mesh::serve::bind(arguments.listen).await?;
    let objects = Arc::new(BlobStore::new(&arguments.blobs));
    tokio::spawn(make_bucket(Arc::clone(&objects)));
    Box::pin(kinora_scheduler::serve(
        arguments.scheduler,
        objects,
        identity,
        listener,
        shutdown,
    ))
    .await
    .context("the scheduler stopped")
}

/// Makes the bucket on a fresh store. Jobs are accepted meanwhile: a store that is away must not keep the
/// scheduler from starting.
async fn make_bucket(objects: Arc<BlobStore>) {
    if let Err(error) = objects.ensure_bucket().await {
        tracing::warn!(error = %kinora_mesh::error::chain(&error), "the bucket is not there yet");
    }
}
