//! What a clip takes: device time, memory and credits, before it is made.
//!
//! - **Work** is counted in units: `width * height * frames * steps`, a pixel of a frame denoised by a step. A stitch
//!   has no steps and counts as one step. Models learn their pace in nanoseconds a unit from what attempts measured.
//! - **Credits** are thousandths of a second of standard video: `1000 * frames / fps * (width * height) / (832 * 480)`,
//!   rounded up, at least 1. Steps do not count: who asks for fewer gets less for it.
//! - **Memory** is the model's own bound, `base_bytes + bytes_per_pixel * width * height * frames`.

use std::time::Duration;

use super::job::{Job, Kind, VideoSpec};
use super::model::Model;

/// A frame of standard video, in pixels.
pub const STANDARD_PIXELS: u64 = 832 * 480;

/// The pace of a model that has not been measured: a clip of five standard seconds and 50 steps in about three minutes.
const GUESSED_NANOS_PER_UNIT: f64 = 100.0;

/// No estimate is longer, whatever the numbers say.
const LONGEST_NANOS: f64 = 24.0 * 3600.0 * 1e9;

/// Work in a clip.
#[must_use]
pub fn work_units(spec: &VideoSpec) -> f64 {
    f64::from(spec.width)
        * f64::from(spec.height)
        * f64::from(spec.frames)
        * f64::from(spec.steps.max(1))
}

/// Device time of a clip at a model's pace, in nanoseconds a unit; unmeasured models are guessed.
#[must_use]
pub fn device_time(spec: &VideoSpec, nanos_per_unit: Option<f64>) -> Duration {
    let pace = nanos_per_unit.unwrap_or(GUESSED_NANOS_PER_UNIT);
    let nanos = (work_units(spec) * pace).clamp(0.0, LONGEST_NANOS);
    Duration::from_secs_f64(nanos / 1e9)
}

/// Predicted peak of device memory in bytes. None when the model has not told.
#[must_use]
pub fn memory_bytes(spec: &VideoSpec, model: &Model) -> Option<u64> {
    let need = model.memory?;
    let pixels = u64::from(spec.width) * u64::from(spec.height) * u64::from(spec.frames);
    let growing = need.bytes_per_pixel.max(0.0) * pixels as f64;
    Some(need.base_bytes.saturating_add(whole(growing)))
}

/// What a clip costs, in thousandths of a second of standard video.
#[must_use]
pub fn credits(spec: &VideoSpec) -> u64 {
    let pixels = u64::from(spec.width) * u64::from(spec.height);
    let video = 1000 * u128::from(spec.frames) * u128::from(pixels);
    let standard = u128::from(spec.fps.max(1)) * u128::from(STANDARD_PIXELS);
    u64::try_from(video.div_ceil(standard))
        .unwrap_or(u64::MAX)
        .max(1)
}

/// Denoising steps that the newest attempt was spared by a checkpoint.
#[must_use]
pub fn spared_steps(job: &Job) -> u32 {
    match &job.checkpoint {
        Some(own) if own.lease == job.lease => own.granted_step,
        Some(granted) => granted.step,
        None => 0,
    }
}

/// Work that the newest attempt does from its beginning to its end, for the model's pace. None when a part of it was
/// spared or it drew nothing.
#[must_use]
pub fn measured_units(job: &Job) -> Option<f64> {
    (job.kind == Kind::Generate && spared_steps(job) == 0).then(|| work_units(job.work()))
}

/// A count that is not negative, as an integer.
fn whole(count: f64) -> u64 {
    let bounded = count.ceil().clamp(0.0, 1e18);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole, and within the range of the type"
    )]
    let whole = bounded as u64;
    whole
}

#[cfg(test)]
mod tests {
    use kinora_ids::JobId;

    use super::*;
    use crate::domain::job::{Checkpoint, Time};

    fn spec(width: u32, height: u32, frames: u32, fps: u32) -> VideoSpec {
        VideoSpec {
            model: "tiny".to_owned(),
            prompt: "a ball".to_owned(),
            negative_prompt: String::new(),
            width,
            height,
            frames,
            steps: 50,
            guidance: 3.0,
            seed: 1,
            fps,
            image: None,
            last_image: None,
        }
    }

    fn check(size: (u32, u32), frames: u32, expected: u64) {
        assert_eq!(
            credits(&spec(size.0, size.1, frames, 16)),
            expected,
            "{size:?} {frames}"
        );
    }

    #[test]
    fn credits_are_thousandths_of_a_standard_second() {
        check((832, 480), 16, 1000);
        check((480, 832), 80, 5000);
        check((1664, 960), 16, 4000);
        check((416, 240), 16, 250);
        check((16, 16), 1, 1);
        assert_eq!(credits(&spec(u32::MAX, u32::MAX, u32::MAX, 0)), u64::MAX);
    }

    #[test]
    fn device_time_is_the_work_at_the_models_pace() {
        let clip = spec(100, 100, 10, 8);
        assert_eq!(device_time(&clip, Some(1000.0)), Duration::from_secs(5));
        assert_eq!(device_time(&clip, None), Duration::from_millis(500));
        let longest = Duration::from_secs(24 * 3600);
        assert_eq!(device_time(&spec(u32::MAX, u32::MAX, 9, 8), None), longest);
        assert_eq!(device_time(&clip, Some(f64::INFINITY)), longest);
    }

    #[test]
    fn attempt_that_was_spared_steps_tells_nothing_of_the_pace() {
        let mut job = Job::queued(
            JobId::generate(),
            "a".to_owned(),
            spec(10, 10, 1, 8),
            Time::UNIX_EPOCH,
        );
        job.lease = 2;
        assert_eq!(measured_units(&job), Some(5000.0));
        let checkpoint = |lease, granted_step| Checkpoint {
            key: String::new(),
            step: 9,
            sha256: String::new(),
            bytes: 1,
            lease,
            granted_step,
        };
        job.checkpoint = Some(checkpoint(2, 0));
        assert_eq!(measured_units(&job), Some(5000.0));
        for kept in [checkpoint(1, 0), checkpoint(2, 4)] {
            job.checkpoint = Some(kept);
            assert_eq!(measured_units(&job), None);
        }
    }
}
