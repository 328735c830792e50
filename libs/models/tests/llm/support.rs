//! Goldens, requests, and the small model of real weights.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kinora_models::llm::{ChatMessage, LlmOptions, LlmRequest, Role, SamplingOptions};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);

pub fn goldens(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/goldens")
        .join(name)
}

/// The file that `scripts/setup-smollm2` fetches.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no config; the test run names its files here"
)]
pub fn smollm2() -> PathBuf {
    match std::env::var_os("KINORA_SMOLLM2") {
        Some(path) => path.into(),
        None => panic!("KINORA_SMOLLM2 is not set: run `make test`, or `eval \"$(scripts/env)\"`"),
    }
}

pub fn options(threads: usize) -> LlmOptions {
    LlmOptions {
        threads: Some(threads),
        context_tokens: 512,
        ..LlmOptions::default()
    }
}

pub fn request(messages: Vec<ChatMessage>, options: SamplingOptions) -> LlmRequest {
    LlmRequest {
        messages,
        options,
        constraint: None,
        deadline: Instant::now() + LONG,
    }
}

pub fn user(text: &str) -> Vec<ChatMessage> {
    vec![ChatMessage::new(Role::User, text)]
}
