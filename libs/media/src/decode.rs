//! An mp4 to frames.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::probe::probe;
use crate::process::Run;
use crate::{MediaError, Still};

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
        arguments: arguments(path, "", ""),
        stdin: &[],
        max_stdout_bytes: expected_bytes,
        timeout: Duration::from_secs(60 + expected_bytes / 1_000_000),
    };
    let rgb = run.finish()?;
    if rgb.len() as u64 != expected_bytes {
        return Err(short(rgb.len(), expected_bytes));
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

/// Decodes one frame, counted from 0, taking its colours as BT.709.
///
/// # Errors
/// [`MediaError::Invalid`] for a file that is no mp4 of a constant whole frame rate, for a frame that it does not have,
/// and for one of more than 4 GiB; otherwise as ffmpeg fails.
pub fn decode_frame(ffmpeg: &Path, path: &Path, index: u32) -> Result<Still, MediaError> {
    let info = probe(path)?;
    if index >= info.frames {
        let text = format!("there is no frame {index} in a clip of {}", info.frames);
        return Err(MediaError::Invalid(text));
    }
    one_frame(ffmpeg, path, &info, index)
}

/// Decodes the last frame.
///
/// # Errors
/// As [`decode_frame`].
pub fn last_frame(ffmpeg: &Path, path: &Path) -> Result<Still, MediaError> {
    let info = probe(path)?;
    // A probed clip has frames.
    one_frame(ffmpeg, path, &info, info.frames - 1)
}

/// Frames before it are decoded too: they are what it is made of.
fn one_frame(
    ffmpeg: &Path,
    path: &Path,
    info: &crate::Mp4Probe,
    index: u32,
) -> Result<Still, MediaError> {
    let (width, height) = (info.width, info.height);
    let expected_bytes = u64::from(width) * u64::from(height) * 3;
    if expected_bytes > MAX_DECODED_BYTES {
        let text = format!("a frame of {expected_bytes} bytes is too large");
        return Err(MediaError::Invalid(text));
    }
    let run = Run {
        program: ffmpeg,
        arguments: arguments(path, &format!("select=eq(n\\,{index}),"), "-frames:v 1"),
        stdin: &[],
        max_stdout_bytes: expected_bytes,
        timeout: Duration::from_secs(60 + expected_bytes.saturating_mul(index.into()) / 1_000_000),
    };
    let rgb = run.finish()?;
    if rgb.len() as u64 != expected_bytes {
        return Err(short(rgb.len(), expected_bytes));
    }
    Ok(Still { width, height, rgb })
}

/// Decodes some frames, in their order, scaled to a size, in one go. The clip is never held as a whole.
pub(crate) fn decode_frames(
    ffmpeg: &Path,
    path: &Path,
    info: &crate::Mp4Probe,
    indices: &[u32],
    (width, height): (u32, u32),
) -> Result<Vec<Still>, MediaError> {
    let frame_bytes = usize::try_from(u64::from(width) * u64::from(height) * 3);
    let frame_bytes = frame_bytes.unwrap_or(usize::MAX).max(1);
    let expected_bytes = (frame_bytes as u64).saturating_mul(indices.len() as u64);
    let chosen: Vec<String> = indices
        .iter()
        .map(|index| format!("eq(n\\,{index})"))
        .collect();
    let chosen = format!("select={},scale={width}:{height},", chosen.join("+"));
    let clip_bytes = u64::from(info.width) * u64::from(info.height) * 3 * u64::from(info.frames);
    let run = Run {
        program: ffmpeg,
        arguments: arguments(path, &chosen, ""),
        stdin: &[],
        max_stdout_bytes: expected_bytes,
        timeout: Duration::from_secs(60 + clip_bytes / 1_000_000),
    };
    let rgb = run.finish()?;
    if rgb.len() as u64 != expected_bytes {
        return Err(short(rgb.len(), expected_bytes));
    }
    let frames = rgb.chunks_exact(frame_bytes).map(|rgb| Still {
        width,
        height,
        rgb: rgb.to_vec(),
    });
    Ok(frames.collect())
}

fn short(decoded: usize, expected_bytes: u64) -> MediaError {
    MediaError::FfmpegFailed {
        status: 0,
        stderr_tail: format!("decoded {decoded} bytes of {expected_bytes}"),
    }
}

/// `chosen` is a filter that picks frames, with its comma; `limit` an option of the output.
fn arguments(path: &Path, chosen: &str, limit: &str) -> Vec<OsString> {
    let mut source = OsString::from("file:");
    source.push(path);
    let before = "-hide_banner -loglevel error -nostdin -i";
    let after = format!(
        "-map 0:v:0 -fps_mode passthrough {limit} \
         -vf {chosen}scale=in_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_inp,format=rgb24 \
         -f rawvideo pipe:1"
    );
    let mut arguments: Vec<OsString> = before.split_whitespace().map(OsString::from).collect();
    arguments.push(source);
    arguments.extend(after.split_whitespace().map(OsString::from));
    arguments
}
