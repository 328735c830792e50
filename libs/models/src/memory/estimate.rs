//! What one request takes under given policies.

use kinora_nn::WeightFormat;

use super::activations::{self, LatentSize};
use super::size;
use super::weights::{WeightCount, pixel_stride};
use crate::config::WanConfig;
use crate::request::{Precision, Stage};
use crate::residency::Residency;

/// Percent of a stage's activations that fragmentation and kernels' work space may add.
const MARGIN_PERCENT: u64 = 20;
/// What a CUDA context, its kernels and the libraries' work spaces take.
const CUDA_OVERHEAD_BYTES: u64 = 1 << 30;
/// What threads and libraries of a process on the CPU take once they are in use.
pub const CPU_OVERHEAD_BYTES: u64 = 32 << 20;
/// glibc keeps freed blocks of up to 32 MiB in its heap, where they fragment: up to half of small
/// activations stays behind (measured), but of large ones only so much.
const MAX_HEAP_LEFTOVER_BYTES: u64 = 256 << 20;

/// Size of a clip in pixels and frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipSize {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames.
    pub frames: u32,
}

/// What is given, besides configuration and request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryOptions {
    /// The compute type.
    pub precision: Precision,
    /// How the blocks' matrices are stored.
    pub weights: WeightFormat,
    /// The policy, if it is not to be chosen.
    pub residency: Option<Residency>,
    /// Whether the device is the processor: host and device are then the same memory, and weights
    /// that rest on the host count as well.
    pub is_cpu: bool,
    /// Whether there is a negative prompt to guide by.
    pub is_guided: bool,
}

/// What is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) residency: Residency,
    /// Positions a side of the autoencoder's tiles; whole when absent.
    pub(super) tile: Option<u64>,
    pub(super) batch: u64,
}

/// One stage, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageEstimate {
    /// The stage.
    pub stage: Stage,
    /// Weights on the device.
    pub weights: u64,
    /// All other tensors at the worst moment, margin included.
    pub activations: u64,
}

/// What a request takes, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Weights of the text encoder, as stored.
    pub text_encoder: u64,
    /// Weights of the transformer, as stored.
    pub transformer: u64,
    /// Weights of the autoencoder.
    pub vae: u64,
    /// Every stage.
    pub stages: [StageEstimate; 3],
    /// What the process takes on the device before any tensor.
    pub overhead: u64,
    /// Peak on the device: the largest stage and the overhead.
    pub total: u64,
    /// Weights that rest on the host.
    pub host: u64,
}

impl StageEstimate {
    /// Weights and activations.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.weights + self.activations
    }
}

impl Estimate {
    pub(super) fn new(
        config: &WanConfig,
        clip: ClipSize,
        options: &MemoryOptions,
        choice: Choice,
    ) -> Self {
        let compute = compute_bytes(options.precision);
        let counts = [
            WeightCount::of_text_encoder(&config.text_encoder),
            WeightCount::of_transformer(&config.transformer),
            WeightCount::of_vae(&config.vae),
        ];
        let stored = counts.map(|count| count.bytes(compute, options.weights));
        let all: u64 = stored.iter().sum();
        let live = live_bytes(config, clip, options, choice);
        let names = [Stage::Encoding, Stage::Denoising, Stage::Decoding];
        let stages = [0, 1, 2].map(|index| StageEstimate {
            stage: names[index],
            weights: match choice.residency {
                Residency::Resident => all,
                Residency::StageOffload => stored[index],
                Residency::BlockSwap => counts[index].swapped_bytes(compute, options.weights),
            },
            activations: with_margin(
                live[index] + counts[index].temporary_bytes(compute, options.weights),
                options.is_cpu,
            ),
        });
        let is_resident = choice.residency == Residency::Resident;
        let host = if is_resident { 0 } else { all };
        let overhead = if options.is_cpu {
            CPU_OVERHEAD_BYTES + host
        } else {
            CUDA_OVERHEAD_BYTES
        };
        let largest = stages.iter().map(StageEstimate::total).max();
        let [text_encoder, transformer, vae] = stored;
        Self {
            text_encoder,
            transformer,
            vae,
            stages,
            overhead,
            total: overhead + largest.unwrap_or_default(),
            host,
        }
    }
}

/// What lives besides the weights in every stage.
fn live_bytes(
    config: &WanConfig,
    clip: ClipSize,
    options: &MemoryOptions,
    choice: Choice,
) -> [u64; 3] {
    let compute = compute_bytes(options.precision);
    let latents = latent_size(config, clip);
    [
        activations::text_encoder(&config.text_encoder, compute),
        activations::denoise(&config.transformer, latents, choice.batch, compute),
        match choice.tile {
            None => activations::decode(&config.vae, latents),
            Some(tile) => activations::decode_tiled(&config.vae, latents, tile),
        },
    ]
}

/// Latents of a clip, its sides and frames rounded up.
pub(super) fn latent_size(config: &WanConfig, clip: ClipSize) -> LatentSize {
    let vae = &config.vae;
    let stride = pixel_stride(vae).max(1);
    let frame_stride = size(vae.temporal_stride()).max(1);
    LatentSize {
        frames: 1 + u64::from(clip.frames)
            .saturating_sub(1)
            .div_ceil(frame_stride),
        height: u64::from(clip.height).div_ceil(stride),
        width: u64::from(clip.width).div_ceil(stride),
    }
}

/// Bytes of an element of the compute type.
fn compute_bytes(precision: Precision) -> u64 {
    match precision {
        Precision::F32 => 4,
        Precision::Bf16 => 2,
    }
}

/// Activations with what fragmentation and work spaces may add.
#[must_use]
pub fn with_margin(activations: u64, is_cpu: bool) -> u64 {
    let margin = activations / 100 * MARGIN_PERCENT;
    let leftover = if is_cpu {
        (activations / 2).min(MAX_HEAP_LEFTOVER_BYTES)
    } else {
        0
    };
    activations + margin + leftover
}
