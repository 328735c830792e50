//! Frames to latents.

use kinora_nn::{CausalConv3d, FeatureCache, Weights, WeightsError, parameters};
use tch::Tensor;

use super::layers::{MiddleBlock, OutputLayer, ResidualBlock};
use super::level::{Level, Resample};
use super::resample::Downsample;
use super::shortcut::{Factors, Shortcut};
use crate::config::VaeConfig;

/// The encoder.
#[derive(Debug)]
pub(super) struct Encoder {
    conv_in: CausalConv3d,
    levels: Vec<Level>,
    middle: MiddleBlock,
    output: OutputLayer,
}

parameters!(Encoder { conv_in, levels, middle, output; });

impl Encoder {
    pub(super) fn load(weights: &Weights, config: &VaeConfig) -> Result<Self, WeightsError> {
        let shapes = config.encoder_levels();
        let last = shapes.last().map_or(0, |level| level.width);
        let conv_in = weights.sub("conv_in");
        Ok(Self {
            conv_in: CausalConv3d::load(&conv_in, config.in_channels, config.base_dim, 3, 3)?,
            levels: load_levels(&weights.sub("down_blocks"), config)?,
            middle: MiddleBlock::load(&weights.sub("mid_block"), last)?,
            output: OutputLayer::load(weights, last, 2 * config.z_dim)?,
        })
    }

    /// Patchified frames `[f, c, h, w]` to moments `[f', 2z, h', w']`
    pub(super) fn forward(&self, frames: &Tensor, cache: &mut FeatureCache) -> Tensor {
        let mut hidden = self.conv_in.forward(frames, cache);
        for level in &self.levels {
            hidden = level.forward(hidden, cache);
        }
        self.output
            .forward(&self.middle.forward(&hidden, cache), cache)
    }
}

fn load_levels(weights: &Weights, config: &VaeConfig) -> Result<Vec<Level>, WeightsError> {
    let mut levels = Vec::new();
    let mut numbered = 0..;
    for (index, shape) in config.encoder_levels().iter().enumerate() {
        // The 2.2 layout names parts within their level, 2.1 numbers them through all levels.
        let mut place = |name: String| {
            if config.is_residual {
                weights.sub(index).sub(name)
            } else {
                weights.sub(numbered.next().unwrap_or(u64::MAX))
            }
        };
        let mut blocks = Vec::new();
        let mut inputs = shape.inputs;
        for block in 0..config.num_res_blocks {
            let at = place(format!("resnets.{block}"));
            blocks.push(ResidualBlock::load(&at, inputs, shape.width)?);
            inputs = shape.width;
        }
        let downsample = shape.resampled.map(|changes_frames| {
            let at = place("downsampler".to_owned());
            Downsample::load(&at, shape.width, changes_frames)
        });
        levels.push(Level {
            blocks,
            resample: downsample.transpose()?.map(Resample::Down),
            shortcut: config
                .is_residual
                .then(|| Shortcut::Average(Factors::around(shape))),
        });
    }
    Ok(levels)
}
