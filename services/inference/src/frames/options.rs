//! Whether and how frames are checked.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Frames that are looked at, besides the first and the last.
pub const DEFAULT_SAMPLES: u32 = 8;

/// What becomes of a clip that a person should look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FrameReview {
    /// It is kept in the object store, where no caller gets it, until its job is removed.
    Keep,
    /// It is thrown away.
    #[default]
    Discard,
}

/// Whether and how frames are checked, here and in `kinora up`.
#[derive(Args, Clone, Debug)]
pub struct FrameOptions {
    /// ONNX file of a detector that looks at every clip before it is delivered. Without one nobody looks.
    #[arg(long, env = "KINORA_FRAME_DETECTOR")]
    pub frame_detector: Option<PathBuf>,
    /// TOML file that says what the detector's findings mean [default: the built-in policy].
    #[arg(long, env = "KINORA_FRAME_POLICY")]
    pub frame_policy: Option<PathBuf>,
    /// How many frames the detector looks at, besides the first and the last.
    #[arg(long, env = "KINORA_FRAME_SAMPLES", default_value_t = DEFAULT_SAMPLES, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub frame_samples: u32,
    /// What becomes of clips that a person should look at. Nobody gets them either way.
    #[arg(long, env = "KINORA_FRAME_REVIEW", value_enum, default_value_t = FrameReview::Discard)]
    pub frame_review: FrameReview,
}

impl Default for FrameOptions {
    fn default() -> Self {
        Self {
            frame_detector: None,
            frame_policy: None,
            frame_samples: DEFAULT_SAMPLES,
            frame_review: FrameReview::default(),
        }
    }
}
