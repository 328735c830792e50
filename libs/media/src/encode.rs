//! Frames to mp4.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::MediaError;
use crate::output::{Expected, write_checked};
use crate::process::Run;

const MAX_EDGE_PIXELS: u32 = 8192;
const MAX_FPS: u32 = 240;
/// x264's constant rate factor. Clips are short, so this stays near transparent, for small saturated shapes as well.
const QUALITY_CRF: u32 = 15;
/// Ticks of the mp4's clock in one frame: makes every whole frame rate exact.
const TICKS_PER_FRAME: u32 = 512;
/// The number of x264's threads changes its bytes, so it depends on the picture's size and on nothing else.
const SMALL_PICTURE_PIXELS: u64 = 320 * 320;
const LARGE_PICTURE_THREADS: u32 = 4;

/// A clip as the engine leaves it.
#[derive(Clone, Copy, Debug)]
pub struct RawVideo<'a> {
    /// Width in pixels; even.
    pub width: u32,
    /// Height in pixels; even.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    /// The frames, each `width * height * 3` bytes.
    pub rgb: &'a [u8],
}

/// The mp4 that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mp4Info {
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Number of frames.
    pub frames: u32,
    /// Time they take to play.
    pub duration: Duration,
}

impl RawVideo<'_> {
    /// Checks the sizes and returns the number of frames.
    ///
    /// # Errors
    /// [`MediaError::Invalid`] for odd, zero or huge sizes, and for bytes that are no whole number of frames.
    pub fn frames(&self) -> Result<u32, MediaError> {
        let Self {
            width,
            height,
            fps,
            rgb,
        } = *self;
        let is_edge = |edge: u32| (2..=MAX_EDGE_PIXELS).contains(&edge) && edge.is_multiple_of(2);
        if !is_edge(width) || !is_edge(height) {
            return Err(MediaError::Invalid(format!(
                "a clip of {width}x{height} cannot be encoded; edges are even and at most {MAX_EDGE_PIXELS}"
            )));
        }
        if !(1..=MAX_FPS).contains(&fps) {
            return Err(MediaError::Invalid(format!(
                "{fps} frames a second is not in 1..={MAX_FPS}"
            )));
        }
        let frame_bytes = width as usize * height as usize * 3;
        let frames = u32::try_from(rgb.len() / frame_bytes).ok();
        match frames.filter(|frames| *frames > 0 && rgb.len().is_multiple_of(frame_bytes)) {
            Some(frames) => Ok(frames),
            None => Err(MediaError::Invalid(format!(
                "{} bytes are no whole number of frames of {frame_bytes} bytes",
                rgb.len()
            ))),
        }
    }
}

/// Encodes a clip as H.264 in an mp4 that can be played while it loads, and puts it at `out`.
///
/// Colours are BT.709 in the limited range, and tagged so. The frame count and rate are exact, and checked in the
/// result. The same clip gives the same bytes with the same ffmpeg. `out` appears whole or not at all: the file is
/// written beside it and renamed.
///
/// # Errors
/// Every [`MediaError`]; nothing is left behind then, and an `out` from before is as it was.
pub fn encode_mp4(ffmpeg: &Path, clip: &RawVideo<'_>, out: &Path) -> Result<Mp4Info, MediaError> {
    let frames = clip.frames()?;
    let expected = Expected {
        width: clip.width,
        height: clip.height,
        fps: clip.fps,
        frames,
    };
    write_checked(out, expected, |partial| {
        let run = Run {
            program: ffmpeg,
            arguments: arguments(clip, partial),
            stdin: clip.rgb,
            max_stdout_bytes: 0,
            timeout: time_limit(clip),
        };
        run.finish().map(drop)
    })
}

/// Generous: a slow core codes some million pixels a second.
fn time_limit(clip: &RawVideo<'_>) -> Duration {
    Duration::from_secs(60 + clip.rgb.len() as u64 / 1_000_000)
}

fn arguments(clip: &RawVideo<'_>, out: &Path) -> Vec<OsString> {
    let RawVideo {
        width, height, fps, ..
    } = *clip;
    let to_bt709 = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int,\
        format=yuv420p,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv";
    let text = format!(
        "-hide_banner -loglevel error -nostdin -y \
         -f rawvideo -pixel_format rgb24 -video_size {width}x{height} -framerate {fps} -i pipe:0 \
         -an -vf {to_bt709} {}",
        x264(width, height, fps)
    );
    let mut arguments: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
    // The prefix keeps a name with a colon or a leading dash from being read as something else.
    let mut target = OsString::from("file:");
    target.push(out);
    arguments.push(target);
    arguments
}

/// How every clip is coded and put into its mp4.
pub(crate) fn x264(width: u32, height: u32, fps: u32) -> String {
    let is_small = u64::from(width) * u64::from(height) <= SMALL_PICTURE_PIXELS;
    let threads = if is_small { 1 } else { LARGE_PICTURE_THREADS };
    format!(
        "-c:v libx264 -preset medium -crf {QUALITY_CRF} -threads {threads} \
         -map_metadata -1 -fflags +bitexact -flags:v +bitexact \
         -video_track_timescale {} -movflags +faststart -f mp4",
        fps * TICKS_PER_FRAME
    )
}
