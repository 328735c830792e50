//! What an attempt reports: how far it is, what it has stored, why it did not succeed.

use std::sync::Arc;
use std::time::Duration;

use kinora_ids::{JobId, job_checkpoint_prefix};
use serde::{Deserialize, Serialize};

/// What an attempt is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Waiting for a worker.
    Queued,
    /// Reading weights.
    Loading,
    /// Encoding the prompt.
    Encoding,
    /// Denoising step by step.
    Denoising,
    /// Turning latents into pixels.
    Decoding,
    /// Making the files.
    Packaging,
    /// Storing the files.
    Uploading,
}

/// Work finished on the device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What the attempt is doing.
    pub stage: Stage,
    /// Denoising steps finished, 0 to `steps`.
    pub step: u32,
    /// Denoising steps in all.
    pub steps: u32,
    /// Share of the attempt that is done, 0 to 1.
    pub fraction: f64,
    /// Time left, while it is known.
    pub eta: Option<Duration>,
}

impl Progress {
    /// Nothing done yet.
    #[must_use]
    pub const fn at(stage: Stage, steps: u32) -> Self {
        Self {
            stage,
            step: 0,
            steps,
            fraction: 0.0,
            eta: None,
        }
    }
}

/// Objects of a completed job, by key in the object store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// The clip.
    pub video_key: String,
    /// Its middle frame.
    pub thumbnail_key: String,
    /// What is needed to repeat the result.
    pub manifest_key: String,
    /// Size of the clip.
    pub video_bytes: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames.
    pub frames: u32,
    /// Frames a second.
    pub fps: u32,
    /// Playing time.
    pub duration: Duration,
    /// SHA-256 of the clip, lower-case hex.
    pub video_sha256: String,
    /// PNG of the frame when there is only one, else empty.
    #[serde(default)]
    pub still_key: String,
    /// PNG of the last frame, for a job that goes on from it, else empty.
    #[serde(default)]
    pub last_frame_key: String,
    /// SHA-256 of that object, lower-case hex, else empty.
    #[serde(default)]
    pub last_frame_sha256: String,
    /// JPEG of frames from all over the clip. Empty from a worker that makes none.
    #[serde(default)]
    pub spritesheet_key: String,
}

/// A generation at the end of a step, in the object store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Lies under the job's checkpoint prefix.
    pub key: String,
    /// Denoising steps finished, at least 1.
    pub step: u32,
    /// SHA-256 of the object, lower-case hex.
    pub sha256: String,
    /// Size of the object.
    pub bytes: u64,
    /// The fencing number of the lease that reported it, set when it is recorded.
    #[serde(default)]
    pub lease: u64,
    /// Steps of the checkpoint that this lease was granted, 0 without one. Set when it is recorded.
    #[serde(default)]
    pub granted_step: u32,
}

impl Checkpoint {
    /// The largest checkpoint, in bytes.
    pub const MAX_BYTES: u64 = 2 << 30;

    /// Whether this can be a checkpoint of `job`, as far as its description tells.
    #[must_use]
    pub fn is_plausible(&self, job: JobId) -> bool {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let name = self.key.strip_prefix(&job_checkpoint_prefix(job));
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        name.is_some_and(|name| (1..=128).contains(&name.len()) && name.chars().all(is_plain))
            && self.sha256.len() == 64
            && self.sha256.chars().all(is_hex)
            && self.step >= 1
            && (1..=Self::MAX_BYTES).contains(&self.bytes)
    }
}

/// Why an attempt or a job did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// UPPER_SNAKE.
    pub reason: String,
    /// A sentence for the person who submitted the job.
    pub message: String,
    /// Whether another attempt may succeed.
    pub retryable: bool,
}

/// A small picture of an unfinished clip.
#[derive(Clone, PartialEq, Eq)]
pub struct Preview(Arc<[u8]>);

impl Preview {
    /// Larger ones are dropped.
    pub const MAX_BYTES: usize = 64 << 10;

    /// Takes a WebP; none when it is too large or is none by its first bytes.
    #[must_use]
    pub fn new(webp: &[u8]) -> Option<Self> {
        let is_webp = webp.starts_with(b"RIFF") && webp.get(8..12) == Some(b"WEBP");
        (is_webp && webp.len() <= Self::MAX_BYTES).then(|| Self(webp.into()))
    }

    /// The WebP.
    #[must_use]
    pub fn webp(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Preview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Preview({} bytes)", self.0.len())
    }
}
