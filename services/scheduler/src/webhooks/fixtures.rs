//! Values for tests.

use kinora_ids::JobId;

use crate::domain::job::{Job, Time, VideoSpec};

pub fn now() -> Time {
    Time::from_timestamp_micros(1_800_000_000_123_456).expect("a time")
}

pub fn job(owner: &str) -> Job {
    let spec = VideoSpec {
        model: "tiny".to_owned(),
        prompt: "a \"ball\" – ünï".to_owned(),
        negative_prompt: String::new(),
        width: 64,
        height: 48,
        frames: 13,
        steps: 20,
        guidance: 3.25,
        seed: 1,
        fps: 8,
        image: None,
        last_image: None,
    };
    Job::queued(JobId::generate(), owner.to_owned(), spec, now())
}
