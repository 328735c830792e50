//! Clips of other jobs, joined to one. The engine is not asked.

use std::path::{Path, PathBuf};

use kinora_media::{
    MediaError, Part, StillFormat, decode_frame, encode_still, last_frame, probe,
    spritesheet_of_mp4, stitch, thumbnail_webp,
};
use kinora_proto::scheduler::v1 as pb;
use serde::Serialize;

use super::package::{Facts, Package, sha256_of};
use super::{Attempt, parts};
use crate::error::AttemptError;

/// The version of a joined clip's manifest.
const SCHEMA: &str = "kinora.stitch.v1";

/// What is needed to join the same clips again.
#[derive(Serialize)]
struct StitchManifest<'a> {
    schema: &'a str,
    kinora: &'a str,
    width: u32,
    height: u32,
    frames: u32,
    fps: u32,
    parts: Vec<ManifestPart<'a>>,
    video_sha256: &'a str,
}

#[derive(Serialize)]
struct ManifestPart<'a> {
    video_sha256: &'a str,
    skips_first_frame: bool,
}

/// What the thread that joins needs.
struct StitchJob {
    ffmpeg: PathBuf,
    spec: pb::VideoSpec,
    kinora: String,
    parts: Vec<(PathBuf, pb::StitchPart)>,
    wants_last_frame: bool,
    folder: tempfile::TempDir,
}

impl Attempt<'_> {
    /// Fetches the parts and joins them. It can be stopped at any time: there is nothing to hand over.
    pub(super) async fn stitch(&mut self) -> Result<Package, AttemptError> {
        let folder = self.scratch_folder()?;
        let grant = self.grant;
        let count = u32::try_from(grant.parts.len()).unwrap_or(u32::MAX);
        let mut fetched = Vec::new();
        for (index, part) in (0..).zip(&grant.parts) {
            self.advance(pb::Stage::Loading, index, count);
            let fetch = parts::fetch(&self.bench.blobs, part, folder.path(), fetched.len());
            let path = self.unless_stopped(fetch).await?;
            fetched.push((path, part.clone()));
        }
        self.advance(pb::Stage::Packaging, 0, 1);
        let job = StitchJob {
            ffmpeg: self.bench.ffmpeg.clone(),
            spec: grant.spec.clone(),
            kinora: self.bench.machine.kinora.clone(),
            parts: fetched,
            wants_last_frame: grant.wants_last_frame,
            folder,
        };
        let joining = async { tokio::task::spawn_blocking(move || join(job)).await? };
        let package = self.unless_stopped(joining).await?;
        self.advance(pb::Stage::Packaging, 1, 1);
        Ok(package)
    }
}

/// Joins the parts and makes the files beside the clip. Blocks.
fn join(job: StitchJob) -> Result<Package, AttemptError> {
    let video = job.folder.path().join("video.mp4");
    let parts = job.parts.iter().map(|(path, part)| Part {
        path,
        skips_first_frame: part.skips_first_frame,
    });
    let info = stitch(&job.ffmpeg, &parts.collect::<Vec<_>>(), &video)?;
    let seen = probe(&video)?;
    let facts = Facts {
        width: seen.width,
        height: seen.height,
        frames: seen.frames,
        fps: seen.fps,
    };
    check_size(&job.spec, facts)?;
    let middle = decode_frame(&job.ffmpeg, &video, seen.frames / 2)?;
    let video_sha256 = sha256_of(&video)?;
    let manifest = manifest(&job, facts, &video_sha256);
    Ok(Package {
        facts,
        video_bytes: info.bytes,
        thumbnail: thumbnail_webp(&middle.rgb, middle.width, middle.height)?,
        spritesheet: spritesheet_of_mp4(&job.ffmpeg, &video)?,
        still: None,
        last_frame: wanted_frame(&job, &video)?,
        manifest,
        video_sha256,
        video,
        _folder: job.folder,
    })
}

/// What was promised when the job was accepted.
fn check_size(spec: &pb::VideoSpec, facts: Facts) -> Result<(), MediaError> {
    let promised = (spec.width, spec.height, spec.fps);
    let made = (facts.width, facts.height, facts.fps);
    if promised == made {
        return Ok(());
    }
    Err(MediaError::Invalid(format!(
        "width, height and rate should be {promised:?}, and the clips to join have {made:?}"
    )))
}

fn wanted_frame(job: &StitchJob, video: &Path) -> Result<Option<Vec<u8>>, MediaError> {
    if !job.wants_last_frame {
        return Ok(None);
    }
    let last = last_frame(&job.ffmpeg, video)?;
    encode_still(&last.rgb, last.width, last.height, StillFormat::Png).map(Some)
}

fn manifest(job: &StitchJob, facts: Facts, video_sha256: &str) -> Vec<u8> {
    let parts = job.parts.iter().map(|(_, part)| ManifestPart {
        video_sha256: &part.video_sha256,
        skips_first_frame: part.skips_first_frame,
    });
    let document = StitchManifest {
        schema: SCHEMA,
        kinora: &job.kinora,
        width: facts.width,
        height: facts.height,
        frames: facts.frames,
        fps: facts.fps,
        parts: parts.collect(),
        video_sha256,
    };
    // Strings and integers only: serialisation cannot fail.
    serde_json::to_vec_pretty(&document).unwrap_or_default()
}
