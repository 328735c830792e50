//! Models that workers offer.

use serde::{Deserialize, Serialize};

use super::wire;

/// A model that workers offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name to submit with.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// When it was first offered, in seconds of Unix; 0 while it is not known.
    pub created: u32,
    /// As `family`.
    pub owned_by: String,
    /// For example `wan-t2v`.
    pub family: String,
    /// Name for people.
    pub title: String,
    /// Licence of the weights.
    pub licence: String,
    /// What an unset field means.
    pub defaults: ModelDefaults,
    /// What the model accepts.
    pub limits: ModelLimits,
    /// Words the model was trained on; empty for an open vocabulary.
    pub vocabulary: Vec<String>,
    /// Whether it takes a first frame.
    pub image_input: ImageInput,
    /// Whether it takes a last frame.
    pub last_image_input: ImageInput,
    /// What it needs of a device; none while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryNeed>,
    /// How prompts for it are written, for example `wan`. Empty from a mesh that does not tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt_family: String,
}

/// Whether a model takes a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageInput {
    /// It cannot use one.
    None,
    /// With or without.
    Optional,
    /// It needs one.
    Required,
    /// Something that this build does not know.
    #[serde(other)]
    Unknown,
}

/// Predicted peak of device memory: `base_bytes + bytes_per_pixel * width * height * frames`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "explained as a whole")]
pub struct MemoryNeed {
    #[serde(with = "wire::number")]
    pub base_bytes: u64,
    pub bytes_per_pixel: f64,
}

/// What an unset field of a request means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as the fields of a request")]
pub struct ModelDefaults {
    pub width: u32,
    pub height: u32,
    pub frames: u32,
    pub fps: u32,
    pub steps: u32,
    pub guidance: f64,
    pub negative_prompt: String,
}

/// What a model accepts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "named as the contract's ModelLimits, which explains them"
)]
pub struct ModelLimits {
    pub min_width: u32,
    pub max_width: u32,
    pub min_height: u32,
    pub max_height: u32,
    pub size_multiple: u32,
    pub max_frames: u32,
    pub frame_stride: u32,
    pub max_steps: u32,
    pub max_guidance: f64,
    pub max_prompt_chars: u32,
}

/// The models that workers offer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ModelList {
    /// In the scheduler's order.
    pub data: Vec<Model>,
}
