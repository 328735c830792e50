//! The ways around a level in the 2.2 layout: pixels and channels rearranged, no weights.

use tch::{Kind, Tensor};

use crate::config::vae::LevelShape;

/// A change of size and channels without weights.
///
/// A block of `frames` times `side` times `side` positions and the channels there are one list,
/// ordered by channel, frame, row and column. Going down, equal runs of the list are averaged to the
/// new channels; going up, every channel is repeated until the list is filled.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shortcut {
    Average(Factors),
    Duplicate(Factors),
}

/// What one position of the smaller size corresponds to in the larger one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors {
    /// Channels of the result.
    pub(super) outputs: i64,
    /// Frames per frame.
    pub(super) frames: i64,
    /// Rows per row and columns per column.
    pub(super) side: i64,
}

impl Factors {
    /// What leads around a level of this shape.
    pub(super) fn around(level: &LevelShape) -> Self {
        let (frames, side) = level.factors();
        Self {
            outputs: level.outputs,
            frames,
            side,
        }
    }
}

impl Shortcut {
    /// `[f, i, h, w]` to `[f', o, h', w']`; the clip's first frame, which is the whole first chunk,
    /// stays one frame.
    pub(super) fn forward(&self, input: &Tensor, is_first_chunk: bool) -> Tensor {
        match self {
            Self::Average(factors) => average(input, *factors, is_first_chunk),
            Self::Duplicate(factors) => duplicate(input, *factors, is_first_chunk),
        }
    }
}

/// The first frame is averaged with zeros before it, as if the clip began with black frames.
fn average(input: &Tensor, factors: Factors, is_first_chunk: bool) -> Tensor {
    let Factors {
        outputs,
        frames,
        side,
    } = factors;
    let missing = if is_first_chunk { frames - 1 } else { 0 };
    let padded = input.constant_pad_nd([0, 0, 0, 0, 0, 0, missing, 0]);
    let (count, channels, height, width) = padded.size4().unwrap_or_default();
    let (count, height, width) = (count / frames, height / side, width / side);
    padded
        .reshape([count, frames, channels, height, side, width, side])
        .permute([0, 3, 5, 2, 1, 4, 6]) // [f, h, w, c, frames, side, side]
        .reshape([count, height, width, outputs, -1])
        .mean_dim(-1, false, None::<Kind>)
        .permute([0, 3, 1, 2]) // [f, c, h, w], channels last in memory
}

/// Of the copies of the first frame only the last one in time is kept.
fn duplicate(input: &Tensor, factors: Factors, is_first_chunk: bool) -> Tensor {
    let Factors {
        outputs,
        frames,
        side,
    } = factors;
    let (count, channels, height, width) = input.size4().unwrap_or_default();
    let repeats = outputs * frames * side * side / channels.max(1);
    let larger = input
        .permute([0, 2, 3, 1])
        .repeat_interleave_self_int(repeats, 3, None)
        .reshape([count, height, width, outputs, frames, side, side])
        .permute([0, 4, 1, 5, 2, 6, 3]) // [f, frames, h, side, w, side, c]
        .reshape([count * frames, height * side, width * side, outputs])
        .permute([0, 3, 1, 2]); // [f, c, h, w], channels last in memory
    let surplus = if is_first_chunk { frames - 1 } else { 0 };
    larger.narrow(0, surplus, count * frames - surplus)
}

#[cfg(test)]
mod tests;
