//! Frames to latents.

use kinora_nn::parameters::{MakeTensor, Parameters};
use kinora_nn::{CausalConv3d, Conv2d, FeatureCache, TchError, Weights, WeightsError, parameters};
use tch::Tensor;

use super::layers::{MiddleBlock, OutputLayer, ResidualBlock};
use crate::config::VaeConfig;

/// Colours of a frame.
const RGB: i64 = 3;

/// The encoder.
#[derive(Debug)]
pub(super) struct Encoder {
    conv_in: CausalConv3d,
    stages: Vec<Stage>,
    middle: MiddleBlock,
    output: OutputLayer,
}

#[derive(Debug)]
enum Stage {
    Residual(ResidualBlock),
    Downsample(Downsample),
}

/// Halves height and width, and the frames too where it has a temporal convolution.
#[derive(Debug)]
struct Downsample {
    image: Conv2d,
    frames: Option<CausalConv3d>,
}

parameters!(Encoder { conv_in, stages, middle, output; });
parameters!(Downsample { image, frames; });

impl Parameters for Stage {
    fn map_tensors(&self, make: &mut MakeTensor<'_>) -> Result<Self, TchError> {
        Ok(match self {
            Self::Residual(block) => Self::Residual(block.map_tensors(make)?),
            Self::Downsample(downsample) => Self::Downsample(downsample.map_tensors(make)?),
        })
    }
}

impl Encoder {
    pub(super) fn load(weights: &Weights, config: &VaeConfig) -> Result<Self, WeightsError> {
        let widths = config.encoder_widths();
        let last = widths.last().copied().unwrap_or_default();
        let mut stages = Vec::new();
        let mut inputs = config.base_dim;
        for (index, &width) in widths.iter().enumerate() {
            for _ in 0..config.num_res_blocks {
                let at = weights.sub("down_blocks").sub(stages.len());
                stages.push(Stage::Residual(ResidualBlock::load(&at, inputs, width)?));
                inputs = width;
            }
            if let Some(&halves_frames) = config.temporal_downsample.get(index) {
                let at = weights.sub("down_blocks").sub(stages.len());
                stages.push(Stage::Downsample(Downsample::load(
                    &at,
                    width,
                    halves_frames,
                )?));
            }
        }
        Ok(Self {
            conv_in: CausalConv3d::load(&weights.sub("conv_in"), RGB, config.base_dim, 3, 3)?,
            stages,
            middle: MiddleBlock::load(&weights.sub("mid_block"), last)?,
            output: OutputLayer::load(weights, last, 2 * config.z_dim)?,
        })
    }

    /// Frames `[f, 3, h, w]` to moments `[f', 2z, h', w']`
    pub(super) fn forward(&self, frames: &Tensor, cache: &mut FeatureCache) -> Tensor {
        let mut hidden = self.conv_in.forward(frames, cache);
        for stage in &self.stages {
            hidden = match stage {
                Stage::Residual(block) => block.forward(&hidden, cache),
                Stage::Downsample(downsample) => downsample.forward(&hidden, cache),
            };
        }
        self.output
            .forward(&self.middle.forward(&hidden, cache), cache)
    }
}

impl Downsample {
    fn load(weights: &Weights, width: i64, halves_frames: bool) -> Result<Self, WeightsError> {
        let time = weights.sub("time_conv");
        let frames = halves_frames.then(|| CausalConv3d::load(&time, width, width, 3, 1));
        let frames = frames.transpose()?.map(|conv| conv.with_frame_stride(2));
        Ok(Self {
            image: Conv2d::load(&weights.sub("resample.1"), width, width, 3, 2, 0)?,
            frames,
        })
    }

    /// `[f, c, h, w]` to `[f', c, h / 2, w / 2]`; the clip's first frame stays as it is.
    fn forward(&self, input: &Tensor, cache: &mut FeatureCache) -> Tensor {
        let padded = input.constant_pad_nd([0, 1, 0, 1]);
        let hidden = self.image.forward(&padded);
        let Some(frames) = &self.frames else {
            return hidden;
        };
        let last = hidden.narrow(0, hidden.size()[0] - 1, 1).copy();
        match cache.slot().replace(last) {
            None => hidden,
            Some(before) => frames.forward_exact(&Tensor::cat(&[before, hidden], 0)),
        }
    }
}
