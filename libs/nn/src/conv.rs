//! Convolutions over frames that are stored as a batch of images, `[f, c, h, w]`.
//!
//! Images lie in memory with their channels last ([`channels_last`]): on the CPU convolutions and
//! channel norms are two to seven times as fast that way, and operators keep the order they are given.

use tch::Tensor;

use crate::parameters;
use crate::weights::{Weights, WeightsError};

/// Frames of history that a causal convolution with a temporal kernel of 3 needs.
const HISTORY_FRAMES: i64 = 2;

/// The same images with the channels of a pixel side by side in memory.
///
/// # Shapes
/// `[f, c, h, w]` to the same
pub fn channels_last(images: &Tensor) -> Tensor {
    images
        .permute([0, 2, 3, 1])
        .contiguous()
        .permute([0, 3, 1, 2])
}

/// A convolution of each image on its own.
#[derive(Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: i64,
}

parameters!(Conv2d { weight, bias; stride, padding });

impl Conv2d {
    /// Reads `weight` `[o, i, kernel, kernel]` and `bias` `[o]`.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub fn load(
        weights: &Weights,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        stride: i64,
        padding: i64,
    ) -> Result<Self, WeightsError> {
        let weight = weights.get("weight", &[outputs, inputs, kernel, kernel])?;
        Ok(Self {
            weight,
            bias: weights.get("bias", &[outputs])?,
            stride,
            padding,
        })
    }

    /// Convolves every image.
    ///
    /// # Shapes
    /// `[f, i, h, w]` to `[f, o, h', w']`
    pub fn forward(&self, input: &Tensor) -> Tensor {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        input.conv2d(&self.weight, Some(&self.bias), stride, padding, [1, 1], 1)
    }
}

/// What the causal convolutions of one network remember from chunk to chunk.
///
/// Convolutions ask for their slot in the order they run, which is the same for every chunk.
#[derive(Debug, Default)]
pub struct FeatureCache {
    slots: Vec<Option<Tensor>>,
    next: usize,
    chunks: usize,
}

impl FeatureCache {
    /// Starts a chunk: the next convolution to run is the first one again.
    pub fn begin_chunk(&mut self) {
        self.next = 0;
        self.chunks += 1;
    }

    /// Says whether the chunk being processed is the first one.
    #[must_use]
    pub fn is_first_chunk(&self) -> bool {
        self.chunks <= 1
    }

    /// The memory of the next convolution.
    pub fn slot(&mut self) -> &mut Option<Tensor> {
        let index = self.next;
        self.next += 1;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        &mut self.slots[index]
    }
}

/// A convolution over time and space that sees no later frame than the one it computes.
///
/// A temporal kernel of 3 is computed as one image convolution over three neighbouring frames laid
/// side by side along the channels: the same sums as a convolution in three dimensions, by kernels
/// that are far better tuned.
#[derive(Debug)]
pub struct CausalConv3d {
    /// `[o, kernel_t * i, kernel_hw, kernel_hw]`
    weight: Tensor,
    bias: Tensor,
    kernel_frames: i64,
    padding: i64,
    stride_frames: i64,
}

parameters!(CausalConv3d { weight, bias; kernel_frames, padding, stride_frames });

impl CausalConv3d {
    /// Reads `weight` `[o, i, kernel_t, kernel_hw, kernel_hw]` and `bias` `[o]`.
    ///
    /// `kernel_t` is 1 or 3; space is padded so that its size stays the same.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub fn load(
        weights: &Weights,
        inputs: i64,
        outputs: i64,
        kernel_frames: i64,
        kernel: i64,
    ) -> Result<Self, WeightsError> {
        let shape = [outputs, inputs, kernel_frames, kernel, kernel];
        let weight = weights.get("weight", &shape)?;
        let weight = weight
            .permute([0, 2, 1, 3, 4]) // [o, kernel_t, i, kernel, kernel]
            .reshape([outputs, kernel_frames * inputs, kernel, kernel]);
        let weight = channels_last(&weight);
        let bias = weights.get("bias", &[outputs])?;
        Ok(Self {
            weight,
            bias,
            kernel_frames,
            padding: kernel / 2,
            stride_frames: 1,
        })
    }

    /// The same convolution, computed at every second frame only.
    #[must_use]
    pub fn with_frame_stride(self, stride_frames: i64) -> Self {
        Self {
            stride_frames,
            ..self
        }
    }

    /// Convolves a chunk, continuing from what `cache` remembers; zeros precede the first chunk.
    ///
    /// # Shapes
    /// `[f, i, h, w]` to `[f, o, h, w]`
    pub fn forward(&self, input: &Tensor, cache: &mut FeatureCache) -> Tensor {
        if self.kernel_frames == 1 {
            return self.convolve(input);
        }
        let slot = cache.slot();
        let history = slot.take().unwrap_or_else(|| leading_zeros(input));
        let frames = Tensor::cat(&[&history, input], 0); // [2 + f, i, h, w]
        *slot = Some(frames.narrow(0, input.size()[0], HISTORY_FRAMES).copy());
        self.forward_exact(&frames)
    }

    /// Convolves frames that already include their history: the result is two frames shorter.
    ///
    /// # Shapes
    /// `[2 + f, i, h, w]` to `[f / stride, o, h, w]`
    pub fn forward_exact(&self, frames: &Tensor) -> Tensor {
        let count = (frames.size()[0] - self.kernel_frames) / self.stride_frames + 1;
        let taps: Vec<Tensor> = (0..self.kernel_frames)
            .map(|tap| {
                let end = tap + (count - 1) * self.stride_frames + 1;
                frames.slice(0, tap, end, self.stride_frames)
            })
            .collect();
        self.convolve(&Tensor::cat(&taps, 1)) // [f, kernel_t * i, h, w]
    }

    fn convolve(&self, input: &Tensor) -> Tensor {
        input.conv2d(
            &self.weight,
            Some(&self.bias),
            [1, 1],
            [self.padding; 2],
            [1, 1],
            1,
        )
    }
}

/// Frames before the first one, in the memory order of the input.
fn leading_zeros(input: &Tensor) -> Tensor {
    let zeros = input.narrow(0, 0, 1).zeros_like();
    Tensor::cat(&[&zeros, &zeros], 0)
}

#[cfg(test)]
mod tests;
