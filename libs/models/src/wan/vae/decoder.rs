//! Latents to frames.

use kinora_nn::{CausalConv3d, FeatureCache, Weights, WeightsError, parameters};
use tch::Tensor;

use super::layers::{MiddleBlock, OutputLayer, ResidualBlock};
use super::level::{Level, Resample};
use super::resample::Upsample;
use super::shortcut::{Factors, Shortcut};
use crate::config::VaeConfig;
use crate::config::vae::LevelShape;

/// The decoder.
#[derive(Debug)]
pub(super) struct Decoder {
    conv_in: CausalConv3d,
    middle: MiddleBlock,
    levels: Vec<Level>,
    output: OutputLayer,
}

parameters!(Decoder { conv_in, middle, levels, output; });

impl Decoder {
    pub(super) fn load(weights: &Weights, config: &VaeConfig) -> Result<Self, WeightsError> {
        let shapes = config.decoder_levels();
        let first = shapes.first().map_or(0, |level| level.inputs);
        let last = shapes.last().map_or(0, |level| level.width);
        let mut levels = Vec::new();
        for (index, shape) in shapes.iter().enumerate() {
            let at = weights.sub("up_blocks").sub(index);
            levels.push(load_level(&at, shape, config)?);
        }
        Ok(Self {
            conv_in: CausalConv3d::load(&weights.sub("conv_in"), config.z_dim, first, 3, 3)?,
            middle: MiddleBlock::load(&weights.sub("mid_block"), first)?,
            levels,
            output: OutputLayer::load(weights, last, config.out_channels)?,
        })
    }

    /// `[f, z, h, w]` to patchified frames `[f', c, h', w']`
    pub(super) fn forward(&self, latents: &Tensor, cache: &mut FeatureCache) -> Tensor {
        let hidden = self.conv_in.forward(latents, cache);
        let mut hidden = self.middle.forward(&hidden, cache);
        for level in &self.levels {
            hidden = level.forward(hidden, cache);
        }
        self.output.forward(&hidden, cache)
    }
}

fn load_level(
    weights: &Weights,
    shape: &LevelShape,
    config: &VaeConfig,
) -> Result<Level, WeightsError> {
    let mut blocks = Vec::new();
    let mut inputs = shape.inputs;
    for index in 0..=config.num_res_blocks {
        let at = weights.sub("resnets").sub(index);
        blocks.push(ResidualBlock::load(&at, inputs, shape.width)?);
        inputs = shape.width;
    }
    let name = if config.is_residual {
        "upsampler"
    } else {
        "upsamplers.0"
    };
    let upsample = shape.resampled.map(|changes_frames| {
        Upsample::load(
            &weights.sub(name),
            shape.width,
            shape.outputs,
            changes_frames,
        )
    });
    // A level that keeps its size has no shortcut here, other than in the encoder.
    let has_shortcut = config.is_residual && shape.resampled.is_some();
    Ok(Level {
        blocks,
        resample: upsample.transpose()?.map(Resample::Up),
        shortcut: has_shortcut.then(|| Shortcut::Duplicate(Factors::around(shape))),
    })
}
