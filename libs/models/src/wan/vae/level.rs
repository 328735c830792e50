//! One level of the encoder or of the decoder.

use kinora_nn::parameters::{MakeTensor, Parameters};
use kinora_nn::{FeatureCache, TchError, parameters};
use tch::Tensor;

use super::layers::ResidualBlock;
use super::resample::{Downsample, Upsample};
use super::shortcut::Shortcut;

/// Residual blocks at one size, then the step to the next size, and a way around both.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) blocks: Vec<ResidualBlock>,
    /// Absent at the last level.
    pub(super) resample: Option<Resample>,
    /// Present in the 2.2 layout only.
    pub(super) shortcut: Option<Shortcut>,
}

/// The step to the next size.
#[derive(Debug)]
pub(super) enum Resample {
    Down(Downsample),
    Up(Upsample),
}

parameters!(Level { blocks, resample; shortcut });

impl Parameters for Resample {
    fn map_tensors(&self, make: &mut MakeTensor<'_>) -> Result<Self, TchError> {
        Ok(match self {
            Self::Down(downsample) => Self::Down(downsample.map_tensors(make)?),
            Self::Up(upsample) => Self::Up(upsample.map_tensors(make)?),
        })
    }
}

impl Level {
    /// `[f, i, h, w]` to `[f', o, h', w']`
    pub(super) fn forward(&self, input: Tensor, cache: &mut FeatureCache) -> Tensor {
        // Only a shortcut keeps the input alive while the blocks run.
        let kept = self
            .shortcut
            .as_ref()
            .map(|shortcut| (shortcut, input.shallow_clone()));
        let hidden = self
            .blocks
            .iter()
            .fold(input, |hidden, block| block.forward(&hidden, cache));
        let mut hidden = match &self.resample {
            Some(Resample::Down(downsample)) => downsample.forward(&hidden, cache),
            Some(Resample::Up(upsample)) => upsample.forward(hidden, cache),
            None => hidden,
        };
        if let Some((shortcut, input)) = kept {
            hidden += shortcut.forward(&input, cache.is_first_chunk());
        }
        hidden
    }
}
