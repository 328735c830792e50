//! Parameters of each network, counted from its configuration.

use kinora_nn::WeightFormat;

use super::size;
use crate::config::{ImageEncoderConfig, TextEncoderConfig, TransformerConfig, VaeConfig};

/// Bytes of a 32-bit float.
const FULL_BYTES: u64 = 4;

/// Parameters of a part of a network, by how they are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WeightPart {
    /// Elements of matrices that may be in eight bits.
    pub matrices: u64,
    /// Outputs of those matrices: each has a scale when they are in eight bits.
    pub outputs: u64,
    /// Elements in the compute type, whatever the format.
    pub compute: u64,
    /// Elements in 32-bit floats, whatever the compute type.
    pub full: u64,
}

/// Parameters of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WeightCount {
    /// One block.
    pub block: WeightPart,
    /// Number of blocks.
    pub blocks: u64,
    /// All that is not in blocks.
    pub shell: WeightPart,
    /// Elements of the largest matrix that may be in eight bits: forward makes a temporary of it.
    pub largest_matrix: u64,
}

impl WeightPart {
    /// Number of parameters.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.matrices + self.compute + self.full
    }

    /// Bytes with `compute_bytes` per element of the compute type.
    #[must_use]
    pub fn bytes(&self, compute_bytes: u64, format: WeightFormat) -> u64 {
        let matrices = match format {
            WeightFormat::Native => self.matrices * compute_bytes,
            WeightFormat::Int8 | WeightFormat::Fp8 => self.matrices + self.outputs * FULL_BYTES,
        };
        matrices + self.compute * compute_bytes + self.full * FULL_BYTES
    }

    fn plus_matrix(mut self, inputs: u64, outputs: u64) -> Self {
        self.matrices += inputs * outputs;
        self.outputs += outputs;
        self
    }
}

impl WeightCount {
    /// Number of parameters.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.shell.parameters() + self.blocks * self.block.parameters()
    }

    /// Bytes of the whole network.
    #[must_use]
    pub fn bytes(&self, compute_bytes: u64, format: WeightFormat) -> u64 {
        self.shell.bytes(compute_bytes, format)
            + self.blocks * self.block.bytes(compute_bytes, format)
    }

    /// Bytes on the device when the blocks come one by one: two of them, and all the rest.
    #[must_use]
    pub fn swapped_bytes(&self, compute_bytes: u64, format: WeightFormat) -> u64 {
        self.shell.bytes(compute_bytes, format)
            + self.blocks.min(2) * self.block.bytes(compute_bytes, format)
    }

    /// Bytes of the largest matrix that is made from eight bits, twice: allocators keep a block that
    /// was too small for it. 0 if no matrix is.
    #[must_use]
    pub fn temporary_bytes(&self, compute_bytes: u64, format: WeightFormat) -> u64 {
        match format {
            WeightFormat::Native => 0,
            WeightFormat::Int8 | WeightFormat::Fp8 => 2 * self.largest_matrix * compute_bytes,
        }
    }

    /// Counts a diffusion transformer, with its image branch if it has one.
    #[must_use]
    pub fn of_transformer(config: &TransformerConfig) -> Self {
        let (width, inner) = (size(config.width()), size(config.ffn_dim));
        let has_image = config.added_kv_proj_dim.is_some();
        let projections = if has_image { 10 } else { 8 };
        let mut block = WeightPart::default();
        for _ in 0..projections {
            block = block.plus_matrix(width, width);
        }
        block = block.plus_matrix(width, inner).plus_matrix(inner, width);
        block.compute = projections * width + inner + width; // biases
        block.full = if has_image { 5 * width } else { 4 * width }; // query and key norms
        if config.cross_attn_norm {
            block.full += 2 * width;
        }
        Self {
            block,
            blocks: size(config.num_layers),
            shell: transformer_shell(config),
            largest_matrix: (3 * width * width).max(width * inner),
        }
    }

    /// Counts a UMT5 encoder.
    #[must_use]
    pub fn of_text_encoder(config: &TextEncoderConfig) -> Self {
        let (width, attention) = (size(config.d_model), size(config.attention_width()));
        let inner = size(config.d_ff);
        let mut block = WeightPart::default();
        for _ in 0..3 {
            block = block.plus_matrix(width, attention);
        }
        block = block.plus_matrix(attention, width);
        block = block.plus_matrix(width, inner).plus_matrix(width, inner);
        block = block.plus_matrix(inner, width);
        block.compute = size(config.relative_attention_num_buckets) * size(config.num_heads);
        block.full = 2 * width;
        let shell = WeightPart {
            compute: size(config.vocab_size) * width,
            full: width,
            ..WeightPart::default()
        };
        Self {
            block,
            blocks: size(config.num_layers),
            shell,
            largest_matrix: (3 * width * attention).max(2 * width * inner),
        }
    }

    /// Counts a CLIP vision encoder as it is loaded: without the last block and the norm after it. It
    /// is never stored in eight bits, and its blocks do not come one by one.
    #[must_use]
    pub fn of_image_encoder(config: &ImageEncoderConfig) -> Self {
        let (width, inner) = (size(config.hidden_size), size(config.intermediate_size));
        let (blocks, side) = (size(config.num_hidden_layers - 1), size(config.patch_size));
        let patches = size(config.num_channels) * side * side * width;
        let block = 4 * linear(width, width) + linear(width, inner) + linear(inner, width);
        let shell = WeightPart {
            compute: patches + blocks * block,
            full: (1 + size(config.tokens()) + 2 + 4 * blocks) * width,
            ..WeightPart::default()
        };
        Self {
            shell,
            ..Self::default()
        }
    }

    /// Counts an autoencoder, encoder and decoder, of the 2.1 or the 2.2 layout.
    #[must_use]
    pub fn of_vae(config: &VaeConfig) -> Self {
        let latent = size(config.z_dim);
        let full = encoder(config)
            + decoder(config)
            + convolution(2 * latent, 2 * latent, 1)
            + convolution(latent, latent, 1);
        let shell = WeightPart {
            full,
            ..WeightPart::default()
        };
        Self {
            shell,
            ..Self::default()
        }
    }
}

/// Embeddings, modulation and head of a transformer.
fn transformer_shell(config: &TransformerConfig) -> WeightPart {
    let (width, patch) = (size(config.width()), size(config.patch_volume()));
    let mut compute = linear(size(config.in_channels) * patch, width)
        + linear(size(config.text_dim), width)
        + linear(width, width);
    let mut full = linear(size(config.freq_dim), width)
        + linear(width, width)
        + linear(width, 6 * width)
        + linear(width, size(config.out_channels) * patch)
        + 2 * width
        + size(config.num_layers) * 6 * width;
    if let Some(image) = config.image_dim.map(size) {
        compute += linear(image, image) + linear(image, width);
        let positions = config.pos_embed_seq_len.map_or(0, size);
        full += 2 * image + 2 * width + positions * image;
    }
    WeightPart {
        compute,
        full,
        ..WeightPart::default()
    }
}

/// Pixels per latent position along height and width that the network's own levels make.
pub(super) fn level_stride(config: &VaeConfig) -> u64 {
    config.temporal_downsample.iter().map(|_| 2).product()
}

/// Pixels per latent position along height and width.
pub(super) fn pixel_stride(config: &VaeConfig) -> u64 {
    level_stride(config) * config.patch_size.map_or(1, size)
}

/// Channels of a frame at the network's ends: colours, times the pixels of a patch.
pub(super) fn pixel_channels(config: &VaeConfig) -> u64 {
    let patch = config.patch_size.map_or(1, size);
    3 * patch * patch
}

fn linear(inputs: u64, outputs: u64) -> u64 {
    convolution(inputs, outputs, 1)
}

fn convolution(inputs: u64, outputs: u64, taps: u64) -> u64 {
    inputs * outputs * taps + outputs
}

fn residual_block(inputs: u64, outputs: u64) -> u64 {
    let shortcut = if inputs == outputs {
        0
    } else {
        convolution(inputs, outputs, 1)
    };
    inputs
        + convolution(inputs, outputs, 27)
        + outputs
        + convolution(outputs, outputs, 27)
        + shortcut
}

fn middle(channels: u64) -> u64 {
    let attention =
        channels + convolution(channels, 3 * channels, 1) + convolution(channels, channels, 1);
    2 * residual_block(channels, channels) + attention
}

fn encoder(config: &VaeConfig) -> u64 {
    let base = size(config.base_dim);
    let mut total = convolution(pixel_channels(config), base, 27);
    let mut inputs = base;
    for (index, width) in config.encoder_widths().into_iter().map(size).enumerate() {
        for _ in 0..config.num_res_blocks {
            total += residual_block(inputs, width);
            inputs = width;
        }
        if let Some(&halves_frames) = config.temporal_downsample.get(index) {
            total += convolution(width, width, 9);
            total += if halves_frames {
                convolution(width, width, 3)
            } else {
                0
            };
        }
    }
    total + middle(inputs) + inputs + convolution(inputs, 2 * size(config.z_dim), 27)
}

fn decoder(config: &VaeConfig) -> u64 {
    let widths: Vec<u64> = config.decoder_widths().into_iter().map(size).collect();
    let first = widths.first().copied().unwrap_or_default();
    let mut total = convolution(size(config.z_dim), first, 27) + middle(first);
    let mut inputs = first;
    for (index, &width) in widths.iter().enumerate() {
        for _ in 0..=config.num_res_blocks {
            total += residual_block(inputs, width);
            inputs = width;
        }
        if let Some(&doubles) = config.temporal_downsample.iter().rev().nth(index) {
            inputs = upsampled_channels(config, width);
            total += convolution(width, inputs, 9);
            total += if doubles {
                convolution(width, 2 * width, 3)
            } else {
                0
            };
        }
    }
    total + inputs + convolution(inputs, pixel_channels(config), 27)
}

/// Channels after an upsampler: the 2.1 layout halves them.
pub(super) fn upsampled_channels(config: &VaeConfig, width: u64) -> u64 {
    if config.is_residual { width } else { width / 2 }
}

#[cfg(test)]
mod tests;
