//! Latents to frames.

use kinora_nn::{CausalConv3d, Conv2d, FeatureCache, Weights, WeightsError, parameters};
use tch::Tensor;

use super::layers::{MiddleBlock, OutputLayer, ResidualBlock};
use crate::config::VaeConfig;

/// Colours of a frame.
const RGB: i64 = 3;

/// The decoder.
#[derive(Debug)]
pub(super) struct Decoder {
    conv_in: CausalConv3d,
    middle: MiddleBlock,
    levels: Vec<Level>,
    output: OutputLayer,
}

#[derive(Debug)]
struct Level {
    blocks: Vec<ResidualBlock>,
    upsample: Option<Upsample>,
}

/// Doubles height and width, and the frames too where it has a temporal convolution.
#[derive(Debug)]
struct Upsample {
    frames: Option<CausalConv3d>,
    image: Conv2d,
}

parameters!(Decoder { conv_in, middle, levels, output; });
parameters!(Level { blocks, upsample; });
parameters!(Upsample { frames, image; });

impl Decoder {
    pub(super) fn load(weights: &Weights, config: &VaeConfig) -> Result<Self, WeightsError> {
        let widths = config.decoder_widths();
        let first = widths.first().copied().unwrap_or_default();
        let last = widths.last().copied().unwrap_or_default();
        let mut levels = Vec::new();
        let mut inputs = first;
        for (index, &width) in widths.iter().enumerate() {
            let at = weights.sub("up_blocks").sub(index);
            let doubles_frames = config.temporal_downsample.iter().rev().nth(index).copied();
            levels.push(Level::load(
                &at,
                inputs,
                width,
                config.num_res_blocks,
                doubles_frames,
            )?);
            inputs = width / 2; // an upsampler halves the channels
        }
        Ok(Self {
            conv_in: CausalConv3d::load(&weights.sub("conv_in"), config.z_dim, first, 3, 3)?,
            middle: MiddleBlock::load(&weights.sub("mid_block"), first)?,
            levels,
            output: OutputLayer::load(weights, last, RGB)?,
        })
    }

    /// `[f, z, h, w]` to frames `[f', 3, h', w']`
    pub(super) fn forward(&self, latents: &Tensor, cache: &mut FeatureCache) -> Tensor {
        let hidden = self.conv_in.forward(latents, cache);
        let mut hidden = self.middle.forward(&hidden, cache);
        for level in &self.levels {
            hidden = level.forward(hidden, cache);
        }
        self.output.forward(&hidden, cache)
    }
}

impl Level {
    /// `doubles_frames` is absent at the last level, which does not upsample.
    fn load(
        weights: &Weights,
        inputs: i64,
        width: i64,
        residual_blocks: i64,
        doubles_frames: Option<bool>,
    ) -> Result<Self, WeightsError> {
        let mut blocks = Vec::new();
        let mut inputs = inputs;
        for index in 0..=residual_blocks {
            let at = weights.sub("resnets").sub(index);
            blocks.push(ResidualBlock::load(&at, inputs, width)?);
            inputs = width;
        }
        let at = weights.sub("upsamplers").sub(0);
        let upsample = doubles_frames.map(|frames| Upsample::load(&at, width, frames));
        Ok(Self {
            blocks,
            upsample: upsample.transpose()?,
        })
    }

    fn forward(&self, input: Tensor, cache: &mut FeatureCache) -> Tensor {
        let hidden = self
            .blocks
            .iter()
            .fold(input, |hidden, block| block.forward(&hidden, cache));
        match &self.upsample {
            Some(upsample) => upsample.forward(hidden, cache),
            None => hidden,
        }
    }
}

impl Upsample {
    fn load(weights: &Weights, width: i64, doubles_frames: bool) -> Result<Self, WeightsError> {
        let time = weights.sub("time_conv");
        let frames = doubles_frames.then(|| CausalConv3d::load(&time, width, 2 * width, 3, 1));
        let image = Conv2d::load(&weights.sub("resample.1"), width, width / 2, 3, 1, 1)?;
        Ok(Self {
            frames: frames.transpose()?,
            image,
        })
    }

    /// `[f, c, h, w]` to `[f', c / 2, 2h, 2w]`; the clip's first frame is never doubled.
    fn forward(&self, input: Tensor, cache: &mut FeatureCache) -> Tensor {
        let hidden = match &self.frames {
            Some(frames) => Self::double_frames(frames, input, cache),
            None => input,
        };
        let [_, _, height, width] = shape(&hidden);
        let larger = hidden.upsample_nearest2d([2 * height, 2 * width], None, None);
        self.image.forward(&larger)
    }

    fn double_frames(frames: &CausalConv3d, input: Tensor, cache: &mut FeatureCache) -> Tensor {
        if cache.is_first_chunk() {
            // The convolution keeps its place, and sees zeros before the second frame.
            cache.slot();
            return input;
        }
        let [count, channels, height, width] = shape(&input);
        // The two halves of the channels are neighbouring frames.
        frames
            .forward(&input, cache)
            .permute([0, 2, 3, 1]) // [f, h, w, 2c]
            .reshape([count, height, width, 2, channels])
            .permute([0, 3, 1, 2, 4]) // [f, 2, h, w, c]
            .reshape([2 * count, height, width, channels])
            .permute([0, 3, 1, 2]) // [2f, c, h, w], channels last in memory
    }
}

fn shape(images: &Tensor) -> [i64; 4] {
    images.size4().map(Into::into).unwrap_or_default()
}
