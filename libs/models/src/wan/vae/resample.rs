//! The steps between the sizes of two levels.

use kinora_nn::{CausalConv3d, Conv2d, FeatureCache, Weights, WeightsError, parameters};
use tch::Tensor;

/// Halves height and width, and the frames too where it has a temporal convolution.
#[derive(Debug)]
pub(super) struct Downsample {
    image: Conv2d,
    frames: Option<CausalConv3d>,
}

/// Doubles height and width, and the frames too where it has a temporal convolution.
#[derive(Debug)]
pub(super) struct Upsample {
    frames: Option<CausalConv3d>,
    image: Conv2d,
}

parameters!(Downsample { image, frames; });
parameters!(Upsample { frames, image; });

impl Downsample {
    pub(super) fn load(
        weights: &Weights,
        width: i64,
        halves_frames: bool,
    ) -> Result<Self, WeightsError> {
        let time = weights.sub("time_conv");
        let frames = halves_frames.then(|| CausalConv3d::load(&time, width, width, 3, 1));
        let frames = frames.transpose()?.map(|conv| conv.with_frame_stride(2));
        Ok(Self {
            image: Conv2d::load(&weights.sub("resample.1"), width, width, 3, 2, 0)?,
            frames,
        })
    }

    /// `[f, c, h, w]` to `[f', c, h / 2, w / 2]`; the clip's first frame stays as it is.
    pub(super) fn forward(&self, input: &Tensor, cache: &mut FeatureCache) -> Tensor {
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

impl Upsample {
    pub(super) fn load(
        weights: &Weights,
        width: i64,
        outputs: i64,
        doubles_frames: bool,
    ) -> Result<Self, WeightsError> {
        let time = weights.sub("time_conv");
        let frames = doubles_frames.then(|| CausalConv3d::load(&time, width, 2 * width, 3, 1));
        let image = Conv2d::load(&weights.sub("resample.1"), width, outputs, 3, 1, 1)?;
        Ok(Self {
            frames: frames.transpose()?,
            image,
        })
    }

    /// `[f, i, h, w]` to `[f', o, 2h, 2w]`; the clip's first frame is never doubled.
    pub(super) fn forward(&self, input: Tensor, cache: &mut FeatureCache) -> Tensor {
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
