//! `kinora generate`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kinora_edge::view::{State, Video, VideoEvent};
use kinora_media::StillFormat;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connect::{local_mesh, named_mesh};
use crate::arguments::{Folders, GenerateArguments};
use crate::client::download::Target;
use crate::client::{Api, ApiError, Submission};
use crate::data::{DataError, DataFolder};
use crate::exit::{Failure, Status};
use crate::mesh::{LocalMesh, LocalMeshOptions};
use crate::output;
use crate::picture;
use crate::progress::{Display, duration};

const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(200);
const SUBMIT_ATTEMPTS: u32 = 4;
const SUBMIT_PAUSE: Duration = Duration::from_secs(1);

/// Generates one clip and saves it.
///
/// # Errors
///
/// [`Failure`] with the status that scripts tell apart.
pub async fn run(
    arguments: GenerateArguments,
    folders: &Folders,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let target = Target::prepare(&arguments.output).map_err(Failure::usage)?;
    let manifest = arguments.manifest.as_deref().map(Target::prepare);
    let targets = Targets {
        clip: target,
        manifest: manifest.transpose().map_err(Failure::usage)?,
    };
    let submission = submission(&arguments)?;
    let mut display = Display::new(arguments.quiet);
    let connecting = Box::pin(connect(&arguments, folders, &mut display));
    let mut mesh = tokio::select! {
        mesh = connecting => mesh?,
        () = shutdown.cancelled() => return Err(Failure::interrupted("interrupted")),
    };
    let api = mesh.api()?;
    let generating = Generation {
        api: &api,
        arguments: &arguments,
        submission,
        shutdown,
    };
    let result = tokio::select! {
        result = generating.run(targets, &mut display) => result,
        error = mesh.failure() => Err(error.into()),
    };
    display.clear();
    mesh.stop().await;
    result
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
    arguments: &GenerateArguments,
    folders: &Folders,
    display: &mut Display,
) -> Result<Mesh, Failure> {
    if let Some(api) = named_mesh(&arguments.server, folders)? {
        return Ok(Mesh::Running(api));
    }
    let data_dir = folders.data_dir()?;
    let mut has_said = false;
    loop {
        if let Some(api) = local_mesh(&arguments.server, &data_dir).await? {
            return Ok(Mesh::Running(api));
        }
        match DataFolder::open(&data_dir) {
            Ok(data) => {
                return start(arguments, folders, data, display)
                    .await
                    .map(Mesh::Own);
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
    arguments: &GenerateArguments,
    folders: &Folders,
    data: DataFolder,
    display: &mut Display,
) -> Result<Box<LocalMesh>, Failure> {
    let unreachable = |error: anyhow::Error| Failure::new(Status::Unreachable, error);
    display.say("starting a mesh for this call");
    let (places, engine) = (&arguments.engine.places, &arguments.engine.engine);
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
        drain_timeout: Duration::ZERO,
    };
    let mesh = Box::pin(LocalMesh::start(options))
        .await
        .map_err(unreachable)?;
    Ok(Box::new(mesh))
}

/// Where the files go.
struct Targets {
    clip: Target,
    manifest: Option<Target>,
}

/// One job, from its submission to the saved clip.
struct Generation<'a> {
    api: &'a Api,
    arguments: &'a GenerateArguments,
    submission: Submission,
    shutdown: CancellationToken,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Saved<'a> {
    path: &'a Path,
    elapsed_seconds: f64,
    video: &'a Video,
}

impl Generation<'_> {
    async fn run(&self, targets: Targets, display: &mut Display) -> Result<(), Failure> {
        let begun = Instant::now();
        let video = tokio::select! {
            video = self.submit() => video?,
            () = self.shutdown.cancelled() => return Err(Failure::interrupted("interrupted")),
        };
        let following = self.api.follow(&video.id, |event| {
            display.show(event);
            self.save_preview(event);
        });
        let last = tokio::select! {
            last = following => last?,
            () = self.shutdown.cancelled() => {
                display.clear();
                return Err(self.give_up(&video.id).await);
            }
        };
        display.clear();
        let video = self.api.video(&video.id).await?;
        for note in &video.notes {
            output::remark(format!("note: {note}"));
        }
        let outputs = video
            .outputs
            .as_ref()
            .filter(|_| last.state == State::Completed);
        let Some(outputs) = outputs else {
            return Err(failed(&last));
        };
        let path = match picture::format_of(&self.arguments.output) {
            Some(format) => self.save_still(&video.id, format, targets.clip).await?,
            None => self.api.download(outputs, targets.clip).await?,
        };
        if let Some(target) = targets.manifest {
            let manifest = self.api.manifest(&video.id).await?;
            target.save(&mut manifest.as_slice())?;
        }
        self.report(&path, &video, begun.elapsed())
    }

    /// Saves the only frame as a picture.
    async fn save_still(
        &self,
        id: &str,
        format: StillFormat,
        target: Target,
    ) -> Result<PathBuf, Failure> {
        let png = self.api.still(id).await?;
        let encoded = tokio::task::spawn_blocking(move || picture::converted(png, format)).await;
        let encoded = encoded.map_err(|error| Failure::new(Status::Failed, error))??;
        Ok(target.save(&mut encoded.as_slice())?)
    }

    /// Submits under one key, so that an answer which got lost does not make a second job.
    async fn submit(&self) -> Result<Video, ApiError> {
        let key = uuid::Uuid::now_v7().to_string();
        let mut attempt = 1;
        loop {
            match self.api.submit(&self.submission, &key).await {
                Err(ApiError::Refused(problem))
                    if problem.status >= 500 && attempt < SUBMIT_ATTEMPTS =>
                {
                    attempt += 1;
                    tokio::time::sleep(SUBMIT_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// Saves a preview, if there is one and somebody wants it. Never more than a remark's worth.
    fn save_preview(&self, event: &VideoEvent) {
        if let (Some(path), Some(preview)) = (&self.arguments.preview, &event.preview)
            && let Err(error) = picture::save_preview(path, preview)
        {
            tracing::warn!(path = %path.display(), error = format!("{error:#}"), "a preview was not saved");
        }
    }

    /// Cancels the job of a person who does not want to wait for it.
    async fn give_up(&self, id: &str) -> Failure {
        match tokio::time::timeout(CANCEL_TIMEOUT, self.api.cancel(id)).await {
            Ok(Ok(_)) => Failure::interrupted(format!("interrupted; job {id} is cancelled")),
            Ok(Err(error)) => {
                Failure::interrupted(format!("interrupted; job {id} may go on: {error}"))
            }
            Err(_) => Failure::interrupted(format!("interrupted; job {id} may go on")),
        }
    }

    fn report(&self, path: &Path, video: &Video, elapsed: Duration) -> Result<(), Failure> {
        let elapsed_seconds = elapsed.as_secs_f64();
        if self.arguments.json {
            return Ok(output::json(&Saved {
                path,
                elapsed_seconds,
                video,
            })?);
        }
        let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
        let frames = match video.frames {
            1 => "1 frame".to_owned(),
            frames => format!("{frames} frames"),
        };
        output::result(format!(
            "{path}: {width}x{height}, {frames}, {size}, seed {seed}, made in {elapsed}",
            path = path.display(),
            width = video.width,
            height = video.height,
            size = indicatif::HumanBytes(bytes),
            seed = video.seed,
            elapsed = duration(elapsed_seconds),
        ))?;
        Ok(())
    }
}

fn submission(arguments: &GenerateArguments) -> Result<Submission, Failure> {
    let read = |path: &Option<PathBuf>| {
        let encoded = path.as_deref().map(picture::read_encoded);
        encoded.transpose().map_err(Failure::usage)
    };
    Ok(Submission {
        prompt: arguments.prompt.clone(),
        model: arguments.model.clone(),
        negative_prompt: arguments.negative.clone(),
        width: arguments.width,
        height: arguments.height,
        frames: frames(arguments)?,
        steps: arguments.steps,
        guidance: arguments.guidance,
        seed: arguments.seed,
        image: read(&arguments.image)?,
        last_image: read(&arguments.last_image)?,
    })
}

/// A picture has one frame.
fn frames(arguments: &GenerateArguments) -> Result<Option<u32>, Failure> {
    let output = &arguments.output;
    match (picture::format_of(output), arguments.frames) {
        (None, frames) => Ok(frames),
        (Some(_), None | Some(1)) => Ok(Some(1)),
        (Some(_), Some(frames)) => Err(Failure::usage(format!(
            "{} is a picture, which has 1 frame, not {frames}; name an .mp4",
            output.display()
        ))),
    }
}

fn failed(last: &VideoEvent) -> Failure {
    let error = match (&last.failure, last.state) {
        (Some(failure), State::Failed) => {
            anyhow::anyhow!("the job failed: {} ({})", failure.message, failure.reason)
        }
        (_, State::Cancelled) => anyhow::anyhow!("somebody cancelled the job"),
        (_, state) => anyhow::anyhow!("the job is {} without a clip", state.name()),
    };
    Failure::new(Status::Failed, error.context(format!("job {}", last.id)))
}
