//! How noisy the tokens are, and what the network makes of it: modulation vectors.

use kinora_nn::{Linear, Weights, WeightsError, modulated_layer_norm, parameters};
use tch::{Device, Kind, Tensor};

use super::block::MODULATION_VECTORS;
use crate::config::TransformerConfig;

/// Longest period of the sinusoidal time embedding.
const MAX_PERIOD: f64 = 10_000.0;

/// The noise level of a clip's tokens, in timesteps of training (1000 is pure noise in most models).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Timestep {
    /// All tokens are equally noisy.
    Uniform(f64),
    /// The first frame of tokens is given and clean, which is timestep 0; all others are this noisy.
    CleanFirstFrame(f64),
}

impl Timestep {
    /// Runs of neighbouring tokens with one timestep each, as (tokens, timestep), for a grid of
    /// tokens in row-major order `(f, h, w)`.
    pub(super) fn runs(self, grid: [i64; 3]) -> Vec<(i64, f64)> {
        let [frames, height, width] = grid;
        let first = height * width;
        match self {
            Self::Uniform(timestep) => vec![(frames * first, timestep)],
            Self::CleanFirstFrame(_) if frames <= 1 => vec![(frames * first, 0.0)],
            Self::CleanFirstFrame(timestep) => {
                vec![(first, 0.0), ((frames - 1) * first, timestep)]
            }
        }
    }
}

/// The network's view of a timestep: sinusoids through three linear layers, in 32-bit floats.
#[derive(Debug)]
pub(super) struct TimeEmbedder {
    /// `[freq_dim / 2]` in 64-bit floats. They lie on the device, so that no step waits for a copy.
    frequencies: Tensor,
    hidden: Linear,
    output: Linear,
    projection: Linear,
}

parameters!(TimeEmbedder { frequencies, hidden, output, projection; });

/// A timestep as the network sees it.
#[derive(Debug)]
pub(super) struct EmbeddedTime {
    /// `[c]`, for the head
    pub(super) embedding: Tensor,
    /// `[6, c]`, for the blocks
    pub(super) projection: Tensor,
}

impl TimeEmbedder {
    /// Reads `time_embedder` and `time_proj` below `weights`.
    ///
    /// # Errors
    /// A tensor is missing or misshaped, or libtorch could not allocate the frequencies.
    pub(super) fn load(
        weights: &Weights,
        config: &TransformerConfig,
    ) -> Result<Self, WeightsError> {
        let (at, width) = (weights.sub("time_embedder"), config.width());
        let vectors = MODULATION_VECTORS * width;
        Ok(Self {
            frequencies: frequencies(config.freq_dim / 2, weights.device())
                .map_err(|source| at.torch_error(source))?,
            hidden: Linear::load_f32(&at.sub("linear_1"), config.freq_dim, width)?,
            output: Linear::load_f32(&at.sub("linear_2"), width, width)?,
            projection: Linear::load_f32(&weights.sub("time_proj"), width, vectors)?,
        })
    }

    /// Cosines then sines, and the linear layers.
    pub(super) fn forward(&self, timestep: f64) -> EmbeddedTime {
        let angles = &self.frequencies * timestep;
        let waves = Tensor::cat(&[angles.cos(), angles.sin()], 0).to_kind(Kind::Float);
        let embedding = self.output.forward(&self.hidden.forward(&waves).silu());
        let projection = self.projection.forward(&embedding.silu());
        EmbeddedTime {
            projection: projection.view([MODULATION_VECTORS, -1]),
            embedding,
        }
    }
}

fn frequencies(count: i64, device: Device) -> Result<Tensor, tch::TchError> {
    let index = Tensor::f_arange(count, (Kind::Double, Device::Cpu))?;
    let exponents = index.f_multiply_scalar(-MAX_PERIOD.ln() / count as f64)?;
    exponents.f_exp()?.f_to_device(device)
}

/// Shifts, scales and gates of all tokens: one set of vectors per run of tokens that share a
/// timestep. It equals vectors per token, of which there would be gigabytes.
#[derive(Debug)]
pub(super) struct Modulation {
    pub(super) runs: Vec<ModulationRun>,
}

/// The vectors of neighbouring tokens.
#[derive(Debug)]
pub(super) struct ModulationRun {
    /// How many tokens.
    pub(super) tokens: i64,
    /// `[vectors, c]`; scales include the 1 of `1 + scale`
    pub(super) vectors: Tensor,
}

impl Modulation {
    /// Layer normalisation with the shift of row `first_row` and the scale of the next row.
    ///
    /// # Shapes
    /// `[b, s, c]` to the same, in 32-bit floats
    pub(super) fn normalise(&self, stream: &Tensor, first_row: i64, eps: f64) -> Tensor {
        let normalise = |vectors: &Tensor, part: &Tensor| {
            let (shift, scale) = (vectors.get(first_row), vectors.get(first_row + 1));
            modulated_layer_norm(part, &scale, &shift, eps)
        };
        if let [run] = self.runs.as_slice() {
            return normalise(&run.vectors, stream);
        }
        let output = stream.empty_like();
        let mut start = 0;
        for run in &self.runs {
            let part = normalise(&run.vectors, &stream.narrow(1, start, run.tokens));
            output.narrow(1, start, run.tokens).copy_(&part);
            start += run.tokens;
        }
        output
    }

    /// Adds `branch * gate` to `stream`, which nobody else may hold; the gate is row `row`.
    ///
    /// # Shapes
    /// both `[b, s, c]` in 32-bit floats
    pub(super) fn add_gated(&self, stream: &Tensor, branch: &Tensor, row: i64) {
        let mut start = 0;
        for run in &self.runs {
            let part = |tensor: &Tensor| tensor.narrow(1, start, run.tokens);
            let _ = part(stream).addcmul_(&part(branch), &run.vectors.get(row));
            start += run.tokens;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_every_token_once() {
        for grid in [[1, 2, 3], [2, 2, 3], [5, 4, 4]] {
            for timestep in [Timestep::Uniform(7.0), Timestep::CleanFirstFrame(7.0)] {
                let tokens: i64 = timestep.runs(grid).iter().map(|run| run.0).sum();
                assert_eq!(
                    tokens,
                    grid.iter().product::<i64>(),
                    "{timestep:?} {grid:?}"
                );
            }
        }
    }

    #[test]
    fn only_the_first_frame_is_clean() {
        let runs = Timestep::CleanFirstFrame(7.0).runs([3, 2, 4]);
        assert_eq!(runs, [(8, 0.0), (16, 7.0)]);
        assert_eq!(Timestep::CleanFirstFrame(7.0).runs([1, 2, 4]), [(8, 0.0)]);
    }
}
