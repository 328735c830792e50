//! Where models and golden files are.

use std::path::{Path, PathBuf};

use kinora_models::{SentenceEncoder, SentenceOptions};

/// Largest difference accepted in a number of a vector of unit length.
pub const TOLERANCE: f32 = 1e-4;

pub fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// The folder of all-MiniLM-L6-v2.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no config; the test run names its programs here"
)]
pub fn minilm() -> PathBuf {
    let folder = std::env::var("KINORA_MINILM");
    PathBuf::from(folder.expect("KINORA_MINILM is not set: run `make test`, or `scripts/env`"))
}

/// The encoder of a folder in full precision, on one thread: the tests run side by side already.
pub fn encoder(folder: &Path) -> SentenceEncoder {
    let options = SentenceOptions {
        threads: Some(1),
        ..SentenceOptions::default()
    };
    SentenceEncoder::load(folder, &options).unwrap()
}

/// The largest difference between numbers of equal places.
pub fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[track_caller]
pub fn check_close(name: &str, found: &[f32], expected: &[f32]) {
    let difference = difference(found, expected);
    println!("{name}: {difference:.1e}");
    assert!(difference < TOLERANCE, "{name} differs by {difference:e}");
}
