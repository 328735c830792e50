//! What one request takes under given policies.

use kinora_nn::WeightFormat;

use super::activations::{self, LatentSize};
use super::size;
use super::weights::{WeightCount, pixel_stride};
use crate::config::{ImageEncoderConfig, WanConfig};
use crate::request::{Precision, Stage};
use crate::residency::Residency;
use crate::wan::Family;

/// Percent of a stage's activations that fragmentation and kernels' work space may add on CUDA, not
/// measured yet.
const CUDA_MARGIN_PERCENT: u64 = 20;
/// The same on the CPU, so that no measured case is above its estimate.
const CPU_MARGIN_PERCENT: u64 = 36;
/// What a CUDA context, its kernels and the libraries' work spaces take.
const CUDA_OVERHEAD_BYTES: u64 = 1 << 30;
/// What threads and libraries of a process on the CPU take once they are in use.
const CPU_OVERHEAD_BYTES: u64 = 32 << 20;
/// glibc keeps freed blocks of up to 32 MiB in its heap, where they fragment: up to a third of small
/// activations stays behind (measured), but of large ones only so much.
const MAX_HEAP_LEFTOVER_BYTES: u64 = 256 << 20;
/// For the same reason reading weights leaves up to a third of them behind, but no more than this.
const MAX_LOADING_LEFTOVER_BYTES: u64 = 96 << 20;

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
    /// Whether the transformer remembers its last whole step.
    pub has_step_cache: bool,
}

/// What is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) residency: Residency,
    /// Positions a side of the tiles that are encoded; whole when absent.
    pub(super) encode_tile: Option<u64>,
    /// Positions a side of the tiles that are decoded; whole when absent.
    pub(super) tile: Option<u64>,
    pub(super) batch: u64,
}

/// The networks of a model.
struct Networks {
    text_encoder: WeightCount,
    /// Nothing in families without one.
    image_encoder: WeightCount,
    transformer: WeightCount,
    vae: WeightCount,
}

/// A network at work: what besides its weights is there at the worst moment.
struct Work {
    stage: Stage,
    network: WeightCount,
    live: u64,
}

/// One stage, in bytes, at the network that takes the most.
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
    /// Weights of the image encoder; 0 in families without one.
    pub image_encoder: u64,
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
        let networks = Networks::count(config);
        let stored = |network: WeightCount| network.bytes(compute, options.weights);
        let all: u64 = networks.all().into_iter().map(stored).sum();
        let works = works(config, &networks, clip, options, choice);
        let stages = [Stage::Encoding, Stage::Denoising, Stage::Decoding].map(|stage| {
            let of_stage = works.iter().filter(|work| work.stage == stage);
            let estimates = of_stage.map(|work| work.estimate(options, choice.residency, all));
            let largest = estimates.max_by_key(StageEstimate::total);
            largest.unwrap_or(StageEstimate {
                stage,
                weights: 0,
                activations: 0,
            })
        });
        let is_resident = choice.residency == Residency::Resident;
        let host = if is_resident { 0 } else { all };
        let overhead = if options.is_cpu {
            cpu_overhead_bytes(all) + host
        } else {
            CUDA_OVERHEAD_BYTES
        };
        let largest = stages.iter().map(StageEstimate::total).max();
        Self {
            text_encoder: stored(networks.text_encoder),
            image_encoder: stored(networks.image_encoder),
            transformer: stored(networks.transformer),
            vae: stored(networks.vae),
            stages,
            overhead,
            total: overhead + largest.unwrap_or_default(),
            host,
        }
    }
}

impl Networks {
    fn count(config: &WanConfig) -> Self {
        let image_encoder = config.image_encoder.as_ref();
        Self {
            text_encoder: WeightCount::of_text_encoder(&config.text_encoder),
            image_encoder: image_encoder
                .map(WeightCount::of_image_encoder)
                .unwrap_or_default(),
            transformer: WeightCount::of_transformer(&config.transformer),
            vae: WeightCount::of_vae(&config.vae),
        }
    }

    fn all(&self) -> [WeightCount; 4] {
        [
            self.text_encoder,
            self.image_encoder,
            self.transformer,
            self.vae,
        ]
    }
}

impl Work {
    /// `all` are the bytes of all networks, which stay where they are if they are resident.
    fn estimate(&self, options: &MemoryOptions, residency: Residency, all: u64) -> StageEstimate {
        let (compute, format) = (compute_bytes(options.precision), options.weights);
        let temporary = self.network.temporary_bytes(compute, format);
        StageEstimate {
            stage: self.stage,
            weights: match residency {
                Residency::Resident => all,
                Residency::StageOffload => self.network.bytes(compute, format),
                Residency::BlockSwap => self.network.swapped_bytes(compute, format),
            },
            activations: with_margin(self.live + temporary, options.is_cpu),
        }
    }
}

/// Every network at work, one after the other.
fn works(
    config: &WanConfig,
    networks: &Networks,
    clip: ClipSize,
    options: &MemoryOptions,
    choice: Choice,
) -> Vec<Work> {
    let compute = compute_bytes(options.precision);
    let latents = latent_size(config, clip);
    let work = |stage, network, live| Work {
        stage,
        network,
        live,
    };
    let text = activations::text_encoder(&config.text_encoder, compute);
    let mut works = vec![work(Stage::Encoding, networks.text_encoder, text)];
    if let Some(encoder) = &config.image_encoder {
        let live = activations::image_encoder(encoder, compute);
        works.push(work(Stage::Encoding, networks.image_encoder, live));
    }
    if let Some(given) = given_size(config, latents) {
        let live = match choice.encode_tile {
            None => activations::encode(&config.vae, given),
            Some(tile) => activations::encode_tiled(&config.vae, given, tile),
        };
        works.push(work(Stage::Encoding, networks.vae, live));
    }
    let tokens = image_tokens(config);
    let mut live =
        activations::denoise(&config.transformer, latents, choice.batch, tokens, compute);
    if options.has_step_cache {
        let prompts = if options.is_guided { 2 } else { 1 };
        live += activations::step_cache(&config.transformer, latents, prompts);
    }
    works.push(work(Stage::Denoising, networks.transformer, live));
    let live = match choice.tile {
        None => activations::decode(&config.vae, latents),
        Some(tile) => activations::decode_tiled(&config.vae, latents, tile),
    };
    works.push(work(Stage::Decoding, networks.vae, live));
    works
}

/// Latents of what is encoded of a request's pictures: a clip that is gray but for them, or the first
/// frame. None in families without pictures; where one may be left out it is counted.
pub(super) fn given_size(config: &WanConfig, latents: LatentSize) -> Option<LatentSize> {
    match config.family() {
        Family::TextToVideo => None,
        Family::ImageToVideo | Family::FirstLastToVideo => Some(latents),
        Family::TextImageToVideo => Some(LatentSize {
            frames: 1,
            ..latents
        }),
    }
}

/// Tokens of the pictures that the transformer attends to.
fn image_tokens(config: &WanConfig) -> u64 {
    let both = config.transformer.pos_embed_seq_len;
    let one = || {
        config
            .image_encoder
            .as_ref()
            .map(ImageEncoderConfig::tokens)
    };
    both.or_else(one).map_or(0, size)
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

/// What a process on the CPU takes besides its tensors once it has read so many bytes of weights.
#[must_use]
pub fn cpu_overhead_bytes(weights: u64) -> u64 {
    CPU_OVERHEAD_BYTES + (weights / 3).min(MAX_LOADING_LEFTOVER_BYTES)
}

/// Activations with what fragmentation and work spaces may add.
#[must_use]
pub fn with_margin(activations: u64, is_cpu: bool) -> u64 {
    let percent = if is_cpu {
        CPU_MARGIN_PERCENT
    } else {
        CUDA_MARGIN_PERCENT
    };
    let margin = activations / 100 * percent;
    let leftover = if is_cpu {
        (activations / 3).min(MAX_HEAP_LEFTOVER_BYTES)
    } else {
        0
    };
    activations + margin + leftover
}
