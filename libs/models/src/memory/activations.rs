//! What lives besides the weights, in bytes, at the worst moment of each stage.
//!
//! Every formula names the tensors that the code holds at that moment. `compute` is the size of an
//! element of the compute type, 4 or 2 bytes.

use super::size;
use super::weights::{WeightCount, level_stride, pixel_channels, pixel_stride, upsampled_channels};
use crate::config::{ImageEncoderConfig, TextEncoderConfig, TransformerConfig, VaeConfig};
use crate::wan::vae::CHUNK_POSITIONS;

/// Bytes of a 32-bit float.
const FULL: u64 = 4;
/// Text slots of a transformer and tokens of the longest prompt.
const TEXT_SLOTS: u64 = 512;
/// Latents and velocities that solver and guidance hold at once.
const SOLVER_TENSORS: u64 = 10;
/// Frames that a causal convolution remembers.
const HISTORY: u64 = 2;

/// The latents of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatentSize {
    /// Latent frames.
    pub frames: u64,
    /// Latent rows.
    pub height: u64,
    /// Latent columns.
    pub width: u64,
}

impl LatentSize {
    /// Positions of all frames.
    #[must_use]
    pub fn positions(&self) -> u64 {
        self.frames * self.height * self.width
    }
}

/// Tokens of a clip.
#[must_use]
pub fn tokens(config: &TransformerConfig, latents: LatentSize) -> u64 {
    let [frames, height, width] = config.patch_size.map(|side| size(side).max(1));
    (latents.frames / frames) * (latents.height / height) * (latents.width / width)
}

/// The text encoder at its longest prompt.
///
/// Per token: the stream, its norm and a branch in 32-bit floats; query, key, value, the mix of them
/// and their copies; gate, value, their product. Per head and pair of tokens: the position bias, its
/// copy and the scores where a kernel keeps them. Per pair: the buckets.
#[must_use]
pub fn text_encoder(config: &TextEncoderConfig, compute: u64) -> u64 {
    let (width, attention) = (size(config.d_model), size(config.attention_width()));
    let per_token = 6 * FULL * width + 5 * compute * attention + 4 * compute * size(config.d_ff);
    let per_pair = size(config.num_heads) * 2 * (compute + FULL) + 64;
    TEXT_SLOTS * (per_token + TEXT_SLOTS * per_pair)
}

/// The image encoder at one picture.
///
/// Per token: the stream, its sum with a branch and the norm of it in 32-bit floats; query, key, value
/// and their mix; the hidden layer before, within and after its activation. Per head and pair of
/// tokens: the scores where a kernel keeps them. Per pixel: the picture as bytes, as floats and
/// normalised, twice.
#[must_use]
pub fn image_encoder(config: &ImageEncoderConfig, compute: u64) -> u64 {
    let (width, tokens) = (size(config.hidden_size), size(config.tokens()));
    let per_token =
        3 * FULL * width + 4 * compute * width + 3 * compute * size(config.intermediate_size);
    let per_pair = size(config.num_attention_heads) * (compute + FULL);
    let pixels = size(config.num_channels) * size(config.image_size) * size(config.image_size);
    tokens * (per_token + tokens * per_pair) + 4 * FULL * pixels
}

/// The transformer over `batch` texts at once, which share `image_tokens`; solver, latents and given
/// channels included.
#[must_use]
pub fn denoise(
    config: &TransformerConfig,
    latents: LatentSize,
    batch: u64,
    image_tokens: u64,
    compute: u64,
) -> u64 {
    let (width, inner) = (size(config.width()), size(config.ffn_dim));
    let rows = batch * tokens(config, latents);
    let block = rows * self_attention(width, compute).max(feed_forward(width, inner, compute));
    let slots = batch * TEXT_SLOTS + image_tokens;
    let cross_keys = size(config.num_layers) * slots * 2 * width * compute;
    let rope = tokens(config, latents) * size(config.attention_head_dim) * FULL;
    let (read, written) = (size(config.in_channels), size(config.out_channels));
    // What the network reads, as latents and as patches, and the given channels of it.
    let inputs = 2 * read + read.saturating_sub(written);
    let channels = SOLVER_TENSORS * batch * written + inputs;
    block + cross_keys + rope + channels * latents.positions() * FULL
}

/// What the step cache remembers of each prompt: two tensors of the size of the stream.
#[must_use]
pub fn step_cache(config: &TransformerConfig, latents: LatentSize, prompts: u64) -> u64 {
    2 * prompts * tokens(config, latents) * size(config.width()) * FULL
}

/// Bytes per token of a block's self attention: the stream; query, key and value; query and key,
/// normalised and rotated, in 32-bit floats, with their cast, or with the mix where there is none.
fn self_attention(width: u64, compute: u64) -> u64 {
    let cast_or_mix = if compute == FULL { FULL } else { 2 * compute };
    width * (FULL + 3 * compute + 2 * FULL + cast_or_mix)
}

/// Bytes per token of a block's feed-forward: the stream, and the norm of it in 32-bit floats with
/// its cast, or the output with its cast; the hidden layer.
fn feed_forward(width: u64, inner: u64, compute: u64) -> u64 {
    let cast = if compute == FULL { 0 } else { compute };
    width * (2 * FULL + cast) + inner * compute
}

/// Decoding latents to the bytes of a clip, whole.
#[must_use]
pub fn decode(config: &VaeConfig, latents: LatentSize) -> u64 {
    let frames = decoded_bytes(config, latents);
    let decoder = decoder_peak(config, latents) + reordered_weights(config);
    // The pixels, scaled twice in 32-bit floats, then bytes in two orders.
    let conversion = 3 * frames + frames / 2;
    decoder.max(conversion)
}

/// Decoding tile by tile, with tiles of at most `tile` positions a side.
#[must_use]
pub fn decode_tiled(config: &VaeConfig, latents: LatentSize, tile: u64) -> u64 {
    let part = tile_of(latents, tile);
    let frames = decoded_bytes(config, latents);
    let conversion = 3 * frames + frames / 2;
    (frames + decoder_peak(config, part) + reordered_weights(config)).max(conversion)
}

/// Encoding tile by tile, with tiles of at most `tile` positions a side; the clip's pixels included.
#[must_use]
pub fn encode_tiled(config: &VaeConfig, latents: LatentSize, tile: u64) -> u64 {
    let part = tile_of(latents, tile);
    let rest = decoded_bytes(config, latents) - decoded_bytes(config, part);
    rest + encode(config, part)
}

/// The largest tile of a clip.
fn tile_of(latents: LatentSize, tile: u64) -> LatentSize {
    LatentSize {
        height: latents.height.min(tile),
        width: latents.width.min(tile),
        ..latents
    }
}

/// Encoding a clip whole, its pixels included.
#[must_use]
pub fn encode(config: &VaeConfig, latents: LatentSize) -> u64 {
    let side = level_stride(config);
    let mut positions = latents.height * latents.width * side * side;
    let mut frames = size(config.temporal_stride());
    let mut peak = Peak::default();
    let base = size(config.base_dim);
    peak.convolution(positions, frames, pixel_channels(config), base, 1);
    let mut inputs = base;
    for (index, width) in config.encoder_widths().into_iter().map(size).enumerate() {
        peak.keep(config, positions * frames * inputs);
        let entered = positions * frames * inputs;
        for _ in 0..config.num_res_blocks {
            peak.residual_block(positions, frames, inputs, width);
            inputs = width;
        }
        if let Some(&halves) = config.temporal_downsample.get(index) {
            // The padded picture and a quarter of it.
            peak.at_once(positions * frames * width * 3);
            positions /= 4;
            if halves {
                peak.convolution(positions, frames, width, width, 2);
                frames = (frames / 2).max(1);
            }
        }
        // The input with black frames before it, in its new order, and the result.
        peak.shortcut(config, 2 * entered + positions * frames * width);
    }
    let pixels = decoded_bytes(config, latents);
    // Measured, of unknown cause: half as much again as the layers' tensors.
    pixels + peak.bytes() * 3 / 2 + reordered_weights(config)
}

/// A third of the autoencoder's weights, which is what a first pass takes besides (measured; probably
/// weights in the order that convolution kernels like).
fn reordered_weights(config: &VaeConfig) -> u64 {
    WeightCount::of_vae(config).parameters() * FULL / 3
}

/// Bytes of the decoded frames in 32-bit floats.
fn decoded_bytes(config: &VaeConfig, latents: LatentSize) -> u64 {
    let side = pixel_stride(config);
    let frames = 1 + latents.frames.saturating_sub(1) * size(config.temporal_stride());
    frames * 3 * latents.height * latents.width * side * side * FULL
}

/// The decoder with the frames that are finished: at its largest layer, or when they are joined.
fn decoder_peak(config: &VaeConfig, latents: LatentSize) -> u64 {
    let mut positions = latents.height * latents.width;
    let chunk = size(CHUNK_POSITIONS) / positions.max(1);
    let chunk = chunk.max(1);
    let mut frames = chunk.min(latents.frames.saturating_sub(1).max(1));
    let widths: Vec<u64> = config.decoder_widths().into_iter().map(size).collect();
    let first = widths.first().copied().unwrap_or_default();
    let mut peak = Peak::default();
    peak.convolution(positions, frames, size(config.z_dim), first, 1);
    peak.residual_block(positions, frames, first, first);
    peak.residual_block(positions, frames, first, first);
    let mut inputs = first;
    for (index, &width) in widths.iter().enumerate() {
        peak.keep(config, positions * frames * inputs);
        for _ in 0..=config.num_res_blocks {
            peak.residual_block(positions, frames, inputs, width);
            inputs = width;
        }
        if let Some(&doubles) = config.temporal_downsample.iter().rev().nth(index) {
            if doubles {
                peak.convolution(positions, frames, width, 2 * width, 1);
                frames *= 2;
            }
            inputs = upsampled_channels(config, width);
            // The picture, its enlargement and the result, all of them channels last.
            peak.at_once(positions * frames * (width + 4 * width + 4 * inputs));
            positions *= 4;
            // Its copies, in their new order, and the result.
            peak.shortcut(config, 3 * positions * frames * inputs);
        }
        peak.kept = 0;
    }
    peak.convolution(positions, frames, inputs, pixel_channels(config), 2);
    let finished = decoded_bytes(config, latents);
    (peak.bytes() + finished).max(peak.remembered * FULL + 2 * finished)
}

/// Elements of the autoencoder's largest layer, and of what its convolutions remember.
#[derive(Debug, Default)]
struct Peak {
    layer: u64,
    remembered: u64,
    /// The input of a level, for the shortcut around it.
    kept: u64,
}

impl Peak {
    /// A causal convolution beside `held` tensors like its input: the input with its history, three
    /// neighbouring frames side by side, the output.
    fn convolution(&mut self, positions: u64, frames: u64, inputs: u64, outputs: u64, held: u64) {
        let history = 2 * HISTORY * inputs; // as it was and as it will be
        let layer = (held + 4) * frames * inputs + history + frames * outputs;
        self.at_once(positions * layer);
        self.remembered += positions * HISTORY * inputs;
    }

    /// Two convolutions around a shortcut: at the second one the input, two norms and the first
    /// result are still there.
    fn residual_block(&mut self, positions: u64, frames: u64, inputs: u64, outputs: u64) {
        self.convolution(positions, frames, inputs, outputs, 2);
        let held_inputs = 2 * frames * inputs * positions;
        let before = self.layer;
        self.convolution(positions, frames, outputs, outputs, 2);
        let second = positions * (7 * frames * outputs + 2 * HISTORY * outputs) + held_inputs;
        self.layer = before.max(second + self.kept);
    }

    fn at_once(&mut self, elements: u64) {
        self.layer = self.layer.max(elements + self.kept);
    }

    /// A level of the 2.2 layout begins, whose input has so many elements.
    fn keep(&mut self, config: &VaeConfig, elements: u64) {
        self.kept = if config.is_residual { elements } else { 0 };
    }

    /// The way around a level, with so many elements besides its input.
    fn shortcut(&mut self, config: &VaeConfig, elements: u64) {
        if config.is_residual {
            self.at_once(elements);
        }
        self.kept = 0;
    }

    fn bytes(&self) -> u64 {
        (self.layer + self.remembered) * FULL
    }
}
