//! Loading, generating and encoding once more. All of it blocks.

use std::fs::File;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use kinora_inference::manifest::Manifest;
use kinora_media::{RawVideo, StillFormat, encode_mp4, encode_still};
use kinora_models::{
    Clip, Control, GenerateError, GenerateRequest, LoadOptions, Progress, Signal, Stage,
    WanPipeline,
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::compare::{Comparison, check_files};
use crate::client::download::Target;
use crate::exit::{Failure, Status};

/// One clip to generate again.
pub(super) struct Repetition {
    pub(super) manifest: Manifest,
    pub(super) request: GenerateRequest,
    /// Of the model.
    pub(super) folder: PathBuf,
    pub(super) options: LoadOptions,
    pub(super) ffmpeg: Option<PathBuf>,
    /// Where the clip is kept.
    pub(super) target: Option<Target>,
    /// The format of a clip that is kept as a picture.
    pub(super) still: Option<StillFormat>,
    pub(super) shutdown: CancellationToken,
    pub(super) quiet: bool,
}

impl Repetition {
    /// Generates, and compares with the manifest; also says where the clip was kept.
    pub(super) fn run(self) -> Result<(Vec<Comparison>, Option<PathBuf>), Failure> {
        let mut watcher = Watcher::new(self.shutdown.clone(), self.quiet);
        let finished = self.compare(&mut watcher);
        watcher.bar.finish_and_clear();
        finished
    }

    fn compare(self, watcher: &mut Watcher) -> Result<(Vec<Comparison>, Option<PathBuf>), Failure> {
        watcher.bar.set_message("reading the model");
        let loaded = WanPipeline::load(&self.folder, &self.options);
        let mut pipeline = loaded.map_err(|error| Failure::new(Status::Usage, error))?;
        let manifest = &self.manifest;
        check_files(&manifest.weights, pipeline.digests())?;
        let rendering = pipeline.render(&self.request, None, watcher);
        let rendering = rendering.map_err(of_engine)?;
        drop(pipeline);
        let frames = hex::encode(Sha256::digest(&rendering.clip.rgb));
        watcher.bar.set_message("encoding");
        let clip = &rendering.clip;
        let folder = tempfile::tempdir().map_err(failed)?;
        let file = folder.path().join("video.mp4");
        let encoded = self
            .ffmpeg
            .as_deref()
            .map(|ffmpeg| encode(ffmpeg, clip, manifest.fps, &file));
        let video = encoded.transpose()?;
        let path = self
            .target
            .map(|target| keep(target, clip, self.still, &file));
        let path = path.transpose()?;
        let expected_plan = memory_plan(manifest.pairs, manifest.tiles);
        let found_plan = memory_plan(rendering.pairs, rendering.tiles);
        let comparisons = vec![
            Comparison::of_rest(
                "request",
                &manifest.fingerprint,
                Some(&rendering.fingerprint),
            ),
            Comparison::of_clip(
                "latents",
                &manifest.latents_sha256,
                &rendering.latents_sha256,
            ),
            Comparison::of_clip("frames", &manifest.frames_sha256, &frames),
            Comparison::of_rest("video", &manifest.video_sha256, video.as_deref()),
            Comparison::of_rest("memory plan", &expected_plan, Some(&found_plan)),
        ];
        Ok((comparisons, path))
    }
}

/// What memory decided, in words that a table has room for.
fn memory_plan(pairs: bool, tiles: Option<[i64; 2]>) -> String {
    let passes = if pairs { "pair" } else { "singles" };
    match tiles {
        Some([side, overlap]) => format!("{passes} {side}/{overlap}"),
        None => format!("{passes} whole"),
    }
}

/// Encodes the clip as a worker does; the result is its SHA-256 in hexadecimal.
fn encode(ffmpeg: &Path, clip: &Clip, fps: u32, file: &Path) -> Result<String, Failure> {
    let raw = RawVideo {
        width: clip.width,
        height: clip.height,
        fps,
        rgb: &clip.rgb,
    };
    encode_mp4(ffmpeg, &raw, file).map_err(failed)?;
    let mut sum = Sha256::new();
    std::io::copy(&mut File::open(file).map_err(failed)?, &mut sum).map_err(failed)?;
    Ok(hex::encode(sum.finalize()))
}

/// Keeps the encoded clip, or its frame as a picture.
fn keep(
    target: Target,
    clip: &Clip,
    still: Option<StillFormat>,
    file: &Path,
) -> Result<PathBuf, Failure> {
    let Some(format) = still else {
        return Ok(target.save(&mut File::open(file).map_err(failed)?)?);
    };
    let picture = encode_still(&clip.rgb, clip.width, clip.height, format).map_err(failed)?;
    Ok(target.save(&mut picture.as_slice())?)
}

fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(Status::Failed, error)
}

fn of_engine(error: GenerateError) -> Failure {
    match error {
        GenerateError::Cancelled | GenerateError::Paused => Failure::interrupted("interrupted"),
        GenerateError::Invalid { .. } => Failure::new(Status::Usage, error),
        other => Failure::new(Status::Failed, other),
    }
}

/// Shows progress at a terminal, and stops when the person says so.
struct Watcher {
    shutdown: CancellationToken,
    bar: ProgressBar,
}

impl Watcher {
    fn new(shutdown: CancellationToken, quiet: bool) -> Self {
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(1)
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:30} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        Self { shutdown, bar }
    }
}

impl Control for Watcher {
    fn signal(&self) -> Signal {
        if self.shutdown.is_cancelled() {
            Signal::Cancel
        } else {
            Signal::GoOn
        }
    }

    fn progress(&mut self, progress: Progress) {
        self.bar.set_length(u64::from(progress.steps));
        self.bar.set_position(u64::from(progress.step));
        self.bar.set_message(match progress.stage {
            Stage::Encoding => "reading the prompt",
            Stage::Denoising => "denoising",
            Stage::Decoding => "decoding",
        });
    }
}
