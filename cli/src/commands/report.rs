//! What a command says about a video in the end.

use std::path::Path;

use serde::Serialize;

use crate::client::view::{Video, VideoEvent, VideoStatus};
use crate::exit::{Failure, Status};
use crate::progress::duration;

/// What `--json` prints.
#[derive(Serialize)]
pub(super) struct Saved<'a> {
    pub(super) path: &'a Path,
    pub(super) elapsed_seconds: f64,
    pub(super) video: &'a Video,
}

/// One line about a saved clip.
pub(super) fn line(saved: &Saved<'_>) -> String {
    let (path, video) = (saved.path, saved.video);
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    // Of a preview, its own size; of a sequence, that of the whole.
    let outputs = video.outputs.as_ref().or(video.preview_outputs.as_ref());
    let (width, height, frames) = outputs.map_or((video.width, video.height, video.frames), |of| {
        (of.width, of.height, of.frames)
    });
    let frames = match frames {
        1 => "1 frame".to_owned(),
        frames => format!("{frames} frames"),
    };
    format!(
        "{path}: {width}x{height}, {frames}, {size}, seed {seed}, made in {elapsed}",
        path = path.display(),
        size = indicatif::HumanBytes(bytes),
        seed = video.seed,
        elapsed = duration(saved.elapsed_seconds),
    )
}

/// Why there is no clip.
pub(super) fn failed(last: &VideoEvent) -> Failure {
    let error = match (&last.error, last.status) {
        (Some(error), VideoStatus::Failed) => {
            anyhow::anyhow!("the job failed: {} ({})", error.message, error.code)
        }
        (_, VideoStatus::Cancelled) => anyhow::anyhow!("somebody cancelled the job"),
        (_, status) => anyhow::anyhow!("the job is {} without a clip", status.name()),
    };
    Failure::new(Status::Failed, error.context(format!("job {}", last.id)))
}
