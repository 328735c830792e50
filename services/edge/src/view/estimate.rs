//! What a request would take.

use kinora_proto::scheduler::v1 as proto;
use serde::{Deserialize, Serialize};

use super::convert::seconds;

/// What a request would take, before it is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Always `estimate`.
    pub object: String,
    /// What would be made.
    pub settings: Settings,
    /// Seconds on the device; none while the model's pace is not known.
    pub gpu_seconds: Option<f64>,
    /// Seconds until a worker takes it; none while unknown.
    pub queue_seconds: Option<f64>,
    /// Predicted peak of device memory; none while unknown.
    pub memory_bytes: Option<u64>,
    /// Thousandths of a second of standard video.
    pub credits: u64,
    /// Whether an attached worker can take it.
    pub fits: bool,
    /// What can be spent; none where nothing costs anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_credits: Option<u64>,
    /// Why the request would be refused for its credits, as its `reason`; none when it would not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// What is made, every field resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as the fields of a video")]
pub struct Settings {
    pub model: String,
    pub prompt: String,
    pub negative_prompt: String,
    pub width: u32,
    pub height: u32,
    pub frames: u32,
    pub fps: u32,
    pub steps: u32,
    pub guidance: f64,
    pub seed: u64,
}

impl From<proto::EstimateResponse> for Estimate {
    fn from(estimate: proto::EstimateResponse) -> Self {
        Self {
            object: "estimate".to_owned(),
            settings: estimate.spec.unwrap_or_default().into(),
            gpu_seconds: estimate.gpu_time.map(seconds),
            queue_seconds: estimate.queue_time.map(seconds),
            memory_bytes: Some(estimate.memory_bytes).filter(|bytes| *bytes > 0),
            credits: estimate.credits,
            fits: estimate.fits,
            available_credits: estimate.available_credits,
            refusal: Some(estimate.refusal).filter(|reason| !reason.is_empty()),
        }
    }
}

impl From<proto::VideoSpec> for Settings {
    fn from(spec: proto::VideoSpec) -> Self {
        Self {
            model: spec.model,
            prompt: spec.prompt,
            negative_prompt: spec.negative_prompt,
            width: spec.width,
            height: spec.height,
            frames: spec.frames,
            fps: spec.fps,
            steps: spec.steps,
            guidance: spec.guidance,
            seed: spec.seed,
        }
    }
}
