//! The files of a clip, made on a thread of its own.

use std::path::{Path, PathBuf};

use kinora_media::{
    MediaError, RawVideo, StillFormat, encode_mp4, encode_still, spritesheet_jpeg, thumbnail_webp,
};
use kinora_models::{Clip, ModelCard};
use kinora_proto::scheduler::v1 as pb;
use sha2::{Digest, Sha256};

use crate::engine::Generated;
use crate::error::AttemptError;
use crate::frames::FrameRecord;
use crate::manifest::{Machine, Manifest, OutputDigests};

/// What is needed to make the files of a clip.
pub(super) struct PackageJob {
    pub(super) ffmpeg: PathBuf,
    pub(super) spec: pb::VideoSpec,
    pub(super) card: ModelCard,
    pub(super) machine: Machine,
    pub(super) generated: Generated,
    pub(super) frame_check: FrameRecord,
    pub(super) wants_last_frame: bool,
    /// Digest of the clip whose last frame was the first picture.
    pub(super) continues_video_sha256: Option<String>,
    pub(super) folder: tempfile::TempDir,
}

/// What a clip is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frames: u32,
    pub(super) fps: u32,
}

/// The files of a clip.
pub(super) struct Package {
    pub(super) facts: Facts,
    pub(super) video: PathBuf,
    pub(super) video_bytes: u64,
    pub(super) video_sha256: String,
    pub(super) thumbnail: Vec<u8>,
    /// JPEG of frames from all over the clip.
    pub(super) spritesheet: Vec<u8>,
    /// PNG of the frame when there is only one.
    pub(super) still: Option<Vec<u8>>,
    /// PNG of the last frame, when it is wanted.
    pub(super) last_frame: Option<Vec<u8>>,
    pub(super) manifest: Vec<u8>,
    /// Removes the files when dropped.
    pub(super) _folder: tempfile::TempDir,
}

impl Package {
    /// Takes what is stored besides the clip: name, bytes and media type, the manifest last.
    pub(super) fn take_small_files(&mut self) -> Vec<(&'static str, Vec<u8>, &'static str)> {
        let thumbnail = std::mem::take(&mut self.thumbnail);
        let spritesheet = std::mem::take(&mut self.spritesheet);
        let mut files = vec![
            ("thumbnail.webp", thumbnail, "image/webp"),
            ("spritesheet.jpg", spritesheet, "image/jpeg"),
        ];
        for (name, png) in [
            ("still.png", self.still.take()),
            ("last_frame.png", self.last_frame.take()),
        ] {
            files.extend(png.map(|png| (name, png, "image/png")));
        }
        let manifest = std::mem::take(&mut self.manifest);
        files.push(("manifest.json", manifest, "application/json"));
        files
    }
}

/// Encodes a clip, its thumbnail, its sprite sheet and its manifest. Blocks.
pub(super) fn package(job: PackageJob) -> Result<Package, AttemptError> {
    let clip = &job.generated.rendering.clip;
    let video = job.folder.path().join("video.mp4");
    let raw = RawVideo {
        width: clip.width,
        height: clip.height,
        fps: job.spec.fps,
        rgb: &clip.rgb,
    };
    let info = encode_mp4(&job.ffmpeg, &raw, &video)?;
    let thumbnail = thumbnail_webp(middle_frame(clip), clip.width, clip.height)?;
    let spritesheet = spritesheet_jpeg(&clip.rgb, clip.width, clip.height)?;
    let still = still_of(clip)?;
    let last_frame = if job.wants_last_frame {
        let last = last_frame(clip);
        let png = encode_still(last, clip.width, clip.height, StillFormat::Png)?;
        Some(png)
    } else {
        None
    };
    let video_sha256 = sha256_of(&video)?;
    let frames_sha256 = hex::encode(Sha256::digest(&clip.rgb));
    let digests = OutputDigests {
        frames: &frames_sha256,
        video: &video_sha256,
    };
    let manifest = Manifest {
        continues_video_sha256: job.continues_video_sha256,
        frame_check: job.frame_check,
        ..Manifest::of(&job.spec, &job.card, &job.machine, &job.generated, digests)
    };
    let facts = Facts {
        width: clip.width,
        height: clip.height,
        frames: info.frames,
        fps: job.spec.fps,
    };
    Ok(Package {
        facts,
        video,
        video_bytes: info.bytes,
        video_sha256,
        thumbnail,
        spritesheet,
        still,
        last_frame,
        manifest: manifest.to_json(),
        _folder: job.folder,
    })
}

/// The frame without loss, when there is only one.
fn still_of(clip: &Clip) -> Result<Option<Vec<u8>>, MediaError> {
    if clip.frames != 1 {
        return Ok(None);
    }
    encode_still(&clip.rgb, clip.width, clip.height, StillFormat::Png).map(Some)
}

fn middle_frame(clip: &Clip) -> &[u8] {
    let frames = usize::try_from(clip.frames).unwrap_or(1).max(1);
    let size = clip.rgb.len() / frames;
    let begin = size * (frames / 2);
    &clip.rgb[begin..begin + size]
}

/// The last frame, as it came out of the model.
fn last_frame(clip: &Clip) -> &[u8] {
    let frames = usize::try_from(clip.frames).unwrap_or(1).max(1);
    let size = clip.rgb.len() / frames;
    &clip.rgb[size * (frames - 1)..]
}

/// SHA-256 of a file, lower-case hex. Blocks.
pub(super) fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(hex::encode(hasher.finalize()))
}
