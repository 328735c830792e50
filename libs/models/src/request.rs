//! What a caller asks of a model, what it gets, and how it keeps control meanwhile.

use kinora_nn::WeightFormat;

use crate::residency::Residency;
use crate::sampler::{Sampler, SigmaGrid};

/// One clip to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// What to show.
    pub prompt: String,
    /// What to avoid; used when `guidance` is above 1. May be empty.
    pub negative_prompt: String,
    /// Pixels; a multiple of the card's `size_multiple`.
    pub width: u32,
    /// Pixels; a multiple of the card's `size_multiple`.
    pub height: u32,
    /// One more than a multiple of the card's `frame_stride`.
    pub frames: u32,
    /// Denoising steps, at least 1.
    pub steps: u32,
    /// Classifier-free guidance scale; 1 or less costs half as much and ignores the negative prompt.
    pub guidance: f64,
    /// Decides the initial noise. The same seed means the same noise on every device.
    pub seed: u64,
    /// The solver.
    pub sampler: Sampler,
    /// The noise levels it visits.
    pub grid: SigmaGrid,
}

/// A generated clip: frames of RGB pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Number of frames.
    pub frames: u32,
    /// `frames * height * width * 3` bytes: frame after frame, row after row, R G B.
    pub rgb: Vec<u8>,
}

/// The stages of a generation, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Text to embeddings.
    Encoding,
    /// Noise to latents.
    Denoising,
    /// Latents to pixels.
    Decoding,
}

/// Step `step` of `steps` in `stage` has finished on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The stage.
    pub stage: Stage,
    /// Finished steps; 0 announces the stage.
    pub step: u32,
    /// Steps in the stage.
    pub steps: u32,
}

/// The caller's hold on a running generation.
pub trait Control {
    /// Polled between transformer blocks and between chunks of the decoder; should be cheap.
    fn is_cancelled(&self) -> bool;

    /// Called after every step, on the thread that generates.
    fn progress(&mut self, progress: Progress);
}

/// A [`Control`] that never cancels and ignores progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uncontrolled;

impl Control for Uncontrolled {
    fn is_cancelled(&self) -> bool {
        false
    }

    fn progress(&mut self, _: Progress) {}
}

/// Where a model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The processor.
    #[default]
    Cpu,
    /// The CUDA device with this index.
    Cuda(usize),
}

/// What the large matrix products are computed in. Norms, modulation, time embedding, output head,
/// latents and the autoencoder stay in 32-bit floats either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// bfloat16.
    Bf16,
}

/// How to load a model.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The device.
    pub device: DeviceChoice,
    /// The compute type.
    pub precision: Precision,
    /// How the matrices of transformer and text encoder blocks are stored.
    pub weights: WeightFormat,
    /// Where weights rest; chosen by the memory estimate when absent.
    pub residency: Option<Residency>,
    /// Memory that model and requests may take on the device; what is free there when absent.
    pub memory_limit_bytes: Option<u64>,
    /// Threads for operators on the CPU, for the whole process; libtorch decides when absent.
    pub threads: Option<usize>,
}
