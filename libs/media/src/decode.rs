//! An mp4 to frames.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::MediaError;
use crate::probe::probe;
use crate::process::Run;

/// Decoded clips are held in memory; more than this is refused.
const MAX_DECODED_BYTES: u64 = 4 << 30;

/// A decoded clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrames {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Number of frames.
    pub frames: u32,
    /// Frames a second.
    pub fps: u32,
    /// The frames, each `width * height * 3` bytes of RGB.
    pub rgb: Vec<u8>,
}

/// Decodes every frame of an mp4's video, taking its colours as BT.709.
///
/// # Errors
/// [`MediaError::Invalid`] for a file that is no mp4 of a constant whole frame rate, or of more than 4 GiB decoded;
/// otherwise as ffmpeg fails.
pub fn decode_mp4(ffmpeg: &Path, path: &Path) -> Result<RawFrames, MediaError> {
    let info = probe(path)?;
    let frame_bytes = u64::from(info.width) * u64::from(info.height) * 3;
    let expected_bytes = frame_bytes.saturating_mul(u64::from(info.frames));
    if expected_bytes > MAX_DECODED_BYTES {
        return Err(MediaError::Invalid(format!(
            "{expected_bytes} bytes of frames are too many"
        )));
    }
    let run = Run {
        program: ffmpeg,
        arguments: arguments(path),
        stdin: &[],
        max_stdout_bytes: expected_bytes,
        timeout: Duration::from_secs(60 + expected_bytes / 1_000_000),
    };
    let rgb = run.finish()?;
    if rgb.len() as u64 != expected_bytes {
        let text = format!("decoded {} bytes of {expected_bytes}", rgb.len());
        return Err(MediaError::FfmpegFailed {
            status: 0,
            stderr_tail: text,
        });
    }
    let crate::Mp4Probe {
        width,
        height,
        frames,
        fps,
        ..
    } = info;
    Ok(RawFrames {
        width,
        height,
        frames,
        fps,
        rgb,
    })
}

fn arguments(path: &Path) -> Vec<OsString> {
    let mut source = OsString::from("file:");
    source.push(path);
    let before = "-hide_banner -loglevel error -nostdin -i";
    let after = "-map 0:v:0 -fps_mode passthrough \
        -vf scale=in_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_inp,format=rgb24 \
        -f rawvideo pipe:1";
    let mut arguments: Vec<OsString> = before.split_whitespace().map(OsString::from).collect();
    arguments.push(source);
    arguments.extend(after.split_whitespace().map(OsString::from));
    arguments
}
