//! One block of the transformer: self attention, cross attention to the text, feed-forward.

use kinora_nn::{
    LayerNorm, Linear, RmsNorm, RopeTable, TchError, WeightFormat, Weights, WeightsError,
    gelu_tanh, modulated_layer_norm, parameters, scaled_dot_product_attention,
};
use tch::{Kind, Tensor};

use crate::config::TransformerConfig;

/// Learned vectors of one block's modulation.
pub(super) const MODULATION_VECTORS: i64 = 6;

/// The weights of one block.
#[derive(Debug)]
pub(super) struct Block {
    /// Query, key and value of self attention side by side.
    qkv: Linear,
    /// `[2, c]`: norms of query and key over the full width, all heads together.
    qk_norm: RmsNorm,
    self_out: Linear,
    cross_norm: Option<LayerNorm>,
    cross_query: Linear,
    cross_query_norm: RmsNorm,
    cross_key: Linear,
    cross_key_norm: RmsNorm,
    cross_value: Linear,
    cross_out: Linear,
    expand: Linear,
    contract: Linear,
    heads: i64,
    eps: f64,
}

parameters!(Block {
    qkv, qk_norm, self_out, cross_norm, cross_query, cross_query_norm, cross_key, cross_key_norm,
    cross_value, cross_out, expand, contract; heads, eps
});

/// The text as one block's cross attention sees it. It does not depend on the step.
#[derive(Debug)]
pub(super) struct TextKeys {
    /// `[b, n, slots, d]`
    pub(super) key: Tensor,
    /// `[b, n, slots, d]`
    pub(super) value: Tensor,
}

/// Scale, shift and gate of one branch, each `[c]`; `scale` includes the 1 of `1 + scale`.
struct Modulation {
    shift: Tensor,
    scale: Tensor,
    gate: Tensor,
}

impl Block {
    pub(super) fn load(
        weights: &Weights,
        config: &TransformerConfig,
    ) -> Result<Self, WeightsError> {
        let (width, eps) = (config.width(), config.eps);
        let (own, cross) = (weights.sub("attn1"), weights.sub("attn2"));
        let square = |at: &Weights, name| Linear::load(&at.sub(name), width, width);
        let norm = |at: &Weights, name| RmsNorm::load(&at.sub(name), width, eps);
        let qkv = [
            square(&own, "to_q")?,
            square(&own, "to_k")?,
            square(&own, "to_v")?,
        ];
        let qk_norm = [norm(&own, "norm_q")?, norm(&own, "norm_k")?];
        let has_norm = config.cross_attn_norm;
        let cross_norm = has_norm.then(|| LayerNorm::load(&weights.sub("norm2"), width, eps));
        let feed_forward = weights.sub("ffn").sub("net");
        Ok(Self {
            qkv: Linear::stacked(&qkv).map_err(|source| own.torch_error(source))?,
            qk_norm: RmsNorm::stacked(&qk_norm).map_err(|source| own.torch_error(source))?,
            self_out: square(&own, "to_out.0")?,
            cross_norm: cross_norm.transpose()?,
            cross_query: square(&cross, "to_q")?,
            cross_query_norm: norm(&cross, "norm_q")?,
            cross_key: square(&cross, "to_k")?,
            cross_key_norm: norm(&cross, "norm_k")?,
            cross_value: square(&cross, "to_v")?,
            cross_out: square(&cross, "to_out.0")?,
            expand: Linear::load(&feed_forward.sub("0.proj"), width, config.ffn_dim)?,
            contract: Linear::load(&feed_forward.sub(2), config.ffn_dim, width)?,
            heads: config.num_attention_heads,
            eps,
        })
    }

    /// Stores the matrices of the block in `format`.
    pub(super) fn quantise(&mut self, format: WeightFormat) -> Result<(), TchError> {
        let matrices = [
            &mut self.qkv,
            &mut self.self_out,
            &mut self.cross_query,
            &mut self.cross_key,
            &mut self.cross_value,
            &mut self.cross_out,
            &mut self.expand,
            &mut self.contract,
        ];
        matrices
            .into_iter()
            .try_for_each(|matrix| matrix.quantise(format))
    }

    /// Keys and values of the projected text, `[b, slots, c]`.
    pub(super) fn text_keys(&self, text: &Tensor) -> TextKeys {
        let kind = self.cross_key.kind();
        let key = self
            .cross_key_norm
            .forward(&self.cross_key.forward(text))
            .to_kind(kind);
        let value = self.cross_value.forward(text);
        TextKeys {
            key: self.split_heads(&key),
            value: self.split_heads(&value),
        }
    }

    /// Applies the block to the residual stream.
    ///
    /// `modulation` is `[6, c]`: shift, scale, gate of self attention, then of the feed-forward.
    /// The stream may have a batch of one while the text has more: both start from the same
    /// latents, and part ways at the first cross attention.
    ///
    /// # Shapes
    /// stream `[b, s, c]` to the same, in 32-bit floats
    pub(super) fn forward(
        &self,
        stream: &Tensor,
        modulation: &Tensor,
        text: &TextKeys,
        text_bias: Option<&Tensor>,
        rope: &RopeTable,
    ) -> Tensor {
        let (own, feed_forward) = split_modulation(modulation);
        let input = modulated_layer_norm(stream, &own.scale, &own.shift, self.eps);
        let stream = stream.addcmul(&self.self_attention(&input, rope), &own.gate);

        let stream = &stream + self.cross_attention(&stream, text, text_bias);

        let input =
            modulated_layer_norm(&stream, &feed_forward.scale, &feed_forward.shift, self.eps);
        let hidden = gelu_tanh(&self.expand.forward(&input));
        let output = self.contract.forward(&hidden);
        stream.addcmul(&output.to_kind(Kind::Float), &feed_forward.gate)
    }

    fn self_attention(&self, input: &Tensor, rope: &RopeTable) -> Tensor {
        let (batch, tokens, width) = sizes(input);
        let head_width = width / self.heads;
        let qkv = self.qkv.forward(input).view([batch, tokens, 3, width]);
        let qk = self.qk_norm.forward(&qkv.narrow(2, 0, 2)); // [b, s, 2, c]
        let qk = rope.rotate(&qk.view([batch, tokens, 2 * self.heads, head_width]));
        let qk = qk.to_kind(qkv.kind()).view([batch, tokens, 2, width]);
        let query = self.split_heads(&qk.select(2, 0));
        let key = self.split_heads(&qk.select(2, 1));
        let value = self.split_heads(&qkv.select(2, 2));
        let mixed = scaled_dot_product_attention(&query, &key, &value, None, None);
        self.self_out
            .forward(&join_heads(&mixed))
            .to_kind(Kind::Float)
    }

    fn cross_attention(&self, stream: &Tensor, text: &TextKeys, bias: Option<&Tensor>) -> Tensor {
        let input = self.cross_norm.as_ref().map(|norm| norm.forward(stream));
        let query = self.cross_query.forward(input.as_ref().unwrap_or(stream));
        let query = self
            .cross_query_norm
            .forward(&query)
            .to_kind(self.cross_query.kind());
        let query = self.split_heads(&query); // [1 or b, n, s, d]
        let mut shape = query.size();
        shape[0] = text.key.size()[0];
        let query = query.expand(shape, false);
        let mixed = scaled_dot_product_attention(&query, &text.key, &text.value, bias, None);
        self.cross_out
            .forward(&join_heads(&mixed))
            .to_kind(Kind::Float)
    }

    /// `[b, s, c]` to `[b, n, s, d]`
    fn split_heads(&self, input: &Tensor) -> Tensor {
        let (batch, tokens, width) = sizes(input);
        input
            .view([batch, tokens, self.heads, width / self.heads])
            .transpose(1, 2)
    }
}

/// `[b, n, s, d]` to `[b, s, c]`
fn join_heads(input: &Tensor) -> Tensor {
    input.transpose(1, 2).flatten(2, 3)
}

fn split_modulation(modulation: &Tensor) -> (Modulation, Modulation) {
    let branch = |first: i64| Modulation {
        shift: modulation.get(first),
        scale: modulation.get(first + 1),
        gate: modulation.get(first + 2),
    };
    (branch(0), branch(3))
}

fn sizes(tensor: &Tensor) -> (i64, i64, i64) {
    let size = tensor.size();
    (size[0], size[1], size[2])
}
