//! The programs that tests run, as the environment names them.

use std::path::PathBuf;

/// Returns the ffmpeg that tests encode and decode with.
///
/// # Panics
/// When `KINORA_FFMPEG` is not set, as it is under `make test`.
#[must_use]
pub fn ffmpeg() -> PathBuf {
    PathBuf::from(required("KINORA_FFMPEG", "an ffmpeg that has libx264"))
}

/// Reads a variable that the test run must have set.
///
/// # Panics
/// When it is missing or empty, with a text that says how to set it.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no config; the test run names its programs here"
)]
pub fn required(name: &str, meaning: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!(
            "{name} is not set ({meaning}): run `make test`, or \
             `eval \"$(scripts/env)\"` and `scripts/with-postgres cargo test …`"
        ),
    }
}
