//! Frames to mp4 and back, clips joined to longer ones, thumbnails and sprite sheets, and pictures that people send.
//!
//! Pictures are 8-bit RGB, row by row, three bytes a pixel; a clip is its pictures one after the other. The ffmpeg
//! program does the coding, fed through pipes; [`probe`] reads what an mp4 holds without it. Everything here blocks:
//! call it from a thread that may wait.

mod decode;
mod encode;
mod error;
mod output;
mod probe;
mod process;
mod spritesheet;
mod still;
mod stitch;
mod thumbnail;

pub use decode::{RawFrames, decode_frame, decode_mp4, last_frame};
pub use encode::{Mp4Info, RawVideo, encode_mp4};
pub use error::{MediaError, MediaErrorKind};
pub use probe::{Mp4Probe, probe, probe_reader};
pub use spritesheet::{spritesheet_jpeg, spritesheet_of_mp4};
pub use still::{
    MAX_STILL_BYTES, Still, StillError, StillFormat, StillInfo, decode_still, encode_still,
    probe_still,
};
pub use stitch::{MAX_PARTS, Part, stitch};
pub use thumbnail::{preview_webp, thumbnail_webp};
