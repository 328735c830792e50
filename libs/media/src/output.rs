//! Clips that appear whole or not at all.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::probe::probe;
use crate::{MediaError, Mp4Info, Mp4Probe};

/// What a written clip must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    pub frames: u32,
}

/// Lets `write` make a file beside `out`, asks the file what it is, and renames it.
pub(crate) fn write_checked(
    out: &Path,
    expected: Expected,
    write: impl FnOnce(&Path) -> Result<(), MediaError>,
) -> Result<Mp4Info, MediaError> {
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let partial = tempfile::Builder::new()
        .prefix(".kinora-")
        .suffix(".partial")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(|source| MediaError::file(folder, source))?
        .into_temp_path();
    write(&partial)?;
    let written = probe(&partial).map_err(|error| failed(&error.to_string()))?;
    check(expected, &written)?;
    partial
        .persist(out)
        .map_err(|error| MediaError::file(out, error.error))?;
    Ok(Mp4Info {
        bytes: written.bytes,
        frames: written.frames,
        duration: written.duration,
    })
}

/// ffmpeg may end well and still have written less, so the file itself is asked.
fn check(expected: Expected, written: &Mp4Probe) -> Result<(), MediaError> {
    let got = Expected {
        width: written.width,
        height: written.height,
        fps: written.fps,
        frames: written.frames,
    };
    if expected == got && written.is_faststart {
        return Ok(());
    }
    Err(failed(&format!(
        "the clip should be {expected:?} and is {got:?} (faststart: {})",
        written.is_faststart
    )))
}

fn failed(text: &str) -> MediaError {
    MediaError::FfmpegFailed {
        status: 0,
        stderr_tail: text.to_owned(),
    }
}
