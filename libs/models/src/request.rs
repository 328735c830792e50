//! What a caller asks of a model, what it gets, and how it keeps control meanwhile.

use kinora_nn::WeightFormat;

use crate::card::ModelCard;
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
    /// The first frame; image-to-video models need it, text-to-video models refuse it.
    pub image: Option<Picture>,
    /// The last frame; only models made for first and last frames take it.
    pub last_image: Option<Picture>,
}

impl GenerateRequest {
    /// A clip of what the model gives to a request that says nothing else.
    #[must_use]
    pub fn with_defaults(card: &ModelCard, prompt: &str, seed: u64) -> Self {
        let defaults = &card.defaults;
        Self {
            prompt: prompt.to_owned(),
            negative_prompt: defaults.negative_prompt.clone(),
            width: defaults.width,
            height: defaults.height,
            frames: defaults.frames,
            steps: defaults.steps,
            guidance: defaults.guidance,
            seed,
            sampler: defaults.sampler,
            grid: defaults.grid,
            image: None,
            last_image: None,
        }
    }
}

/// A still picture of RGB pixels.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels, at least 1.
    pub width: u32,
    /// Pixels, at least 1.
    pub height: u32,
    /// `height * width * 3` bytes: row after row, R G B.
    pub rgb: Vec<u8>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Picture({} x {})", self.width, self.height)
    }
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

/// What the caller wants of a running generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// To go on.
    GoOn,
    /// To hand over a checkpoint of the last finished step and stop.
    Pause,
    /// To stop.
    Cancel,
}

/// A generation at the end of a step, from which another process can go on to the same bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Finished denoising steps, at least 1.
    pub step: u32,
    /// Denoising steps in all.
    pub steps: u32,
    /// One safetensors file; its contents are the pipeline's own business.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Checkpoint({} of {})", self.step, self.steps)
    }
}

/// The caller's hold on a running generation. All methods are called on the thread that generates.
pub trait Control {
    /// Polled between transformer blocks and between chunks of the decoder; should be cheap.
    fn signal(&self) -> Signal;

    /// Called after every step, when the device has finished it.
    fn progress(&mut self, progress: Progress);

    /// Asked after every denoising step: true makes a checkpoint of it.
    fn wants_checkpoint(&mut self) -> bool {
        false
    }

    /// Receives a checkpoint that was asked for, or that a pause makes.
    fn checkpoint(&mut self, _: Checkpoint) {}

    /// The checkpoint to resume from cannot be used, and why; the generation starts over.
    fn checkpoint_refused(&mut self, _: &str) {}

    /// Asked after every denoising step but the last: true makes a preview of it.
    fn wants_preview(&mut self) -> bool {
        false
    }

    /// Receives a small picture of what the middle of the clip begins to look like.
    fn preview(&mut self, _: Picture) {}
}

/// A [`Control`] that never cancels and ignores progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uncontrolled;

impl Control for Uncontrolled {
    fn signal(&self) -> Signal {
        Signal::GoOn
    }

    fn progress(&mut self, _: Progress) {}
}

/// Where a model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
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
    /// How much a step may differ from the last whole one before the network is run whole again, see
    /// [`crate::wan::StepCache`]. 0 is off; anything else makes other clips.
    pub step_cache: f64,
}
