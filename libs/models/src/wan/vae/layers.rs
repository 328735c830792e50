//! The layers that encoder and decoder share.

use kinora_nn::{CausalConv3d, Conv2d, FeatureCache, Weights, WeightsError, parameters};
use tch::{Kind, Tensor};

/// Smallest norm that is divided by, as in torch's `normalize`.
const MIN_NORM: f64 = 1e-12;

/// Divides each position by the root mean square of its channels, and scales.
#[derive(Debug)]
pub(super) struct ChannelNorm {
    /// `[1, c, 1, 1]`, includes the root of the number of channels
    scale: Tensor,
}

parameters!(ChannelNorm { scale; });

impl ChannelNorm {
    /// Reads `gamma`, which has `dimensions` axes in the file.
    pub(super) fn load(
        weights: &Weights,
        channels: i64,
        dimensions: usize,
    ) -> Result<Self, WeightsError> {
        let mut shape = vec![1; dimensions];
        shape[0] = channels;
        let gamma = weights.get_f32("gamma", &shape)?.view([1, channels, 1, 1]);
        Ok(Self {
            scale: gamma * (channels as f64).sqrt(),
        })
    }

    /// `[f, c, h, w]` to the same
    pub(super) fn forward(&self, input: &Tensor) -> Tensor {
        let norm = input.linalg_norm(2.0, [1].as_slice(), true, Kind::Float);
        input / norm.clamp_min(MIN_NORM) * &self.scale
    }
}

/// Two causal convolutions around a shortcut.
#[derive(Debug)]
pub(super) struct ResidualBlock {
    norm1: ChannelNorm,
    conv1: CausalConv3d,
    norm2: ChannelNorm,
    conv2: CausalConv3d,
    shortcut: Option<CausalConv3d>,
}

parameters!(ResidualBlock { norm1, conv1, norm2, conv2, shortcut; });

impl ResidualBlock {
    pub(super) fn load(weights: &Weights, inputs: i64, outputs: i64) -> Result<Self, WeightsError> {
        let shortcut = (inputs != outputs)
            .then(|| CausalConv3d::load(&weights.sub("conv_shortcut"), inputs, outputs, 1, 1));
        Ok(Self {
            norm1: ChannelNorm::load(&weights.sub("norm1"), inputs, 4)?,
            conv1: CausalConv3d::load(&weights.sub("conv1"), inputs, outputs, 3, 3)?,
            norm2: ChannelNorm::load(&weights.sub("norm2"), outputs, 4)?,
            conv2: CausalConv3d::load(&weights.sub("conv2"), outputs, outputs, 3, 3)?,
            shortcut: shortcut.transpose()?,
        })
    }

    /// `[f, i, h, w]` to `[f, o, h, w]`
    pub(super) fn forward(&self, input: &Tensor, cache: &mut FeatureCache) -> Tensor {
        let hidden = self.norm1.forward(input).silu_();
        let hidden = self.conv1.forward(&hidden, cache);
        let hidden = self.norm2.forward(&hidden).silu_();
        let hidden = self.conv2.forward(&hidden, cache);
        match &self.shortcut {
            Some(shortcut) => hidden + shortcut.forward(input, cache),
            None => hidden + input,
        }
    }
}

/// Self attention within each frame, one head.
#[derive(Debug)]
struct FrameAttention {
    norm: ChannelNorm,
    to_qkv: Conv2d,
    out: Conv2d,
}

parameters!(FrameAttention { norm, to_qkv, out; });

impl FrameAttention {
    fn load(weights: &Weights, channels: i64) -> Result<Self, WeightsError> {
        Ok(Self {
            norm: ChannelNorm::load(&weights.sub("norm"), channels, 3)?,
            to_qkv: Conv2d::load(&weights.sub("to_qkv"), channels, 3 * channels, 1, 1, 0)?,
            out: Conv2d::load(&weights.sub("proj"), channels, channels, 1, 1, 0)?,
        })
    }

    /// `[f, c, h, w]` to the same
    fn forward(&self, input: &Tensor) -> Tensor {
        let size = input.size();
        let qkv = self.to_qkv.forward(&self.norm.forward(input));
        let qkv = qkv.flatten(2, 3).transpose(1, 2).contiguous().unsqueeze(1); // [f, 1, h*w, 3c]
        let qkv = qkv.chunk(3, -1);
        let mixed = kinora_nn::scaled_dot_product_attention(&qkv[0], &qkv[1], &qkv[2], None, None);
        let mixed = mixed
            .reshape([size[0], size[2], size[3], size[1]])
            .permute([0, 3, 1, 2]);
        input + self.out.forward(&mixed)
    }
}

/// The middle of both networks: residual block, attention, residual block.
#[derive(Debug)]
pub(super) struct MiddleBlock {
    before: ResidualBlock,
    attention: FrameAttention,
    after: ResidualBlock,
}

parameters!(MiddleBlock { before, attention, after; });

impl MiddleBlock {
    pub(super) fn load(weights: &Weights, channels: i64) -> Result<Self, WeightsError> {
        let residual = weights.sub("resnets");
        Ok(Self {
            before: ResidualBlock::load(&residual.sub(0), channels, channels)?,
            attention: FrameAttention::load(&weights.sub("attentions").sub(0), channels)?,
            after: ResidualBlock::load(&residual.sub(1), channels, channels)?,
        })
    }

    /// `[f, c, h, w]` to the same
    pub(super) fn forward(&self, input: &Tensor, cache: &mut FeatureCache) -> Tensor {
        let hidden = self.attention.forward(&self.before.forward(input, cache));
        self.after.forward(&hidden, cache)
    }
}

/// Norm, activation and the last convolution.
#[derive(Debug)]
pub(super) struct OutputLayer {
    norm: ChannelNorm,
    conv: CausalConv3d,
}

parameters!(OutputLayer { norm, conv; });

impl OutputLayer {
    pub(super) fn load(weights: &Weights, inputs: i64, outputs: i64) -> Result<Self, WeightsError> {
        Ok(Self {
            norm: ChannelNorm::load(&weights.sub("norm_out"), inputs, 4)?,
            conv: CausalConv3d::load(&weights.sub("conv_out"), inputs, outputs, 3, 3)?,
        })
    }

    /// `[f, i, h, w]` to `[f, o, h, w]`
    pub(super) fn forward(&self, input: &Tensor, cache: &mut FeatureCache) -> Tensor {
        self.conv.forward(&self.norm.forward(input).silu_(), cache)
    }
}
