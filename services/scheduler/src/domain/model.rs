//! What a model can do, as its workers announce it.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::prompting::PromptFamily;

/// A model's limits, and what an unset field of a submission means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// For example `kinora-tiny-t2v`.
    pub id: String,
    /// For example `wan-t2v`.
    pub family: String,
    /// For people.
    pub title: String,
    /// SPDX id or name.
    pub licence: String,
    /// What unset fields mean.
    pub defaults: ModelDefaults,
    /// What is legal.
    pub limits: ModelLimits,
    /// Words the model was trained on. Empty for an open vocabulary.
    pub vocabulary: Vec<String>,
    /// Whether it takes a first frame.
    #[serde(default)]
    pub image_input: ImageInput,
    /// Whether it takes a last frame.
    #[serde(default)]
    pub last_image_input: ImageInput,
    /// What it needs of a device, when a worker has told.
    #[serde(default)]
    pub memory: Option<MemoryNeed>,
    /// How prompts for it are written, when a worker has told.
    #[serde(default)]
    pub prompt_family: PromptFamily,
}

/// Predicted peak of device memory: `base_bytes + bytes_per_pixel * width * height * frames`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryNeed {
    /// Weights, and what every clip needs.
    pub base_bytes: u64,
    /// A pixel of a frame.
    pub bytes_per_pixel: f64,
}

/// Whether a model takes a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageInput {
    /// It cannot use one.
    #[default]
    None,
    /// With or without.
    Optional,
    /// It needs one.
    Required,
}

/// What unset fields of a submission mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelDefaults {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames.
    pub frames: u32,
    /// Frames a second.
    pub fps: u32,
    /// Denoising steps.
    pub steps: u32,
    /// Classifier-free guidance scale.
    pub guidance: f64,
    /// May be empty.
    pub negative_prompt: String,
}

/// What a submission may ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelLimits {
    /// Pixels.
    pub min_width: u32,
    /// Pixels.
    pub max_width: u32,
    /// Pixels.
    pub min_height: u32,
    /// Pixels.
    pub max_height: u32,
    /// Width and height are multiples of this.
    pub size_multiple: u32,
    /// Most frames.
    pub max_frames: u32,
    /// Frames are a multiple of this, plus one.
    pub frame_stride: u32,
    /// Most denoising steps.
    pub max_steps: u32,
    /// Highest guidance scale; the lowest is 0.
    pub max_guidance: f64,
    /// Longest prompt, in characters.
    pub max_prompt_chars: u32,
}

impl ModelLimits {
    /// The lowest and the highest legal width.
    #[must_use]
    pub fn widths(&self) -> RangeInclusive<u32> {
        self.sides(self.min_width, self.max_width)
    }

    /// The lowest and the highest legal height.
    #[must_use]
    pub fn heights(&self) -> RangeInclusive<u32> {
        self.sides(self.min_height, self.max_height)
    }

    /// The legal size that comes closest to the proportions of a picture and to `area` pixels, without more.
    #[must_use]
    pub fn size_for(&self, picture: (u32, u32), area: u64) -> (u32, u32) {
        let aspect = f64::from(picture.0.max(1)) / f64::from(picture.1.max(1));
        let mut best = (
            f64::INFINITY,
            (*self.widths().start(), *self.heights().start()),
        );
        for width in self.steps(&self.widths()) {
            for height in self.steps(&self.heights()) {
                let pixels = u64::from(width) * u64::from(height);
                if pixels > area {
                    break;
                }
                let bent = (f64::from(width) / f64::from(height) / aspect).ln().abs();
                let shrunk = (area as f64 / pixels as f64).ln();
                // A bent picture shows more than a smaller one.
                let badness = BENT_WEIGHT * bent + shrunk;
                if badness < best.0 {
                    best = (badness, (width, height));
                }
            }
        }
        best.1
    }

    /// The most frames that are legal and no more than `most`, of a clip that cannot have fewer than `fewest`.
    #[must_use]
    pub fn frames_within(&self, most: u32, fewest: u32) -> Option<u32> {
        let last = most.min(self.max_frames).checked_sub(1)?;
        let frames = last / self.frame_stride.max(1) * self.frame_stride.max(1) + 1;
        (frames >= fewest).then_some(frames)
    }

    /// The number of frames of the model's form, a multiple of the stride plus one, that is nearest. It may be more than
    /// the model makes.
    #[must_use]
    pub fn nearest_frames(&self, frames: f64) -> u32 {
        let stride = self.frame_stride.max(1);
        let most = u32::MAX / stride - 1;
        let strides = ((frames - 1.0) / f64::from(stride)).round();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole, and within the range of the type"
        )]
        let strides = strides.clamp(0.0, f64::from(most)) as u32;
        strides * stride + 1
    }

    fn steps(&self, legal: &RangeInclusive<u32>) -> impl Iterator<Item = u32> {
        let step = usize::try_from(self.size_multiple).unwrap_or(usize::MAX);
        legal.clone().step_by(step)
    }

    fn sides(&self, min: u32, max: u32) -> RangeInclusive<u32> {
        let multiple = self.size_multiple;
        let lowest = min.max(1).div_ceil(multiple).saturating_mul(multiple);
        lowest..=max / multiple * multiple
    }
}

/// A worker announced a model that no submission could be checked against.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("model `{model}`: {problem}")]
pub struct InvalidModel {
    /// The id as announced.
    pub model: String,
    /// What is wrong.
    pub problem: &'static str,
}

/// How much more a wrong proportion weighs than a smaller picture.
const BENT_WEIGHT: f64 = 4.0;

const MAX_ID_CHARS: usize = 128;
const MAX_VOCABULARY: usize = 100_000;

impl Model {
    /// Checks that limits are consistent and that the defaults are legal sizes.
    ///
    /// # Errors
    /// [`InvalidModel`] with the first problem.
    pub fn check(&self) -> Result<(), InvalidModel> {
        let limits = &self.limits;
        let problem = if self.id.is_empty() || self.id.chars().count() > MAX_ID_CHARS {
            "the id must have 1 to 128 characters"
        } else if self.texts().any(|text| text.contains('\0')) {
            "a text contains the NUL character"
        } else if self.vocabulary.len() > MAX_VOCABULARY {
            "the vocabulary has too many words"
        } else if limits.size_multiple == 0 || limits.frame_stride == 0 {
            "the size multiple and the frame stride must be 1 or more"
        } else if limits.widths().is_empty() || limits.heights().is_empty() {
            "no width or no height is legal"
        } else if limits.max_frames == 0 || limits.max_steps == 0 || limits.max_prompt_chars == 0 {
            "the most frames, steps and prompt characters must be 1 or more"
        } else if !limits.max_guidance.is_finite() || limits.max_guidance < 0.0 {
            "the highest guidance must be a number that is not negative"
        } else if !self.defaults.guidance.is_finite() {
            "the usual guidance must be a number"
        } else if self.defaults.fps == 0 {
            "the frame rate must be 1 or more"
        } else {
            return Ok(());
        };
        Err(InvalidModel {
            model: self.id.chars().take(MAX_ID_CHARS).collect(),
            problem,
        })
    }

    /// How prompts for it are written.
    #[must_use]
    pub fn reads_prompts_as(&self) -> PromptFamily {
        match self.prompt_family {
            PromptFamily::Unspecified => PromptFamily::of_model(&self.id, &self.family),
            told => told,
        }
    }

    fn texts(&self) -> impl Iterator<Item = &String> {
        let negative = &self.defaults.negative_prompt;
        [&self.id, &self.family, &self.title, &self.licence, negative]
            .into_iter()
            .chain(&self.vocabulary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ModelLimits {
        ModelLimits {
            min_width: 256,
            max_width: 1280,
            min_height: 256,
            max_height: 1280,
            size_multiple: 16,
            max_frames: 81,
            frame_stride: 4,
            max_steps: 50,
            max_guidance: 10.0,
            max_prompt_chars: 100,
        }
    }

    fn check(picture: (u32, u32), expected: (u32, u32)) {
        assert_eq!(
            limits().size_for(picture, 832 * 480),
            expected,
            "{picture:?}"
        );
    }

    #[test]
    fn a_picture_decides_the_proportions_of_the_default_area() {
        check((832, 480), (832, 480));
        check((480, 832), (480, 832));
        check((1664, 960), (832, 480));
        check((1, 1), (624, 624));
        check((4000, 3000), (720, 544));
    }

    #[test]
    fn proportions_beyond_the_limits_come_as_close_as_they_can() {
        check((8192, 1), (1280, 256));
        check((1, 8192), (256, 1280));
        check((0, 0), (624, 624));
    }

    #[test]
    fn the_most_legal_frames_are_found_or_there_are_none() {
        let limits = limits();
        for (most, fewest, expected) in [
            (81, 1, Some(81)),
            (80, 1, Some(77)),
            (u32::MAX, 1, Some(81)),
            (5, 5, Some(5)),
            (4, 5, None),
            (1, 1, Some(1)),
            (0, 1, None),
        ] {
            assert_eq!(limits.frames_within(most, fewest), expected, "{most}");
        }
    }

    #[test]
    fn frames_come_to_the_nearest_number_of_the_models_form() {
        let limits = limits();
        for (frames, expected) in [
            (0.001, 1),
            (2.9, 1),
            (3.1, 5),
            (32.0, 33),
            (80.0, 81),
            (83.2, 85),
        ] {
            assert_eq!(limits.nearest_frames(frames), expected, "{frames}");
        }
        assert!(limits.nearest_frames(1e300) > limits.max_frames);
        let any = ModelLimits {
            frame_stride: 1,
            ..limits
        };
        assert_eq!(any.nearest_frames(1e300), u32::MAX);
    }

    #[test]
    fn every_picture_gets_a_legal_size() {
        let limits = limits();
        for picture in [(1, 3), (7, 5), (1000, 999), (8192, 8192), (3, 8000)] {
            let (width, height) = limits.size_for(picture, 832 * 480);
            assert!(
                limits.widths().contains(&width) && width % 16 == 0,
                "{width}"
            );
            assert!(
                limits.heights().contains(&height) && height % 16 == 0,
                "{height}"
            );
            assert!(u64::from(width) * u64::from(height) <= 832 * 480);
        }
        let tiny_area = limits.size_for((1, 1), 1);
        assert_eq!(tiny_area, (256, 256), "the smallest legal one");
    }
}
