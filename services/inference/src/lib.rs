//! The worker that owns a device and generates clips.
//!
//! It dials into the scheduler and keeps one stream ([`agent`]): leases come down, progress and
//! results go up. The [`engine`] thread owns the device and the model ([`backend`]). An [`attempt`]
//! takes a lease from text to stored files: generate, encode, upload under the lease's own prefix,
//! and only then report; where a detector is configured, the clip's [`frames`] are looked at before anything is
//! uploaded. Clips of a sequence are joined the same way, without the engine. A job that fails, whatever the reason, leaves the worker serving the next.
//!
//! While it denoises, an attempt stores checkpoints under the job's prefix and names them to the scheduler, so that
//! another worker can go on from the last one; a drain makes the engine hand its state over. Neither the object store
//! nor watchers of previews ever hold the engine up.
//!
//! It keeps nothing that outlives the process, decides nothing about order, and knows no money.

pub mod agent;
pub mod attempt;
pub mod backend;
pub mod config;
mod convert;
pub mod engine;
pub mod error;
#[cfg(test)]
mod fake;
pub mod frames;
pub mod manifest;
pub mod progress;

use std::collections::HashMap;
use std::sync::Arc;

use kinora_blobs::BlobStore;
use kinora_mesh::identity::Identity as MeshIdentity;
use kinora_mesh::lifecycle::{DrainOptions, Lifecycle};
use kinora_model_store::check_licence;
use kinora_models::DeviceChoice;
use kinora_models::memory::total_bytes;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

pub use config::InferenceOptions;
pub use error::Error;

use agent::{Agent, Identity, Schedulers};
use attempt::Workbench;
use backend::{Backend, Folders};
use engine::Engine;
use frames::FrameCheck;
use manifest::Machine;

/// Loads the first model, then serves leases until `shutdown` and a drain. Probes are answered all the time.
///
/// # Errors
/// [`Error`] when the worker cannot start, or the scheduler will never take it.
pub async fn run(
    options: InferenceOptions,
    identity: MeshIdentity,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let lifecycle = begin(&options, &shutdown).await?;
    let loading = options.clone();
    let folders = tokio::task::spawn_blocking(move || open_models(&loading))
        .await
        .map_err(std::io::Error::other)??;
    attend(Box::new(folders), options, identity, lifecycle).await
}

/// Serves leases with a backend of the caller's choice.
///
/// # Errors
/// As [`run`].
pub async fn serve(
    backend: Box<dyn Backend>,
    options: InferenceOptions,
    identity: MeshIdentity,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let lifecycle = begin(&options, &shutdown).await?;
    attend(backend, options, identity, lifecycle).await
}

/// Nobody calls a worker, so that nothing has to be waited for before it drains.
async fn begin(
    options: &InferenceOptions,
    shutdown: &CancellationToken,
) -> Result<Lifecycle, Error> {
    Ok(Lifecycle::begin(options.probes, DrainOptions::default(), shutdown).await?)
}

/// Serves leases until the worker drains.
async fn attend(
    backend: Box<dyn Backend>,
    options: InferenceOptions,
    identity: MeshIdentity,
    lifecycle: Lifecycle,
) -> Result<(), Error> {
    let memory_total_bytes = total_bytes(options.engine.load_options().device).unwrap_or_default();
    let forecasts = backend.forecasts();
    let cards = backend
        .cards()
        .into_iter()
        .map(|card| (card.id.clone(), card))
        .collect();
    let frame_options = options.frames.clone();
    let frames = tokio::task::spawn_blocking(move || FrameCheck::open(&frame_options))
        .await
        .map_err(std::io::Error::other)??;
    let bench = Workbench {
        frames: frames.map(Arc::new),
        engine: Engine::start(backend, options.engine.rhythm())?,
        blobs: BlobStore::new(&options.blobs),
        ffmpeg: options.ffmpeg.clone(),
        scratch: options.scratch.clone().unwrap_or_else(std::env::temp_dir),
        cards,
        forecasts,
        memory_total_bytes,
        machine: machine(&options),
        costs: Mutex::new(HashMap::new()),
    };
    std::fs::create_dir_all(&bench.scratch)?;
    let schedulers = Schedulers::new(&options.scheduler_endpoints, identity)?;
    let identity = Identity {
        worker_id: options.worker_id.clone(),
        device: bench.machine.device.clone(),
        pool: options.pool.clone().unwrap_or_default(),
        instance: format!("{:032x}", rand::random::<u128>()),
        slots: 1,
        drain_timeout: options.drain_timeout,
    };
    Box::pin(Agent::new(identity, Arc::new(bench), schedulers, lifecycle).run()).await
}

fn open_models(options: &InferenceOptions) -> Result<Folders, Error> {
    for folder in &options.model_folders {
        check_licence(folder).map_err(Error::Licence)?;
    }
    let mut folders = Folders::open(&options.model_folders, options.engine.load_options())
        .map_err(Error::Model)?;
    let first = folders.cards().into_iter().next().ok_or(Error::NoModels)?;
    folders.warm(&first.id).map_err(Error::Warm)?;
    Ok(folders)
}

fn machine(options: &InferenceOptions) -> Machine {
    Machine {
        kinora: env!("CARGO_PKG_VERSION").to_owned(),
        device: match options.engine.load_options().device {
            DeviceChoice::Cpu => "cpu".to_owned(),
            DeviceChoice::Cuda(index) => format!("cuda:{index}"),
        },
    }
}
