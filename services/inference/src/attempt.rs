//! One attempt at a job: generate or join, encode, store.
//!
//! Everything is written under the lease's own prefix, so that an attempt that lost its lease can
//! never overwrite the files of a newer one. Nothing is named as an output before all of it is stored.

mod checkpoints;
mod frames;
mod package;
mod parts;
mod pictures;
mod request;
mod stitch;
mod upload;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinora_blobs::BlobStore;
use kinora_ids::LeaseRef;
use kinora_media::MediaError;
use kinora_mesh::error::chain;
use kinora_models::wan::pipeline::Forecast;
use kinora_models::{GenerateError, ModelCard, Signal};
use kinora_proto::scheduler::v1 as pb;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::backend::BackendError;
use crate::convert::stage_to_pb;
use crate::engine::{DeviceTime, Engine, EngineEvent, Generated, Order, SignalCell};
use crate::error::AttemptError;
use crate::frames::policy::Audience;
use crate::frames::{FrameCheck, FrameRecord};
use crate::manifest::Machine;
use crate::progress::{Meter, StageCosts};

use self::checkpoints::CheckpointStore;
use self::package::{Package, PackageJob, package};

pub use self::checkpoints::FetchError;
pub use self::parts::PartError;
pub use self::pictures::PictureError;

/// How long an engine may take to notice that it was asked to stop.
const CANCEL_GRACE: Duration = Duration::from_secs(30);

/// Largest preview.
const MAX_PREVIEW_BYTES: usize = 64 << 10;

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
    /// Where an earlier attempt was cut off.
    pub checkpoint: Option<pb::Checkpoint>,
    /// Whether `parts` are joined; otherwise `spec` is drawn.
    pub is_stitch: bool,
    /// Clips to join, or the one whose last frame is the first picture.
    pub parts: Vec<pb::StitchPart>,
    /// Whether the last frame is stored too.
    pub wants_last_frame: bool,
    /// Whose rules the clip's frames are judged by.
    pub audience: Audience,
}

/// What an attempt tells while it goes on.
#[derive(Clone, Debug)]
pub enum Told {
    /// What has finished.
    Progress(pb::Progress),
    /// A checkpoint is in the object store.
    Checkpoint(pb::Checkpoint),
    /// What the clip begins to look like, as a WebP, with what has finished.
    Preview(pb::Progress, Vec<u8>),
}

/// Hears what an attempt tells.
pub type Tell = Arc<dyn Fn(Told) + Send + Sync>;

/// What attempts of this worker share.
pub struct Workbench {
    /// Generates.
    pub engine: Engine,
    /// Receives the outputs.
    pub blobs: BlobStore,
    /// The encoder program.
    pub ffmpeg: PathBuf,
    /// Looks at frames before a clip is delivered; none when nobody does.
    pub frames: Option<Arc<FrameCheck>>,
    /// Holds files until they are stored.
    pub scratch: PathBuf,
    /// The models by id.
    pub cards: HashMap<String, ModelCard>,
    /// Goes into manifests.
    pub machine: Machine,
    /// What requests need and have of the device's memory, by model where it is known.
    pub forecasts: HashMap<String, Forecast>,
    /// Memory of the device in bytes; 0 when it is not known.
    pub memory_total_bytes: u64,
    /// What the stages of the last clip took, by model.
    pub costs: Mutex<HashMap<String, StageCosts>>,
}

impl Workbench {
    /// Removes objects that the lease has stored and needs no more. What fails goes with the job.
    pub async fn delete(&self, lease: LeaseRef, keys: &[String]) {
        for key in keys {
            if let Err(error) = self.blobs.delete(key).await {
                tracing::debug!(job_id = %lease.job, key, error = %chain(&error), "an object remains");
            }
        }
    }
}

/// Runs an attempt to its end and tells what has finished meanwhile.
///
/// # Errors
/// [`AttemptError`]; whatever was stored under the lease's prefix is the caller's to remove.
pub async fn run(
    bench: Arc<Workbench>,
    grant: Grant,
    signal: SignalCell,
    device_time: DeviceTime,
    tell: Tell,
) -> Result<pb::Outputs, AttemptError> {
    let span = tracing::info_span!("attempt", job_id = %grant.lease.job, lease = grant.lease.lease);
    if !grant.traceparent.is_empty() {
        kinora_mesh::trace::set_parent(&span, &grant.traceparent);
    }
    let limit = grant.time_limit;
    let attempt = Attempt::new(&bench, &grant, signal.clone(), device_time, tell);
    let mut work = Box::pin(attempt.run().instrument(span));
    if let Ok(finished) = tokio::time::timeout(limit, &mut work).await {
        return finished;
    }
    signal.cancel();
    match tokio::time::timeout(CANCEL_GRACE, work).await {
        Ok(_) => Err(AttemptError::TimeLimit(limit)),
        Err(_) => Err(AttemptError::Stuck(limit)),
    }
}

struct Attempt<'a> {
    bench: &'a Workbench,
    grant: &'a Grant,
    signal: SignalCell,
    device_time: DeviceTime,
    tell: Tell,
    checkpoints: CheckpointStore,
    /// Encoded previews; none for one that may not be seen.
    previews: JoinSet<Result<Option<Vec<u8>>, MediaError>>,
    hides_previews: bool,
    meter: Meter,
    begun: Instant,
}

impl<'a> Attempt<'a> {
    fn new(
        bench: &'a Workbench,
        grant: &'a Grant,
        signal: SignalCell,
        device_time: DeviceTime,
        tell: Tell,
    ) -> Self {
        let costs = if grant.is_stitch {
            StageCosts::of_stitching()
        } else {
            let known = bench.costs.lock().get(&grant.spec.model).copied();
            known.unwrap_or_default()
        };
        let checkpoints =
            CheckpointStore::start(bench.blobs.clone(), grant.lease, Arc::clone(&tell));
        Self {
            bench,
            grant,
            signal,
            device_time,
            tell,
            checkpoints,
            previews: JoinSet::new(),
            hides_previews: false,
            meter: Meter::new(costs),
            begun: Instant::now(),
        }
    }

    async fn run(mut self) -> Result<pb::Outputs, AttemptError> {
        let delivered = self.deliver().await;
        if matches!(delivered, Err(AttemptError::Drained)) {
            self.checkpoints.finish().await;
        }
        delivered
    }

    async fn deliver(&mut self) -> Result<pb::Outputs, AttemptError> {
        let (outputs, resumed_step) = if self.grant.is_stitch {
            let package = self.stitch().await?;
            (self.upload(package).await?, 0)
        } else {
            self.draw().await?
        };
        let elapsed_ms = self.begun.elapsed().as_millis();
        let bytes = outputs.video_bytes;
        tracing::info!(elapsed_ms, bytes, resumed_step, "clip delivered");
        Ok(outputs)
    }

    /// Generates and stores the clip. Also returns the step that it went on from.
    async fn draw(&mut self) -> Result<(pb::Outputs, u32), AttemptError> {
        let spec = &self.grant.spec;
        let card = self.bench.cards.get(&spec.model);
        let card = card.ok_or_else(|| BackendError::UnknownModel(spec.model.clone()))?;
        let generated = self.generate(card).await?;
        let resumed_step = generated.rendering.resumed_step;
        self.advance(pb::Stage::Packaging, 0, 1);
        let (generated, frame_check) = self.checked(generated).await?;
        let package = self.package(generated, frame_check, card).await?;
        self.advance(pb::Stage::Packaging, 1, 1);
        let outputs = self.upload(package).await?;
        if resumed_step == 0 {
            let costs = self.meter.finish(self.begun.elapsed());
            self.bench.costs.lock().insert(spec.model.clone(), costs);
        }
        Ok((outputs, resumed_step))
    }

    fn advance(&mut self, stage: pb::Stage, step: u32, steps: u32) {
        let progress = self.meter.advance(stage, step, steps, self.begun.elapsed());
        (self.tell)(Told::Progress(progress));
    }

    async fn generate(&mut self, card: &ModelCard) -> Result<Generated, AttemptError> {
        let (sender, mut events) = mpsc::unbounded_channel();
        let order = Order {
            model: self.grant.spec.model.clone(),
            request: self.unless_stopped(self.request(card)).await?,
            checkpoint: self.unless_stopped(self.earlier_checkpoint()).await?,
            signal: self.signal.clone(),
            device_time: self.device_time.clone(),
        };
        let engine = self.bench.engine.clone();
        let generating = engine.generate(order, sender);
        tokio::pin!(generating);
        let generated = loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => self.note(event),
                Some(Ok(preview)) = self.previews.join_next() => self.show(preview),
                result = &mut generating => break result,
            }
        };
        // What the engine told with its last breath, such as the checkpoint of a pause.
        while let Ok(event) = events.try_recv() {
            self.note(event);
        }
        generated.map_err(|error| match error {
            BackendError::Generate(GenerateError::Cancelled) => AttemptError::Cancelled,
            BackendError::Generate(GenerateError::Paused) => AttemptError::Drained,
            other => AttemptError::Backend(other),
        })
    }

    /// Gives up what waits for the object store when the attempt is to stop.
    async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, AttemptError>>,
    ) -> Result<T, AttemptError> {
        tokio::select! {
            biased;
            asked = self.signal.stopped() => Err(AttemptError::stopped(asked)),
            done = work => done,
        }
    }

    fn note(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Loading => self.advance(pb::Stage::Loading, 0, 1),
            EngineEvent::Progress(progress) => {
                self.advance(stage_to_pb(progress.stage), progress.step, progress.steps);
            }
            EngineEvent::Checkpoint(checkpoint) => self.checkpoints.offer(checkpoint),
            EngineEvent::Preview(picture) => self.encode_preview(picture),
        }
    }

    fn show(&mut self, preview: Result<Option<Vec<u8>>, MediaError>) {
        match (preview, self.meter.newest()) {
            (Ok(None), _) => self.hides_previews = true,
            (Ok(Some(webp)), Some(progress)) => (self.tell)(Told::Preview(progress, webp)),
            (Err(error), _) => {
                tracing::debug!(error = %chain(&error), "a preview was not encoded");
            }
            (Ok(Some(_)), None) => {}
        }
    }

    /// A folder that goes away with the value.
    fn scratch_folder(&self) -> std::io::Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix("attempt-")
            .tempdir_in(&self.bench.scratch)
    }

    /// Encodes on a thread of its own, since the encoder blocks.
    async fn package(
        &self,
        generated: Generated,
        frame_check: FrameRecord,
        card: &ModelCard,
    ) -> Result<Package, AttemptError> {
        self.check_stopped()?;
        let folder = self.scratch_folder()?;
        let job = PackageJob {
            ffmpeg: self.bench.ffmpeg.clone(),
            spec: self.grant.spec.clone(),
            card: card.clone(),
            machine: self.bench.machine.clone(),
            generated,
            frame_check,
            wants_last_frame: self.grant.wants_last_frame,
            continues_video_sha256: self.continued().map(|part| part.video_sha256.clone()),
            folder,
        };
        let span = tracing::info_span!("package");
        tokio::task::spawn_blocking(move || span.in_scope(|| package(job))).await?
    }

    fn check_stopped(&self) -> Result<(), AttemptError> {
        match self.signal.signal() {
            Signal::GoOn => Ok(()),
            asked => Err(AttemptError::stopped(asked)),
        }
    }

    /// A drain does not throw a finished clip away: it waits for as long as storing takes.
    fn check_cancelled(&self) -> Result<(), AttemptError> {
        match self.signal.signal() {
            Signal::GoOn | Signal::Pause => Ok(()),
            Signal::Cancel => Err(AttemptError::Cancelled),
        }
    }
}

#[cfg(test)]
mod tests;
