//! The network: YOLOv8 of Ultralytics, whose layers keep their numbers (`model.0` to `model.22`).
//!
//! Five times the picture is halved; features of the last three sizes are merged downwards and upwards
//! again, and the head reads boxes and scores from each. Batch norms are folded into the convolutions
//! when a model is exported, so that there are none here.

use kinora_nn::{Conv2d, Weights, WeightsError, channels_last};
use tch::Tensor;

use super::head::Head;

/// Side of the pools that widen what the deepest features see.
const POOL: i64 = 5;

/// All layers.
#[derive(Debug)]
pub(super) struct Network {
    /// Layers 0, 1, 3, 5 and 7, each of which halves the size.
    halvings: [ConvSilu; 5],
    /// Layers 2, 4, 6 and 8.
    stages: [SplitBlock; 4],
    /// Layer 9.
    pool: PoolBlock,
    /// Layers 12, 15, 18 and 21.
    merges: [SplitBlock; 4],
    /// Layers 16 and 19, each of which halves the size.
    returns: [ConvSilu; 2],
    head: Head,
}

impl Network {
    /// Reads all layers at a cursor that is at `model.`.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub(super) fn load(weights: &Weights, classes: i64) -> Result<Self, WeightsError> {
        let halve = |layer, inputs| ConvSilu::load(&weights.sub(layer), inputs, 3, 2);
        let stage = |layer, inputs| SplitBlock::load(&weights.sub(layer), inputs, true);
        let merge = |layer, inputs| SplitBlock::load(&weights.sub(layer), inputs, false);
        let half = halve(0, 3)?;
        let quarter = halve(1, half.outputs)?;
        let stage_4 = stage(2, quarter.outputs)?;
        let eighth = halve(3, stage_4.outputs())?;
        let stage_8 = stage(4, eighth.outputs)?;
        let sixteenth = halve(5, stage_8.outputs())?;
        let stage_16 = stage(6, sixteenth.outputs)?;
        let last = halve(7, stage_16.outputs())?;
        let stage_32 = stage(8, last.outputs)?;
        let pool = PoolBlock::load(&weights.sub(9), stage_32.outputs())?;
        let deep = pool.leave.outputs;
        let down_16 = merge(12, deep + stage_16.outputs())?;
        let down_8 = merge(15, down_16.outputs() + stage_8.outputs())?;
        let return_16 = halve(16, down_8.outputs())?;
        let up_16 = merge(18, return_16.outputs + down_16.outputs())?;
        let return_32 = halve(19, up_16.outputs())?;
        let up_32 = merge(21, return_32.outputs + deep)?;
        let widths = [down_8.outputs(), up_16.outputs(), up_32.outputs()];
        Ok(Self {
            head: Head::load(&weights.sub(22), widths, classes)?,
            halvings: [half, quarter, eighth, sixteenth, last],
            stages: [stage_4, stage_8, stage_16, stage_32],
            pool,
            merges: [down_16, down_8, up_16, up_32],
            returns: [return_16, return_32],
        })
    }

    /// Boxes and scores of every place.
    ///
    /// # Shapes
    /// `[b, 3, h, w]`, sides multiples of 32, to `[b, 4 + classes, boxes]`
    pub(super) fn forward(&self, images: &Tensor) -> Tensor {
        let [half, quarter, eighth, sixteenth, last] = &self.halvings;
        let [stage_4, stage_8, stage_16, stage_32] = &self.stages;
        let [down_16, down_8, up_16, up_32] = &self.merges;
        let [return_16, return_32] = &self.returns;

        let features_4 = stage_4.forward(&quarter.forward(&half.forward(&channels_last(images))));
        let features_8 = stage_8.forward(&eighth.forward(&features_4));
        let features_16 = stage_16.forward(&sixteenth.forward(&features_8));
        let features_32 = stage_32.forward(&last.forward(&features_16));
        let deep = self.pool.forward(&features_32);

        let merged_16 = down_16.forward(&beside(&doubled(&deep), &features_16));
        let merged_8 = down_8.forward(&beside(&doubled(&merged_16), &features_8));
        let final_16 = up_16.forward(&beside(&return_16.forward(&merged_8), &merged_16));
        let final_32 = up_32.forward(&beside(&return_32.forward(&final_16), &deep));
        self.head.forward([&merged_8, &final_16, &final_32])
    }
}

/// Channels of both, one after the other.
fn beside(first: &Tensor, second: &Tensor) -> Tensor {
    Tensor::cat(&[first, second], 1)
}

/// Every pixel four times.
fn doubled(features: &Tensor) -> Tensor {
    let (_, _, height, width) = features.size4().unwrap_or_default();
    features.upsample_nearest2d([2 * height, 2 * width], None, None)
}

/// A convolution and its activation.
#[derive(Debug)]
pub(super) struct ConvSilu {
    convolution: Conv2d,
    pub(super) outputs: i64,
}

impl ConvSilu {
    /// Reads `conv`, whose width is what the file has.
    pub(super) fn load(
        weights: &Weights,
        inputs: i64,
        kernel: i64,
        stride: i64,
    ) -> Result<Self, WeightsError> {
        let outputs = width(weights, "conv.weight")?;
        let weights = weights.sub("conv");
        Ok(Self {
            convolution: Conv2d::load(&weights, inputs, outputs, kernel, stride, kernel / 2)?,
            outputs,
        })
    }

    pub(super) fn forward(&self, features: &Tensor) -> Tensor {
        self.convolution.forward(features).silu_()
    }
}

/// How many outputs a convolution has in the file: even, since halves of them go different ways.
fn width(weights: &Weights, name: &str) -> Result<i64, WeightsError> {
    let shape = weights.shape(name).unwrap_or_default();
    match shape.first() {
        Some(&outputs) if outputs > 0 && outputs % 2 == 0 => Ok(outputs),
        Some(&outputs) => Err(WeightsError::Misshaped {
            name: weights.stored_name(name),
            expected: vec![outputs + 2 - outputs % 2],
            found: shape,
        }),
        None => Err(WeightsError::MissingTensor {
            name: weights.stored_name(name),
            expected: Vec::new(),
        }),
    }
}

/// `C2f`: half of the features go through bottlenecks, and every result is kept.
#[derive(Debug)]
struct SplitBlock {
    enter: ConvSilu,
    bottlenecks: Vec<[ConvSilu; 2]>,
    leave: ConvSilu,
    /// Whether a bottleneck adds what it was given.
    has_shortcut: bool,
}

impl SplitBlock {
    fn load(weights: &Weights, inputs: i64, has_shortcut: bool) -> Result<Self, WeightsError> {
        let enter = ConvSilu::load(&weights.sub("cv1"), inputs, 1, 1)?;
        let hidden = enter.outputs / 2;
        let mut bottlenecks = Vec::new();
        let mut kept = enter.outputs;
        loop {
            let bottleneck = weights.sub("m").sub(bottlenecks.len());
            if !bottleneck.has("cv1.conv.weight") {
                break;
            }
            let first = ConvSilu::load(&bottleneck.sub("cv1"), hidden, 3, 1)?;
            let second = ConvSilu::load(&bottleneck.sub("cv2"), first.outputs, 3, 1)?;
            kept += second.outputs;
            bottlenecks.push([first, second]);
        }
        Ok(Self {
            enter,
            bottlenecks,
            leave: ConvSilu::load(&weights.sub("cv2"), kept, 1, 1)?,
            has_shortcut,
        })
    }

    fn outputs(&self) -> i64 {
        self.leave.outputs
    }

    fn forward(&self, features: &Tensor) -> Tensor {
        let mut kept = self.enter.forward(features).chunk(2, 1);
        let mut newest = kept.last().map(Tensor::shallow_clone).unwrap_or_default();
        for [first, second] in &self.bottlenecks {
            let found = second.forward(&first.forward(&newest));
            newest = if self.has_shortcut {
                found + &newest
            } else {
                found
            };
            kept.push(newest.shallow_clone());
        }
        self.leave.forward(&Tensor::cat(&kept, 1))
    }
}

/// `SPPF`: the same pool three times in a row, and every result is kept.
#[derive(Debug)]
struct PoolBlock {
    enter: ConvSilu,
    leave: ConvSilu,
}

impl PoolBlock {
    fn load(weights: &Weights, inputs: i64) -> Result<Self, WeightsError> {
        let enter = ConvSilu::load(&weights.sub("cv1"), inputs, 1, 1)?;
        let leave = ConvSilu::load(&weights.sub("cv2"), 4 * enter.outputs, 1, 1)?;
        Ok(Self { enter, leave })
    }

    fn forward(&self, features: &Tensor) -> Tensor {
        let pool = |features: &Tensor| {
            features.max_pool2d([POOL; 2], [1; 2], [POOL / 2; 2], [1; 2], false)
        };
        let entered = self.enter.forward(features);
        let once = pool(&entered);
        let twice = pool(&once);
        let thrice = pool(&twice);
        self.leave
            .forward(&Tensor::cat(&[entered, once, twice, thrice], 1))
    }
}
