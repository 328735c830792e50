//! What an mp4 holds, read from its boxes (ISO/IEC 14496-12) without a decoder.
//!
//! Only what is needed is read, every size is checked and every loop is bounded by bytes that are there, so that a
//! hostile file costs an error and no more.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use crate::MediaError;

/// The index of an hour of video has some hundred kilobytes.
const MAX_MOOV_BYTES: u64 = 64 << 20;
const MAX_TOP_LEVEL_BOXES: usize = 10_000;

/// What an mp4 says of its first video track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mp4Probe {
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Number of frames.
    pub frames: u32,
    /// Frames a second; exact, as the distance between all frames is the same.
    pub fps: u32,
    /// Time the frames take to play.
    pub duration: Duration,
    /// Whether the index comes before the frames, so that playing can begin before all is loaded.
    pub is_faststart: bool,
    /// Whether there is sound.
    pub has_audio: bool,
}

/// Reads what an mp4 file holds.
///
/// # Errors
/// [`MediaError::File`] when it cannot be read; [`MediaError::Invalid`] when it is no mp4 with video of a constant and
/// whole frame rate.
pub fn probe(path: &Path) -> Result<Mp4Probe, MediaError> {
    let unreadable = |source| MediaError::file(path, source);
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    probe_reader(&mut BufReader::new(file), bytes)
}

/// Reads what an mp4 of `bytes` bytes holds.
///
/// # Errors
/// [`MediaError::Invalid`], also when the reader fails.
pub fn probe_reader(reader: &mut (impl Read + Seek), bytes: u64) -> Result<Mp4Probe, MediaError> {
    let top_level = read_top_level(reader, bytes).map_err(|error| invalid(&error.to_string()))?;
    let (Some(moov), Some(mdat_at)) = (top_level.moov, top_level.mdat_at) else {
        return Err(invalid("no index (moov) or no frames (mdat)"));
    };
    let track = video_track(&moov).ok_or_else(|| invalid("no readable video track"))?;
    let fps = track
        .whole_fps()
        .ok_or_else(|| invalid("no constant and whole frame rate"))?;
    let (width, height) = (track.width, track.height);
    Ok(Mp4Probe {
        bytes,
        width,
        height,
        frames: track.frames,
        fps,
        duration: Duration::from_nanos(u64::from(track.frames) * 1_000_000_000 / u64::from(fps)),
        is_faststart: top_level.moov_at < mdat_at,
        has_audio: tracks(&moov).any(|trak| handler(trak) == Some(b"soun")),
    })
}

fn invalid(what: &str) -> MediaError {
    MediaError::Invalid(format!("not an mp4 that can be used: {what}"))
}

#[derive(Default)]
struct TopLevel {
    moov: Option<Vec<u8>>,
    moov_at: u64,
    mdat_at: Option<u64>,
}

fn read_top_level(reader: &mut (impl Read + Seek), bytes: u64) -> std::io::Result<TopLevel> {
    let mut found = TopLevel::default();
    let mut at = 0;
    for _ in 0..MAX_TOP_LEVEL_BOXES {
        if bytes.saturating_sub(at) < 8 {
            break;
        }
        reader.seek(SeekFrom::Start(at))?;
        let mut head = [0; 16];
        reader.read_exact(&mut head[..8])?;
        if head[..4] == [0, 0, 0, 1] {
            reader.read_exact(&mut head[8..])?;
        }
        let Some((header_bytes, box_bytes)) = sizes(&head, bytes - at) else {
            return Err(std::io::Error::other("a box is longer than the file"));
        };
        match &head[4..8] {
            b"moov" if found.moov.is_none() && box_bytes <= MAX_MOOV_BYTES => {
                let mut body = Vec::new();
                reader
                    .take(box_bytes - header_bytes)
                    .read_to_end(&mut body)?;
                found.moov = Some(body);
                found.moov_at = at;
            }
            b"mdat" if found.mdat_at.is_none() => found.mdat_at = Some(at),
            _ => {}
        }
        at += box_bytes;
    }
    Ok(found)
}

/// The sizes of a box's header and of the whole box, from its first 16 bytes and the room it has.
fn sizes(head: &[u8; 16], room: u64) -> Option<(u64, u64)> {
    let short = u64::from(be32(head, 0)?);
    let (header_bytes, box_bytes) = match short {
        // The last box may leave its size open.
        0 => (8, room),
        1 => (
            16,
            (u64::from(be32(head, 8)?) << 32) | u64::from(be32(head, 12)?),
        ),
        _ => (8, short),
    };
    (header_bytes <= box_bytes && box_bytes <= room).then_some((header_bytes, box_bytes))
}

/// The boxes inside a box; ends at the first that does not fit.
struct Boxes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Boxes<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut head = [0; 16];
        let known = self.rest.len().min(16);
        if known < 8 {
            return None;
        }
        head[..known].copy_from_slice(&self.rest[..known]);
        let (header_bytes, box_bytes) = sizes(&head, self.rest.len() as u64)?;
        let (whole, rest) = self
            .rest
            .split_at_checked(usize::try_from(box_bytes).ok()?)?;
        self.rest = rest;
        Some((
            &whole[4..8],
            whole.get(usize::try_from(header_bytes).ok()?..)?,
        ))
    }
}

/// Follows a path of box types down; takes the first box of each type.
fn find<'a>(body: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(body, |body, wanted| {
        Boxes { rest: body }
            .find(|(kind, _)| kind == *wanted)
            .map(|(_, body)| body)
    })
}

struct VideoTrack {
    width: u32,
    height: u32,
    frames: u32,
    /// Ticks a second.
    timescale: u32,
    /// Ticks from a frame to the next; `None` when they differ.
    frame_ticks: Option<u32>,
}

impl VideoTrack {
    fn whole_fps(&self) -> Option<u32> {
        let ticks = self.frame_ticks.filter(|ticks| *ticks > 0)?;
        let fps = self.timescale / ticks;
        (fps > 0 && self.timescale.is_multiple_of(ticks)).then_some(fps)
    }
}

fn video_track(moov: &[u8]) -> Option<VideoTrack> {
    tracks(moov)
        .find(|trak| handler(trak) == Some(b"vide"))
        .and_then(read_track)
}

fn tracks(moov: &[u8]) -> impl Iterator<Item = &[u8]> {
    let boxes = Boxes { rest: moov };
    boxes.filter_map(|(kind, body)| (kind == b"trak").then_some(body))
}

/// What kind of track it is, such as `vide`.
fn handler(trak: &[u8]) -> Option<&[u8]> {
    find(trak, &[b"mdia", b"hdlr"])?.get(8..12)
}

fn read_track(trak: &[u8]) -> Option<VideoTrack> {
    let (width, height) = picture_size(trak)?;
    let mdhd = find(trak, &[b"mdia", b"mdhd"])?;
    let timescale = be32(mdhd, if *mdhd.first()? == 0 { 12 } else { 20 })?;
    let stbl = find(trak, &[b"mdia", b"minf", b"stbl"])?;
    let (frames, frame_ticks) = frame_times(find(stbl, &[b"stts"])?)?;
    let frames_with_sizes = be32(find(stbl, &[b"stsz"])?, 8)?;
    (frames == frames_with_sizes && frames > 0 && width > 0 && height > 0).then_some(VideoTrack {
        width,
        height,
        frames,
        timescale,
        frame_ticks,
    })
}

/// The coded size, from the first sample description.
fn picture_size(trak: &[u8]) -> Option<(u32, u32)> {
    let stsd = find(trak, &[b"mdia", b"minf", b"stbl", b"stsd"])?;
    let (_, entry) = Boxes {
        rest: stsd.get(8..)?,
    }
    .next()?;
    let size = be32(entry, 24)?;
    Some((size >> 16, size & 0xffff))
}

/// The number of frames, and the ticks between them where they are all the same.
fn frame_times(stts: &[u8]) -> Option<(u32, Option<u32>)> {
    let count = usize::try_from(be32(stts, 4)?).ok()?;
    let entries = stts.get(8..)?.get(..count.checked_mul(8)?)?;
    let mut frames: u32 = 0;
    let mut ticks = None;
    let mut is_constant = true;
    for entry in entries.chunks_exact(8) {
        frames = frames.checked_add(be32(entry, 0)?)?;
        let these = be32(entry, 4)?;
        is_constant &= ticks.is_none_or(|ticks| ticks == these);
        ticks = Some(these);
    }
    Some((frames, ticks.filter(|_| is_constant)))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
