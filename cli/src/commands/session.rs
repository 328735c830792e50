//! A mesh for one call, and what may end the call early.

use std::time::Duration;

use kinora_billing::config::payments::PaymentOptions;
use tokio_util::sync::CancellationToken;

use super::connect::{local_mesh, named_mesh};
use crate::arguments::{Folders, RunArguments};
use crate::client::{Api, ApiError};
use crate::data::{DataError, DataFolder};
use crate::exit::{Failure, Status};
use crate::mesh::{LocalMesh, LocalMeshOptions, UNLIMITED_PLAN};
use crate::progress::Display;

const LOCK_PAUSE: Duration = Duration::from_millis(200);
const SUBMIT_ATTEMPTS: u32 = 4;
const SUBMIT_PAUSE: Duration = Duration::from_secs(1);

/// Works on the mesh that is named, else on the one that runs here, else on one of its own.
///
/// # Errors
///
/// [`Failure`] of the work, or when there is no mesh.
pub(super) async fn with_mesh(
    run: &RunArguments,
    folders: &Folders,
    shutdown: &CancellationToken,
    work: impl AsyncFnOnce(&Api, &mut Display) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut display = Display::new(run.quiet);
    let connecting = Box::pin(connect(run, folders, &mut display));
    let mut mesh = tokio::select! {
        mesh = connecting => mesh?,
        () = shutdown.cancelled() => return Err(Failure::interrupted("interrupted")),
    };
    let api = mesh.api()?;
    let result = tokio::select! {
        result = work(&api, &mut display) => result,
        error = mesh.failure() => Err(error.into()),
    };
    display.clear();
    mesh.stop().await;
    result
}

/// Whether the mesh may have taken the submission although it gave no good answer.
fn may_be_lost(error: &ApiError) -> bool {
    match error {
        ApiError::Refused(problem) => problem.status >= 500,
        ApiError::Unreachable { is_sent, .. } => *is_sent,
        ApiError::Protocol(_) | ApiError::Local(_) => false,
    }
}

/// Submits under one key, so that an answer which got lost does not make a second job.
///
/// # Errors
///
/// [`Failure`] when the mesh refuses, stays away, or the person interrupts.
pub(super) async fn submit<T>(
    shutdown: &CancellationToken,
    call: impl AsyncFn(&str) -> Result<T, ApiError>,
) -> Result<T, Failure> {
    let key = uuid::Uuid::now_v7().to_string();
    let submitting = async {
        let mut attempt = 1;
        loop {
            match call(&key).await {
                Err(error) if may_be_lost(&error) && attempt < SUBMIT_ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(SUBMIT_PAUSE).await;
                }
                result => return result,
            }
        }
    };
    tokio::select! {
        answer = submitting => Ok(answer?),
        () = shutdown.cancelled() => Err(Failure::interrupted("interrupted")),
    }
}

/// The mesh of one call: one that runs anyway, or one that lives as long as the call.
enum Mesh {
    Running(Api),
    Own(Box<LocalMesh>),
}

impl Mesh {
    fn api(&self) -> anyhow::Result<Api> {
        match self {
            Self::Running(api) => Ok(api.clone()),
            Self::Own(mesh) => mesh.api(),
        }
    }

    /// Ends only when a mesh of our own fails.
    async fn failure(&mut self) -> anyhow::Error {
        match self {
            Self::Running(_) => std::future::pending().await,
            Self::Own(mesh) => mesh.wait().await,
        }
    }

    async fn stop(self) {
        if let Self::Own(mesh) = self
            && let Err(error) = mesh.stop().await
        {
            tracing::warn!(
                error = format!("{error:#}"),
                "the mesh did not stop cleanly"
            );
        }
    }
}

/// The mesh that is named, else the one that runs here, else a new one.
async fn connect(
    run: &RunArguments,
    folders: &Folders,
    display: &mut Display,
) -> Result<Mesh, Failure> {
    if let Some(api) = named_mesh(&run.server, folders)? {
        return Ok(Mesh::Running(api));
    }
    let data_dir = folders.data_dir()?;
    let mut has_said = false;
    loop {
        if let Some(api) = local_mesh(&run.server, &data_dir).await? {
            return Ok(Mesh::Running(api));
        }
        match DataFolder::open(&data_dir) {
            Ok(data) => {
                return start(run, folders, data, display).await.map(Mesh::Own);
            }
            // It may be starting, or be another call's own.
            Err(DataError::InUse(path)) => {
                if !std::mem::replace(&mut has_said, true) {
                    display.say(&format!("waiting for another kinora on {}", path.display()));
                }
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            Err(error @ DataError::Unusable { .. }) => {
                return Err(Failure::new(Status::Unreachable, error));
            }
        }
    }
}

async fn start(
    run: &RunArguments,
    folders: &Folders,
    data: DataFolder,
    display: &mut Display,
) -> Result<Box<LocalMesh>, Failure> {
    let unreachable = |error: anyhow::Error| Failure::new(Status::Unreachable, error);
    display.say("starting a mesh for this call");
    let (places, engine) = (&run.engine.places, &run.engine.engine);
    let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let options = LocalMeshOptions {
        data,
        listen: any_port,
        s3_listen: any_port,
        s3_public_endpoint: None,
        cors_origins: Vec::new(),
        models: places.find_models(folders).map_err(unreachable)?,
        ffmpeg: places.find_ffmpeg(folders).await.map_err(unreachable)?,
        engine: engine.clone(),
        frames: run.engine.frames.clone(),
        drain_timeout: Duration::ZERO,
        private_webhooks: false,
        default_plan: UNLIMITED_PLAN.to_owned(),
        payments: PaymentOptions::default(),
        prompting: run.engine.prompting.clone(),
        providers_file: None,
    };
    let mesh = Box::pin(LocalMesh::start(options))
        .await
        .map_err(unreachable)?;
    Ok(Box::new(mesh))
}
