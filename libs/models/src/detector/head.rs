//! From features to boxes and scores.

use kinora_nn::{Conv2d, Weights, WeightsError};
use tch::{Kind, Tensor};

use super::network::ConvSilu;

/// Pixels of the input to a place of each of the three feature maps.
const STRIDES: [i64; 3] = [8, 16, 32];
/// A distance from a place to a side of its box is a distribution over this many lengths
/// (`reg_max`; Generalized Focal Loss, arXiv:2006.04388).
const LENGTHS: i64 = 16;
/// Sides of a box.
const SIDES: i64 = 4;

/// `Detect`: layer 22.
#[derive(Debug)]
pub(super) struct Head {
    /// One for each size of features.
    boxes: [Branch; 3],
    scores: [Branch; 3],
    /// The lengths themselves, `[1, lengths, 1, 1]`.
    lengths: Tensor,
    classes: i64,
}

/// Two convolutions with activations and one without.
#[derive(Debug)]
struct Branch {
    first: ConvSilu,
    second: ConvSilu,
    last: Conv2d,
}

impl Head {
    /// Reads `cv2`, `cv3` and `dfl`; `inputs` are the widths of the features, the largest first.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub(super) fn load(
        weights: &Weights,
        inputs: [i64; 3],
        classes: i64,
    ) -> Result<Self, WeightsError> {
        let branches = |name: &str, outputs| {
            let [first, second, third] = inputs;
            let branch =
                |index: usize, inputs| Branch::load(&weights.sub(name).sub(index), inputs, outputs);
            Ok([branch(0, first)?, branch(1, second)?, branch(2, third)?])
        };
        Ok(Self {
            boxes: branches("cv2", SIDES * LENGTHS)?,
            scores: branches("cv3", classes)?,
            lengths: weights.sub("dfl.conv").get("weight", &[1, LENGTHS, 1, 1])?,
            classes,
        })
    }

    /// Boxes as centre, width and height in pixels of the input, then the score of every class.
    ///
    /// # Shapes
    /// three of `[b, c, h, w]` to `[b, 4 + classes, boxes]`
    pub(super) fn forward(&self, features: [&Tensor; 3]) -> Tensor {
        let mut found = Vec::new();
        let branches = self.boxes.iter().zip(&self.scores);
        for ((features, (boxes, scores)), stride) in features.iter().zip(branches).zip(STRIDES) {
            let (batch, _, height, width) = features.size4().unwrap_or_default();
            let places = height * width;
            let distances = self.distances(&boxes.forward(features), batch, places);
            let boxes = around(&centres(height, width, features), &distances) * stride;
            let scores = scores.forward(features);
            let scores = scores.reshape([batch, self.classes, places]).sigmoid();
            found.push(Tensor::cat(&[boxes, scores], 1));
        }
        Tensor::cat(&found, 2)
    }

    /// The mean length of each distribution: left, top, right, bottom.
    fn distances(&self, logits: &Tensor, batch: i64, places: i64) -> Tensor {
        let shares = logits
            .reshape([batch, SIDES, LENGTHS, places])
            .softmax(2, Kind::Float);
        let lengths = self.lengths.reshape([1, 1, LENGTHS, 1]);
        (shares * lengths).sum_dim_intlist([2_i64].as_slice(), false, Kind::Float) // [b, 4, places]
    }
}

/// The middles of all places, x and y, row by row.
///
/// # Shapes
/// result `[1, 2, h * w]`
fn centres(height: i64, width: i64, like: &Tensor) -> Tensor {
    let middles = |count| Tensor::arange(count, (like.kind(), like.device())) + 0.5;
    let x = middles(width)
        .view([1, width])
        .expand([height, width], false);
    let y = middles(height)
        .view([height, 1])
        .expand([height, width], false);
    Tensor::stack(&[x.reshape(-1), y.reshape(-1)], 0).unsqueeze(0)
}

/// Boxes that reach so far from their centres, as their own middle, width and height.
fn around(centres: &Tensor, distances: &Tensor) -> Tensor {
    let start = centres - distances.narrow(1, 0, 2);
    let end = centres + distances.narrow(1, 2, 2);
    Tensor::cat(&[(&start + &end) / 2, end - start], 1)
}

impl Branch {
    fn load(weights: &Weights, inputs: i64, outputs: i64) -> Result<Self, WeightsError> {
        let first = ConvSilu::load(&weights.sub(0), inputs, 3, 1)?;
        let second = ConvSilu::load(&weights.sub(1), first.outputs, 3, 1)?;
        let last = Conv2d::load(&weights.sub(2), second.outputs, outputs, 1, 1, 0)?;
        Ok(Self {
            first,
            second,
            last,
        })
    }

    fn forward(&self, features: &Tensor) -> Tensor {
        let hidden = self.second.forward(&self.first.forward(features));
        self.last.forward(&hidden)
    }
}
