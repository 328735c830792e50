//! What the transformer needs to know of a clip besides its latents, computed once for all steps.

use kinora_nn::RopeTable;
use tch::Tensor;

use super::block::CrossKeys;

/// Text slots that the network attends to: prompts are padded to this many with zeros, and the
/// padding takes part in attention without a mask.
pub(super) const TEXT_SLOTS: i64 = crate::text::MAX_TOKENS as i64;

/// Texts, image and size of one clip, as the transformer's blocks see them.
#[derive(Debug)]
pub struct Conditioning {
    /// One per block.
    pub(super) keys: Vec<CrossKeys>,
    /// `[1, 1, 1, slots]`; absent when every slot stands for itself.
    pub(super) text_bias: Option<Tensor>,
    pub(super) rope: RopeTable,
}

/// Prompts padded with zeros and laid side by side.
///
/// All padding slots are equal, so their keys and values are equal too. They are folded into one
/// slot whose attention logit gains the logarithm of their number: the same softmax, at a fraction
/// of its cost for short prompts.
pub(super) struct FoldedText {
    /// `[b, slots, c]`
    pub(super) text: Tensor,
    /// `[1, 1, 1, slots]`
    pub(super) bias: Option<Tensor>,
}

impl FoldedText {
    /// Pads prompts, each `[s, c]`, to a common number of slots.
    ///
    /// Folding is left out on request: the bias needs more digits than 16-bit floats have.
    pub(super) fn new(prompts: &[&Tensor], fold: bool) -> Self {
        let longest = prompts
            .iter()
            .map(|prompt| prompt.size()[0])
            .max()
            .unwrap_or_default();
        let slots = if fold {
            TEXT_SLOTS.min(longest + 1)
        } else {
            TEXT_SLOTS
        };
        let padded: Vec<Tensor> = prompts
            .iter()
            .map(|prompt| prompt.constant_pad_nd([0, 0, 0, slots - prompt.size()[0]]))
            .collect();
        let text = Tensor::stack(&padded, 0); // [b, slots, c]
        let bias = (slots < TEXT_SLOTS).then(|| {
            let bias = Tensor::zeros([1, 1, 1, slots], (text.kind(), text.device()));
            let folded = TEXT_SLOTS - slots + 1;
            let _ = bias.narrow(-1, slots - 1, 1).fill_((folded as f64).ln());
            bias
        });
        Self { text, bias }
    }
}
