//! Clips joined by the real ffmpeg: every frame once, at its place, and sound without a gap.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use std::process::Command;

use kinora_media::{
    MAX_PARTS, MediaError, Part, RawVideo, decode_frame, decode_mp4, encode_mp4, last_frame, probe,
    stitch,
};
use kinora_testkit::env::ffmpeg;
use tempfile::TempDir;

const WIDTH: u32 = 96;
const HEIGHT: u32 = 64;
const FPS: u32 = 8;
const RATE: u32 = 48_000;
const TONE_HZ: f64 = 441.0;
/// Of 1.
const LOUDNESS: f64 = 0.5;

/// Frame `number` of an endless clip: a gradient under a bar that moves four pixels a frame.
fn frame(number: u32) -> Vec<u8> {
    let shade = |at: u32, of: u32| u8::try_from(40 + 120 * at / of).expect("works");
    let is_bar = |x: u32| (x + WIDTH - number * 4 % WIDTH) % WIDTH < 12;
    let pixels = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
    pixels
        .flat_map(|(x, y)| {
            if is_bar(x) {
                [240, 240, 240]
            } else {
                [shade(x, WIDTH), shade(y, HEIGHT), 60]
            }
        })
        .collect()
}

struct Studio {
    folder: TempDir,
}

impl Studio {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("works");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Frames `begin..begin + frames` of the endless clip.
    fn silent(&self, name: &str, begin: u32, frames: u32) -> PathBuf {
        let out = self.path(name);
        let rgb: Vec<u8> = (begin..begin + frames).flat_map(frame).collect();
        let clip = RawVideo {
            width: WIDTH,
            height: HEIGHT,
            fps: FPS,
            rgb: &rgb,
        };
        encode_mp4(&ffmpeg(), &clip, &out).expect("works");
        out
    }

    /// The same with the endless tone of the same time.
    fn sounding(&self, name: &str, begin: u32, frames: u32) -> PathBuf {
        let silent = self.silent(&format!("silent-{name}"), begin, frames);
        let samples = (begin * RATE / FPS)..((begin + frames) * RATE / FPS);
        let pcm: Vec<u8> = samples
            .flat_map(|at| tone(at as usize).to_le_bytes())
            .collect();
        let raw = self.path(&format!("{name}.f32"));
        std::fs::write(&raw, pcm).expect("works");
        let out = self.path(name);
        let status = Command::new(ffmpeg())
            .args(["-loglevel", "error", "-y", "-i"])
            .arg(silent)
            .args(["-f", "f32le", "-ar", "48000", "-ac", "1", "-i"])
            .arg(raw)
            .args(["-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac"])
            .args(["-b:a", "160k", "-movflags", "+faststart"])
            .arg(&out)
            .status()
            .expect("works");
        assert!(status.success());
        assert!(probe(&out).expect("works").has_audio);
        out
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "samples are as fine as that"
)]
fn tone(sample: usize) -> f32 {
    let seconds = sample as f64 / f64::from(RATE);
    (LOUDNESS * (TAU * TONE_HZ * seconds).sin()) as f32
}

fn part(path: &Path, skips_first_frame: bool) -> Part<'_> {
    Part {
        path,
        skips_first_frame,
    }
}

/// Decibels; equal pictures have 99.
fn psnr(left: &[u8], right: &[u8]) -> f64 {
    assert_eq!(left.len(), right.len());
    let squares = left.iter().zip(right);
    let sum: f64 = squares
        .map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2))
        .sum();
    let mean = sum / left.len() as f64;
    if mean == 0.0 {
        99.0
    } else {
        10.0 * (255.0 * 255.0 / mean).log10()
    }
}

/// Every frame of the clip is the one of its number, and no neighbour of it.
fn check_frames(clip: &Path, expected: &[u32]) {
    let decoded = decode_mp4(&ffmpeg(), clip).expect("works");
    assert_eq!(decoded.frames as usize, expected.len());
    assert_eq!(decoded.fps, FPS);
    let frames = decoded.rgb.chunks_exact((WIDTH * HEIGHT * 3) as usize);
    for (at, (seen, number)) in frames.zip(expected).enumerate() {
        let alike = psnr(seen, &frame(*number));
        assert!(alike > 30.0, "frame {at} is {alike} dB off");
        for neighbour in [number.wrapping_sub(1), number + 1] {
            if neighbour < 1000 {
                let other = psnr(seen, &frame(neighbour));
                assert!(other + 6.0 < alike, "frame {at} looks like its neighbour");
            }
        }
    }
}

/// The first channel of a clip's sound.
fn sound(clip: &Path) -> Vec<f32> {
    let output = Command::new(ffmpeg())
        .args(["-loglevel", "error", "-i"])
        .arg(clip)
        .args(["-map", "0:a:0", "-af", "pan=mono|c0=c0", "-f", "f32le", "-"])
        .output()
        .expect("works");
    assert!(output.status.success());
    let samples = output.stdout.chunks_exact(4);
    samples
        .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("works")))
        .collect()
}

/// Loudness of every 10 ms, as the root of the mean square.
fn loudness(samples: &[f32]) -> Vec<f64> {
    let windows = samples.chunks_exact(480);
    windows
        .map(|window| {
            let sum: f64 = window.iter().map(|value| f64::from(*value).powi(2)).sum();
            (sum / 480.0).sqrt()
        })
        .collect()
}

#[test]
fn every_frame_is_there_once_and_in_order() {
    let studio = Studio::new();
    let [first, second, third] = [(0, 9), (8, 9), (17, 5)]
        .map(|(begin, frames)| studio.silent(&format!("{begin}.mp4"), begin, frames));
    let out = studio.path("out.mp4");
    // The mark of the first part means nothing.
    let parts = [part(&first, true), part(&second, true), part(&third, false)];
    let info = stitch(&ffmpeg(), &parts, &out).expect("works");
    assert_eq!(info.frames, 22);
    assert!((info.duration.as_secs_f64() - 2.75).abs() < 1e-9);
    let seen = probe(&out).expect("works");
    assert!(seen.is_faststart && !seen.has_audio);
    check_frames(&out, &(0..22).collect::<Vec<u32>>());
}

#[test]
fn frames_that_do_not_repeat_stay() {
    let studio = Studio::new();
    let whole = studio.silent("whole.mp4", 3, 5);
    let single = studio.silent("single.mp4", 30, 1);
    let out = studio.path("out.mp4");
    let parts = [
        part(&whole, false),
        part(&single, false),
        part(&whole, true),
    ];
    stitch(&ffmpeg(), &parts, &out).expect("works");
    check_frames(&out, &[3, 4, 5, 6, 7, 30, 4, 5, 6, 7]);
}

#[test]
fn one_tone_over_all_parts_stays_one_tone() {
    let studio = Studio::new();
    let [first, second, third] = [(0, 9), (8, 9), (16, 9)]
        .map(|(begin, frames)| studio.sounding(&format!("{begin}.mp4"), begin, frames));
    let out = studio.path("out.mp4");
    let parts = [part(&first, false), part(&second, true), part(&third, true)];
    stitch(&ffmpeg(), &parts, &out).expect("works");
    check_frames(&out, &(0..25).collect::<Vec<u32>>());
    let samples = sound(&out);
    let expected = 25 * RATE as usize / FPS as usize;
    assert!(
        samples.len().abs_diff(expected) <= 2048,
        "{} samples of {expected}, up to the coder's block",
        samples.len()
    );
    // The very beginning and end are the coder's.
    let end = samples.len().min(expected) - 2048;
    let worst = (2048..end)
        .map(|at| (f64::from(samples[at]) - f64::from(tone(at))).abs())
        .fold(0.0, f64::max);
    assert!(worst < 0.1, "off by {worst} of {LOUDNESS}");
}

#[test]
fn silence_takes_exactly_the_place_of_a_part_without_sound() {
    let studio = Studio::new();
    let first = studio.sounding("first.mp4", 0, 8);
    let second = studio.silent("second.mp4", 8, 8);
    let third = studio.sounding("third.mp4", 16, 8);
    let out = studio.path("out.mp4");
    let parts = [&first, &second, &third].map(|path| part(path, false));
    stitch(&ffmpeg(), &parts, &out).expect("works");
    check_frames(&out, &(0..24).collect::<Vec<u32>>());
    let loud = loudness(&sound(&out));
    let full = LOUDNESS / 2.0_f64.sqrt();
    // A part is 100 windows; the one or two at a seam fade.
    for (window, level) in loud.iter().enumerate().take(298).skip(4) {
        let is_seam = (98..=101).contains(&(window % 100)) || window % 100 <= 1;
        let expected = if window / 100 == 1 { 0.0 } else { full };
        assert!(
            is_seam || (level - expected).abs() < 0.03,
            "window {window}: {level} and not {expected}"
        );
    }
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let studio = Studio::new();
    let good = studio.silent("good.mp4", 0, 5);
    let single = studio.silent("single.mp4", 0, 1);
    let other = studio.path("other.mp4");
    let clip = RawVideo {
        width: 64,
        height: 64,
        fps: 16,
        rgb: &[9; 64 * 64 * 3],
    };
    encode_mp4(&ffmpeg(), &clip, &other).expect("works");
    let broken = studio.path("broken.mp4");
    std::fs::write(&broken, b"no clip").expect("works");
    let out = studio.path("out.mp4");
    let many = vec![part(&good, false); MAX_PARTS + 1];
    for (parts, text) in [
        (vec![], "0 parts"),
        (many, "257 parts"),
        (
            vec![part(&good, false), part(&other, false)],
            "part 2 is 64x64 at 16",
        ),
        (
            vec![part(&good, false), part(&single, true)],
            "part 2 has no frame",
        ),
        (vec![part(&broken, false)], "not an mp4"),
    ] {
        match stitch(&ffmpeg(), &parts, &out).unwrap_err() {
            MediaError::Invalid(words) => assert!(words.contains(text), "{words}"),
            other => panic!("{other:?}"),
        }
        assert!(!out.exists());
    }
}

#[test]
fn same_parts_give_the_same_bytes() {
    let studio = Studio::new();
    let first = studio.sounding("first.mp4", 0, 5);
    let second = studio.sounding("second.mp4", 4, 5);
    let parts = [part(&first, false), part(&second, true)];
    let bytes = ["a.mp4", "b.mp4"].map(|name| {
        let out = studio.path(name);
        stitch(&ffmpeg(), &parts, &out).expect("works");
        std::fs::read(out).expect("works")
    });
    assert!(bytes[0] == bytes[1]);
}

#[test]
fn single_frames_are_those_of_the_whole_clip() {
    let studio = Studio::new();
    let clip = studio.silent("clip.mp4", 5, 7);
    let whole = decode_mp4(&ffmpeg(), &clip).expect("works");
    let frames: Vec<&[u8]> = whole
        .rgb
        .chunks_exact((WIDTH * HEIGHT * 3) as usize)
        .collect();
    for index in [0, 3, 6] {
        let still = decode_frame(&ffmpeg(), &clip, index).expect("works");
        assert_eq!((still.width, still.height), (WIDTH, HEIGHT));
        assert!(still.rgb == frames[index as usize]);
    }
    assert!(last_frame(&ffmpeg(), &clip).expect("works").rgb == frames[6]);
    let beyond = decode_frame(&ffmpeg(), &clip, 7);
    assert!(matches!(beyond, Err(MediaError::Invalid(_))));
}
