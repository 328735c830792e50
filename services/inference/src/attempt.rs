//! One attempt at a job: generate, encode, store.
//!
//! Everything is written under the lease's own prefix, so that an attempt that lost its lease can
//! never overwrite the files of a newer one. Nothing is named as an output before all of it is stored.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinora_blobs::BlobStore;
use kinora_ids::LeaseRef;
use kinora_media::{RawVideo, encode_mp4, thumbnail_webp};
use kinora_models::{Clip, GenerateError, GenerateRequest, ModelCard, Stage};
use kinora_proto::scheduler::v1 as pb;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::backend::BackendError;
use crate::engine::{CancelFlag, Engine, EngineEvent, Generated};
use crate::error::AttemptError;
use crate::manifest::{self, Machine};
use crate::progress::{Meter, StageCosts};

/// How long an engine may take to notice that it was asked to stop.
const CANCEL_GRACE: Duration = Duration::from_secs(30);

/// A lease as the scheduler granted it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The job and the fencing number.
    pub lease: LeaseRef,
    /// What to generate.
    pub spec: pb::VideoSpec,
    /// The attempt must end after this long.
    pub time_limit: Duration,
    /// Trace of the submitting call; may be empty.
    pub traceparent: String,
}

/// What attempts of this worker share.
pub struct Workbench {
    /// Generates.
    pub engine: Engine,
    /// Receives the outputs.
    pub blobs: BlobStore,
    /// The encoder program.
    pub ffmpeg: PathBuf,
    /// Holds files until they are stored.
    pub scratch: PathBuf,
    /// The models by id.
    pub cards: HashMap<String, ModelCard>,
    /// Goes into manifests.
    pub machine: Machine,
    /// What the stages of the last clip took, by model.
    pub costs: Mutex<HashMap<String, StageCosts>>,
}

/// Runs an attempt to its end and tells `progress` what has finished.
///
/// # Errors
/// [`AttemptError`]; whatever was stored under the lease's prefix is the caller's to remove.
pub async fn run(
    bench: Arc<Workbench>,
    grant: Grant,
    cancel: CancelFlag,
    progress: impl Fn(pb::Progress) + Send,
) -> Result<pb::Outputs, AttemptError> {
    let span = tracing::info_span!("attempt", job_id = %grant.lease.job, lease = grant.lease.lease);
    if !grant.traceparent.is_empty() {
        kinora_mesh::trace::set_parent(&span, &grant.traceparent);
    }
    let limit = grant.time_limit;
    let attempt = Attempt::new(&bench, &grant, cancel.clone(), progress);
    let mut work = Box::pin(attempt.run().instrument(span));
    if let Ok(finished) = tokio::time::timeout(limit, &mut work).await {
        return finished;
    }
    cancel.cancel();
    match tokio::time::timeout(CANCEL_GRACE, work).await {
        Ok(_) => Err(AttemptError::TimeLimit(limit)),
        Err(_) => Err(AttemptError::Stuck(limit)),
    }
}

struct Attempt<'a, P> {
    bench: &'a Workbench,
    grant: &'a Grant,
    cancel: CancelFlag,
    tell: P,
    meter: Meter,
    begun: Instant,
}

impl<'a, P: Fn(pb::Progress) + Send> Attempt<'a, P> {
    fn new(bench: &'a Workbench, grant: &'a Grant, cancel: CancelFlag, tell: P) -> Self {
        let costs = bench
            .costs
            .lock()
            .get(&grant.spec.model)
            .copied()
            .unwrap_or_default();
        Self {
            bench,
            grant,
            cancel,
            tell,
            meter: Meter::new(costs),
            begun: Instant::now(),
        }
    }

    async fn run(mut self) -> Result<pb::Outputs, AttemptError> {
        let spec = &self.grant.spec;
        let card = self.bench.cards.get(&spec.model);
        let card = card.ok_or_else(|| BackendError::UnknownModel(spec.model.clone()))?;
        let generated = self.generate(card).await?;
        self.advance(pb::Stage::Packaging, 0, 1);
        let package = self.package(generated, card).await?;
        self.advance(pb::Stage::Packaging, 1, 1);
        let outputs = self.upload(package).await?;
        let costs = self.meter.finish(self.begun.elapsed());
        self.bench.costs.lock().insert(spec.model.clone(), costs);
        let elapsed_ms = self.begun.elapsed().as_millis();
        tracing::info!(elapsed_ms, bytes = outputs.video_bytes, "clip delivered");
        Ok(outputs)
    }

    fn advance(&mut self, stage: pb::Stage, step: u32, steps: u32) {
        (self.tell)(self.meter.advance(stage, step, steps, self.begun.elapsed()));
    }

    async fn generate(&mut self, card: &ModelCard) -> Result<Generated, AttemptError> {
        let (sender, mut events) = mpsc::unbounded_channel();
        let request = generate_request(&self.grant.spec, card);
        let engine = self.bench.engine.clone();
        let model = self.grant.spec.model.clone();
        let generating = engine.generate(model, request, self.cancel.clone(), sender);
        tokio::pin!(generating);
        let generated = loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => self.note(event),
                result = &mut generating => break result,
            }
        };
        generated.map_err(|error| match error {
            BackendError::Generate(GenerateError::Cancelled) => AttemptError::Cancelled,
            other => AttemptError::Backend(other),
        })
    }

    fn note(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Loading => self.advance(pb::Stage::Loading, 0, 1),
            EngineEvent::Progress(progress) => {
                self.advance(stage_to_pb(progress.stage), progress.step, progress.steps);
            }
        }
    }

    /// Encodes on a thread of its own, since the encoder blocks.
    async fn package(
        &self,
        generated: Generated,
        card: &ModelCard,
    ) -> Result<Package, AttemptError> {
        self.check_cancelled()?;
        let folder = tempfile::Builder::new()
            .prefix("attempt-")
            .tempdir_in(&self.bench.scratch)?;
        let job = PackageJob {
            ffmpeg: self.bench.ffmpeg.clone(),
            spec: self.grant.spec.clone(),
            card: card.clone(),
            machine: self.bench.machine.clone(),
            generated,
            folder,
        };
        let span = tracing::info_span!("package");
        tokio::task::spawn_blocking(move || span.in_scope(|| package(job))).await?
    }

    async fn upload(&mut self, package: Package) -> Result<pb::Outputs, AttemptError> {
        let prefix = self.grant.lease.object_prefix();
        let key = |name: &str| format!("{prefix}{name}");
        let (video, thumbnail, manifest) = (
            key("video.mp4"),
            key("thumbnail.webp"),
            key("manifest.json"),
        );
        let blobs = &self.bench.blobs;
        self.check_cancelled()?;
        self.advance(pb::Stage::Uploading, 0, 3);
        blobs.put_file(&video, &package.video, "video/mp4").await?;
        self.advance(pb::Stage::Uploading, 1, 3);
        blobs
            .put_bytes(&thumbnail, package.thumbnail, "image/webp")
            .await?;
        self.advance(pb::Stage::Uploading, 2, 3);
        blobs
            .put_bytes(&manifest, package.manifest, "application/json")
            .await?;
        self.check_cancelled()?;
        self.advance(pb::Stage::Uploading, 3, 3);
        let spec = &self.grant.spec;
        let seconds = f64::from(spec.frames) / f64::from(spec.fps.max(1));
        Ok(pb::Outputs {
            video_key: video,
            thumbnail_key: thumbnail,
            manifest_key: manifest,
            video_bytes: package.video_bytes,
            width: spec.width,
            height: spec.height,
            frames: spec.frames,
            fps: spec.fps,
            duration: Duration::from_secs_f64(seconds).try_into().ok(),
            video_sha256: package.video_sha256,
        })
    }

    fn check_cancelled(&self) -> Result<(), AttemptError> {
        if self.cancel.is_cancelled() {
            Err(AttemptError::Cancelled)
        } else {
            Ok(())
        }
    }
}

struct PackageJob {
    ffmpeg: PathBuf,
    spec: pb::VideoSpec,
    card: ModelCard,
    machine: Machine,
    generated: Generated,
    folder: tempfile::TempDir,
}

struct Package {
    video: PathBuf,
    video_bytes: u64,
    video_sha256: String,
    thumbnail: Vec<u8>,
    manifest: Vec<u8>,
    /// Removes the files when dropped.
    _folder: tempfile::TempDir,
}

fn package(job: PackageJob) -> Result<Package, AttemptError> {
    let clip = &job.generated.clip;
    let video = job.folder.path().join("video.mp4");
    let raw = RawVideo {
        width: clip.width,
        height: clip.height,
        fps: job.spec.fps,
        rgb: &clip.rgb,
    };
    let info = encode_mp4(&job.ffmpeg, &raw, &video)?;
    let thumbnail = thumbnail_webp(middle_frame(clip), clip.width, clip.height)?;
    let video_sha256 = sha256_of(&video)?;
    let manifest = manifest::render(
        &job.spec,
        &job.card,
        &job.machine,
        &job.generated.digests,
        &video_sha256,
    );
    Ok(Package {
        video,
        video_bytes: info.bytes,
        video_sha256,
        thumbnail,
        manifest,
        _folder: job.folder,
    })
}

fn middle_frame(clip: &Clip) -> &[u8] {
    let frames = usize::try_from(clip.frames).unwrap_or(1).max(1);
    let size = clip.rgb.len() / frames;
    let begin = size * (frames / 2);
    &clip.rgb[begin..begin + size]
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(hex::encode(hasher.finalize()))
}

fn generate_request(spec: &pb::VideoSpec, card: &ModelCard) -> GenerateRequest {
    GenerateRequest {
        prompt: spec.prompt.clone(),
        negative_prompt: spec.negative_prompt.clone(),
        width: spec.width,
        height: spec.height,
        frames: spec.frames,
        steps: spec.steps,
        guidance: spec.guidance,
        seed: spec.seed,
        sampler: card.defaults.sampler,
        grid: card.defaults.grid,
        image: None,
        last_image: None,
    }
}

const fn stage_to_pb(stage: Stage) -> pb::Stage {
    match stage {
        Stage::Encoding => pb::Stage::Encoding,
        Stage::Denoising => pb::Stage::Denoising,
        Stage::Decoding => pb::Stage::Decoding,
    }
}
