//! Clips, one after the other, as one clip.
//!
//! Everything is decoded and encoded once, in one run of ffmpeg: a first frame that repeats the frame before it cannot
//! be left out without coding the rest of its part anew, and one quality from end to end shows no seam.
//!
//! Sound is cut at the sample where its part begins and ends, so that it neither drifts nor leaves a gap. At a seam the
//! last milliseconds of a part blend into the sound that the next part has for the same moment: that of the frame
//! which is left out.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use crate::encode::x264;
use crate::output::{Expected, write_checked};
use crate::probe::probe;
use crate::process::Run;
use crate::{MediaError, Mp4Info, Mp4Probe};

/// Parts of one clip: each is an open file and a decoder.
pub const MAX_PARTS: usize = 256;
const SAMPLE_RATE: u64 = 48_000;
/// Five milliseconds: no click, and nobody hears that two takes overlap.
const BLEND_SAMPLES: u64 = 240;
/// One channel becomes two of the same loudness, which ffmpeg's own conversion would lower; channels that a part does
/// not have do not count.
const TO_STEREO: &str = "pan=stereo|FL<FL+0.7*FC+0.7*BL+0.7*SL|FR<FR+0.7*FC+0.7*BR+0.7*SR";

/// A clip that becomes part of a longer one.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// An mp4 of a constant whole frame rate, with or without sound.
    pub path: &'a Path,
    /// Whether its first frame repeats the last one of the part before, and is left out. Means nothing in the first
    /// part.
    pub skips_first_frame: bool,
}

/// A part, probed.
struct Cut {
    /// Frames that are left out.
    skipped: u32,
    /// Frames that stay.
    frames: u32,
    has_audio: bool,
}

/// Joins parts in their order and puts the clip at `out`, which appears whole or not at all.
///
/// The clip has all frames of all parts but those left out, at exactly their rate. It has sound, in stereo at 48 kHz, if
/// any part has; parts without are silent. Colours are passed on as they are and tagged BT.709.
///
/// # Errors
/// [`MediaError::Invalid`] when there are no parts or more than [`MAX_PARTS`], when one is no mp4 that can be used, has
/// another size or rate than the first, or has no frame left; otherwise as ffmpeg fails. An `out` from before is then as
/// it was.
pub fn stitch(ffmpeg: &Path, parts: &[Part<'_>], out: &Path) -> Result<Mp4Info, MediaError> {
    let (expected, cuts) = plan(parts)?;
    write_checked(out, expected, |partial| {
        let run = Run {
            program: ffmpeg,
            arguments: arguments(parts, &cuts, expected, partial),
            stdin: &[],
            max_stdout_bytes: 0,
            timeout: time_limit(expected),
        };
        run.finish().map(drop)
    })
}

fn plan(parts: &[Part<'_>]) -> Result<(Expected, Vec<Cut>), MediaError> {
    if parts.is_empty() || parts.len() > MAX_PARTS {
        let text = format!(
            "{} parts cannot be joined; 1 to {MAX_PARTS} can",
            parts.len()
        );
        return Err(MediaError::Invalid(text));
    }
    let probes = parts.iter().map(|part| probe(part.path));
    let probes: Vec<Mp4Probe> = probes.collect::<Result<_, _>>()?;
    let first = probes[0];
    let mut cuts = Vec::with_capacity(parts.len());
    let mut frames: u32 = 0;
    for (index, (part, probe)) in parts.iter().zip(&probes).enumerate() {
        check_alike(index, probe, &first)?;
        let skipped = u32::from(index > 0 && part.skips_first_frame);
        let cut = Cut {
            skipped,
            frames: probe.frames - skipped,
            has_audio: probe.has_audio,
        };
        if cut.frames == 0 {
            let text = format!("part {} has no frame but the one left out", index + 1);
            return Err(MediaError::Invalid(text));
        }
        frames = frames.checked_add(cut.frames).ok_or_else(too_long)?;
        cuts.push(cut);
    }
    let expected = Expected {
        width: first.width,
        height: first.height,
        fps: first.fps,
        frames,
    };
    Ok((expected, cuts))
}

fn check_alike(index: usize, part: &Mp4Probe, first: &Mp4Probe) -> Result<(), MediaError> {
    let size_and_rate = |it: &Mp4Probe| (it.width, it.height, it.fps);
    if size_and_rate(part) == size_and_rate(first) {
        return Ok(());
    }
    let words = |it: &Mp4Probe| {
        let Mp4Probe {
            width, height, fps, ..
        } = it;
        format!("{width}x{height} at {fps} frames a second")
    };
    Err(MediaError::Invalid(format!(
        "parts of different size or rate cannot be joined: part 1 is {}, part {} is {}",
        words(first),
        index + 1,
        words(part)
    )))
}

fn too_long() -> MediaError {
    MediaError::Invalid("the parts have too many frames".to_owned())
}

/// Generous: a slow core codes some million pixels a second.
fn time_limit(clip: Expected) -> Duration {
    let bytes = u64::from(clip.width) * u64::from(clip.height) * 3 * u64::from(clip.frames);
    Duration::from_secs(60 + bytes / 1_000_000)
}

fn arguments(parts: &[Part<'_>], cuts: &[Cut], clip: Expected, out: &Path) -> Vec<OsString> {
    let has_audio = cuts.iter().any(|cut| cut.has_audio);
    let mut graph = pictures(cuts, clip.fps);
    if has_audio {
        graph.push_str(&sound(cuts, clip.fps));
    }
    let mut arguments = words("-hide_banner -loglevel error -nostdin -y");
    for part in parts {
        // A decoder with many threads holds many frames, and only one decoder works at a time.
        arguments.extend(words("-threads 2 -i"));
        arguments.push(file(part.path));
    }
    arguments.extend(words("-filter_complex"));
    arguments.push(graph.into());
    arguments.extend(words("-map [v] -fps_mode passthrough"));
    if has_audio {
        arguments.extend(words("-map [a] -c:a aac -b:a 192k -flags:a +bitexact"));
    }
    arguments.extend(words(&x264(clip.width, clip.height, clip.fps)));
    arguments.push(file(out));
    arguments
}

/// Frames are counted, not timed: what a part says of its beginning does not matter.
fn pictures(cuts: &[Cut], fps: u32) -> String {
    let mut graph = String::new();
    for (index, cut) in cuts.iter().enumerate() {
        let skipped = cut.skipped;
        // Writing to a string does not fail.
        let _ = write!(
            graph,
            "[{index}:v:0]trim=start_frame={skipped},settb=1/{fps},setpts=N,format=yuv420p[v{index}];"
        );
    }
    let inputs: String = (0..cuts.len()).map(|index| format!("[v{index}]")).collect();
    let count = cuts.len();
    let _ = write!(
        graph,
        "{inputs}concat=n={count}:v=1:a=0,settb=1/{fps},setpts=N,\
         setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv[v]"
    );
    graph
}

/// Every part but the first begins early by the blend, with what it has for that time or with silence.
fn sound(cuts: &[Cut], fps: u32) -> String {
    let sample_at = |frames: u64| (frames * SAMPLE_RATE + u64::from(fps) / 2) / u64::from(fps);
    let mut begins = vec![0];
    for cut in cuts {
        let frames = begins.last().copied().unwrap_or_default() + u64::from(cut.frames);
        begins.push(frames);
    }
    let lengths: Vec<u64> = begins
        .windows(2)
        .map(|pair| sample_at(pair[1]) - sample_at(pair[0]))
        .collect();
    let shortest = lengths.iter().copied().min().unwrap_or_default();
    let blend = BLEND_SAMPLES.min(shortest / 2);
    let mut graph = String::new();
    for (index, (cut, length)) in cuts.iter().zip(&lengths).enumerate() {
        let lead = if index == 0 { 0 } else { blend };
        let source = part_sound(index, cut, sample_at(cut.skipped.into()), lead);
        let whole = length + lead;
        let _ = write!(
            graph,
            ";{source},apad=whole_len={whole},atrim=end_sample={whole},asetpts=N/SR/TB[a{index}]"
        );
    }
    let mut joined = "a0".to_owned();
    for index in 1..cuts.len() {
        let next = format!("b{index}");
        let _ = write!(
            graph,
            ";[{joined}][a{index}]acrossfade=nb_samples={blend}:curve1=tri:curve2=tri[{next}]"
        );
        joined = next;
    }
    let _ = write!(graph, ";[{joined}]asetpts=N/SR/TB[a]");
    graph
}

/// The sound of a part from `lead` samples before its first frame that stays.
fn part_sound(index: usize, cut: &Cut, first_sample: u64, lead: u64) -> String {
    let format =
        format!("aformat=sample_fmts=fltp:sample_rates={SAMPLE_RATE}:channel_layouts=stereo");
    if !cut.has_audio {
        return format!("anullsrc=r={SAMPLE_RATE}:cl=stereo,{format}");
    }
    // What begins late is preceded by silence.
    let from_zero =
        format!("[{index}:a:0]{TO_STEREO},aresample={SAMPLE_RATE}:async=1:first_pts=0,{format}");
    if cut.skipped > 0 {
        let begin = first_sample - lead;
        return format!("{from_zero},atrim=start_sample={begin},asetpts=N/SR/TB");
    }
    if lead == 0 {
        return from_zero;
    }
    // Nothing is known of the time before this part: it fades in.
    format!("{from_zero},afade=t=in:ns={lead},adelay=delays={lead}S:all=1")
}

fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

/// The prefix keeps a name with a colon or a leading dash from being read as something else.
fn file(path: &Path) -> OsString {
    let mut name = OsString::from("file:");
    name.push(path);
    name
}
