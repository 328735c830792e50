//! Samplers: from noise to latents, given a network that predicts velocity.
//!
//! A sampler is a grid of noise levels and a stepper. With flow matching `x = (1 - s) x0 + s noise`
//! and the network predicts `noise - x0`. Grids and solver coefficients are plain numbers
//! ([`grid`], [`coefficients`]); the stepper ([`Stepper`]) applies them to tensors.

pub mod coefficients;
pub mod grid;
mod stepper;

use serde::{Deserialize, Serialize};

pub use grid::Schedule;
pub use stepper::{SOLVER_TENSORS, SamplerState, Stepper};

/// The solver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampler {
    /// UniPC of order 2 (arXiv:2302.04867): B(h) variant 2, predicting x0, corrector on, first order
    /// for the last step.
    #[default]
    UniPc,
    /// First-order Euler.
    Euler,
    /// DPM-Solver++ 2M (arXiv:2211.01095): order 2, midpoint, predicting x0, first order for the
    /// last step. The model's own repository runs it on [`SigmaGrid::Full`].
    DpmPp,
}

/// Where the noise levels lie. They differ slightly, and so do their clips. Every solver runs on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SigmaGrid {
    /// Even steps from 0.999 to 0 before the shift, as in the model's own repository for UniPC, and
    /// as in diffusers for DPM-Solver++.
    Native,
    /// Even steps from 1 to 0.001 before the shift, as in diffusers.
    #[default]
    Diffusers,
    /// Even steps from 1 to 0 before the shift, as in the model's own repository for DPM-Solver++.
    Full,
    /// Even steps from 1 to a shifted 0.001, both ends among them, before another shift, and timesteps
    /// that are no integers, as in diffusers for its Euler solver.
    Ends,
}
