//! One level of the encoder or of the decoder.

use kinora_nn::FeatureCache;
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
