//! Clips through the real ffmpeg, and through programs that fail the way an ffmpeg may.

use std::path::{Path, PathBuf};

use kinora_media::{
    MediaError, MediaErrorKind, RawVideo, decode_mp4, decode_still, encode_mp4, probe,
    spritesheet_jpeg, spritesheet_of_mp4, thumbnail_webp,
};
use kinora_testkit::env::ffmpeg;
use tempfile::TempDir;

const COLOURS: [[u8; 3]; 9] = [
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [255, 255, 0],
    [255, 255, 255],
    [0, 0, 0],
    [128, 128, 128],
    [128, 64, 200],
    [20, 180, 90],
];
/// Levels of 255 that a colour may be off after YUV 4:2:0 and H.264.
const TOLERANCE: u8 = 4;

fn folder() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/programs")
        .join(name)
}

/// One frame of each colour, over and over.
fn solid_frames(width: u32, height: u32, frames: usize) -> Vec<u8> {
    let pixels = (width * height) as usize;
    (0..frames)
        .flat_map(|frame| COLOURS[frame % COLOURS.len()].repeat(pixels))
        .collect()
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

fn names_in(folder: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).expect("folder");
    entries
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect()
}

fn check_round_trip(width: u32, height: u32, fps: u32, frames: usize) {
    let folder = folder();
    let out = folder.path().join("clip.mp4");
    let rgb = solid_frames(width, height, frames);
    let clip = RawVideo {
        width,
        height,
        fps,
        rgb: &rgb,
    };
    let info = encode_mp4(&ffmpeg(), &clip, &out).expect("encoded");
    assert_eq!(info.frames as usize, frames);
    assert_eq!(info.bytes, std::fs::metadata(&out).expect("file").len());
    let exact_seconds = frames as f64 / f64::from(fps);
    assert!((info.duration.as_secs_f64() - exact_seconds).abs() < 1e-6);

    let seen = probe(&out).expect("probed");
    assert_eq!((seen.width, seen.height, seen.fps), (width, height, fps));
    assert!(seen.is_faststart);

    let back = decode_mp4(&ffmpeg(), &out).expect("decoded");
    assert_eq!((back.width, back.height, back.fps), (width, height, fps));
    assert_eq!((back.frames as usize, back.rgb.len()), (frames, rgb.len()));
    let worst = rgb.iter().zip(&back.rgb).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst <= Some(TOLERANCE), "a colour is off by {worst:?}");
}

#[test]
fn colours_counts_and_rates_come_back_at_every_size() {
    check_round_trip(64, 64, 8, 17);
    check_round_trip(64, 48, 24, 1);
    check_round_trip(2, 2, 1, 3);
    check_round_trip(480, 320, 30, 10);
    check_round_trip(322, 322, 240, 5);
}

#[test]
fn small_coloured_shape_keeps_its_colour_and_place() {
    let (width, height) = (64, 64);
    let is_inside = |x: u32, y: u32| (20..32).contains(&x) && (30..42).contains(&y);
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let frame: Vec<u8> = pixels
        .flat_map(|(x, y)| [if is_inside(x, y) { 230 } else { 0 }, 0, 0])
        .collect();
    let folder = folder();
    let out = folder.path().join("clip.mp4");
    let clip = RawVideo {
        width,
        height,
        fps: 8,
        rgb: &frame.repeat(8),
    };
    encode_mp4(&ffmpeg(), &clip, &out).expect("encoded");
    let back = decode_mp4(&ffmpeg(), &out).expect("decoded");
    let red_at = |x: usize, y: usize| back.rgb[(y * 64 + x) * 3];
    assert!(
        red_at(26, 36) > 220 && red_at(21, 31) > 180,
        "inside is red"
    );
    assert!(
        red_at(16, 36) < 20 && red_at(26, 46) < 20,
        "outside is black"
    );
}

#[test]
fn same_clip_gives_the_same_bytes() {
    let folder = folder();
    for (width, height) in [(64, 64), (480, 320)] {
        let rgb = noise((width * height * 3 * 9) as usize);
        let clip = RawVideo {
            width,
            height,
            fps: 16,
            rgb: &rgb,
        };
        let files = ["a.mp4", "b: -x.mp4"].map(|name| {
            let out = folder.path().join(name);
            encode_mp4(&ffmpeg(), &clip, &out).expect("encoded");
            std::fs::read(out).expect("file")
        });
        assert!(
            files[0] == files[1],
            "{width}x{height} differs from run to run"
        );
    }
}

#[test]
fn result_replaces_an_older_file_and_has_usual_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let out = folder.path().join("clip.mp4");
    std::fs::write(&out, "old").expect("write");
    let rgb = solid_frames(64, 64, 2);
    let clip = RawVideo {
        width: 64,
        height: 64,
        fps: 8,
        rgb: &rgb,
    };
    encode_mp4(&ffmpeg(), &clip, &out).expect("encoded");
    assert_eq!(probe(&out).expect("an mp4").frames, 2);
    assert_eq!(names_in(&folder), ["clip.mp4"]);
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "").expect("write");
    let mode = |path| std::fs::metadata(path).expect("file").permissions().mode();
    assert_eq!(mode(&out), mode(&plain));
}

#[test]
fn frames_that_make_no_clip_are_refused() {
    let folder = folder();
    let rgb = vec![0; 64 * 64 * 3];
    for (width, height, fps, bytes) in [
        (63, 64, 8, 63 * 64 * 3),
        (64, 0, 8, 0),
        (64, 64, 0, 64 * 64 * 3),
        (64, 64, 241, 64 * 64 * 3),
        (64, 64, 8, 64 * 64 * 3 - 1),
        (64, 64, 8, 0),
        (8194, 64, 8, 64 * 64 * 3),
        (u32::MAX - 1, u32::MAX - 1, 8, 64),
    ] {
        let clip = RawVideo {
            width,
            height,
            fps,
            rgb: &rgb[..bytes],
        };
        let error = encode_mp4(&ffmpeg(), &clip, &folder.path().join("x")).expect_err("refused");
        assert_eq!(
            error.kind(),
            MediaErrorKind::Invalid,
            "{width}x{height} at {fps}: {error}"
        );
    }
    assert!(names_in(&folder).is_empty());
}

/// Encodes a clip that does not compress, over an older file, with a program that fails.
fn failure_of(program: &Path) -> MediaError {
    let folder = folder();
    let out = folder.path().join("clip.mp4");
    std::fs::write(&out, "old").expect("write");
    let rgb = noise(256 * 256 * 3 * 24);
    let clip = RawVideo {
        width: 256,
        height: 256,
        fps: 24,
        rgb: &rgb,
    };
    let error = encode_mp4(program, &clip, &out).expect_err("must fail");
    assert_eq!(names_in(&folder), ["clip.mp4"], "nothing is left behind");
    assert_eq!(
        std::fs::read(&out).expect("file"),
        b"old",
        "the older file stays"
    );
    error
}

#[test]
fn missing_ffmpeg_is_named() {
    let error = failure_of(Path::new("/nowhere/ffmpeg"));
    assert_eq!(error.kind(), MediaErrorKind::FfmpegMissing);
    assert!(error.to_string().contains("/nowhere/ffmpeg"));
}

#[test]
fn killed_ffmpeg_is_told_from_a_failed_one() {
    assert!(matches!(
        failure_of(&program("killed")),
        MediaError::Killed { signal: 9 }
    ));
}

#[test]
fn failed_ffmpeg_leaves_its_status_and_last_words() {
    match failure_of(&program("failing")) {
        MediaError::FfmpegFailed {
            status,
            stderr_tail,
        } => {
            assert_eq!((status, stderr_tail.as_str()), (187, "Conversion failed!"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn ffmpeg_that_only_claims_success_is_not_believed() {
    assert_eq!(
        failure_of(&program("idle")).kind(),
        MediaErrorKind::FfmpegFailed
    );
}

#[test]
fn file_that_finds_no_room_is_reported_as_such() {
    assert!(ffmpeg().exists(), "the program below runs it");
    assert_eq!(
        failure_of(&program("no-room")).kind(),
        MediaErrorKind::DiskFull
    );
}

#[test]
fn folder_that_is_not_there_is_an_error_of_the_file() {
    let rgb = solid_frames(64, 64, 1);
    let clip = RawVideo {
        width: 64,
        height: 64,
        fps: 8,
        rgb: &rgb,
    };
    let error = encode_mp4(&ffmpeg(), &clip, Path::new("/nowhere/clip.mp4")).expect_err("fails");
    assert_eq!(error.kind(), MediaErrorKind::File);
}

#[test]
fn hostile_files_are_refused_by_the_decoder() {
    let folder = folder();
    let path = folder.path().join("clip.mp4");
    for bytes in [&b""[..], b"not an mp4 at all", &noise(100_000)] {
        std::fs::write(&path, bytes).expect("write");
        let error = decode_mp4(&ffmpeg(), &path).expect_err("refused");
        assert_eq!(error.kind(), MediaErrorKind::Invalid);
    }
}

#[test]
fn thumbnail_of_a_decoded_frame_is_a_webp() {
    let rgb = solid_frames(480, 320, 1);
    let webp = thumbnail_webp(&rgb, 480, 320).expect("thumbnail");
    assert_eq!((&webp[..4], &webp[8..12]), (&b"RIFF"[..], &b"WEBP"[..]));
}

#[test]
fn a_sheet_of_a_file_shows_what_a_sheet_of_its_frames_does() {
    let folder = folder();
    let out = folder.path().join("clip.mp4");
    for (width, height, frames, expected) in [
        (64, 48, 1, (64, 48)),
        (320, 160, 13, (800, 240)),
        (64, 48, 60, (320, 240)),
    ] {
        let rgb = solid_frames(width, height, frames);
        let clip = RawVideo {
            width,
            height,
            fps: 8,
            rgb: &rgb,
        };
        encode_mp4(&ffmpeg(), &clip, &out).expect("encoded");
        let of_frames = spritesheet_jpeg(&rgb, width, height).expect("a sheet");
        let of_file = spritesheet_of_mp4(&ffmpeg(), &out).expect("a sheet");
        let sheets = [of_frames, of_file].map(|jpeg| decode_still(&jpeg).expect("a picture"));
        for sheet in &sheets {
            assert_eq!((sheet.width, sheet.height), expected, "{frames} frames");
        }
        let pairs = sheets[0].rgb.iter().zip(&sheets[1].rgb);
        let off: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        // Edges of tiles blur a little.
        let mean = off as f64 / sheets[0].rgb.len() as f64;
        assert!(mean < f64::from(TOLERANCE), "off by {mean}");
    }
}
