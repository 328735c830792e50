//! One block of the transformer: self attention, cross attention to text and image, feed-forward.

use kinora_nn::{
    LayerNorm, Linear, RmsNorm, RopeTable, TchError, WeightFormat, Weights, WeightsError,
    gelu_tanh, parameters, scaled_dot_product_attention,
};
use tch::{Kind, Tensor};

use super::timestep::Modulation;
use crate::config::TransformerConfig;

/// Learned vectors of one block's modulation.
pub(super) const MODULATION_VECTORS: i64 = 6;
/// First row of self attention's shift, scale and gate in the modulation.
const SELF_ROW: i64 = 0;
/// First row of the feed-forward's.
const FEED_FORWARD_ROW: i64 = 3;
/// The gate comes after shift and scale.
const GATE: i64 = 2;

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
    text_projection: KeyProjection,
    image_projection: Option<KeyProjection>,
    cross_out: Linear,
    expand: Linear,
    contract: Linear,
    heads: i64,
    eps: f64,
}

parameters!(Block {
    qkv, qk_norm, self_out, cross_norm, cross_query, cross_query_norm, text_projection,
    image_projection, cross_out, expand, contract; heads, eps
});

/// Makes keys and values of what a block attends to besides its own tokens.
#[derive(Debug)]
struct KeyProjection {
    key: Linear,
    key_norm: RmsNorm,
    value: Linear,
}

parameters!(KeyProjection { key, key_norm, value; });

/// Text or image as one block's cross attention sees it. It does not depend on the step.
#[derive(Debug)]
pub(super) struct Keys {
    /// `[b, n, slots, d]`
    key: Tensor,
    /// `[b, n, slots, d]`
    value: Tensor,
}

/// All that one block's cross attention sees.
#[derive(Debug)]
pub(super) struct CrossKeys {
    /// One per prompt.
    text: Keys,
    /// One for all prompts; absent in networks without an image branch.
    image: Option<Keys>,
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
        let (has_norm, has_image) = (config.cross_attn_norm, config.has_image_branch());
        let cross_norm = has_norm.then(|| LayerNorm::load(&weights.sub("norm2"), width, eps));
        let text_names = ["to_k", "norm_k", "to_v"];
        let image_names = ["add_k_proj", "norm_added_k", "add_v_proj"];
        let image = has_image.then(|| KeyProjection::load(&cross, image_names, config));
        // Some checkpoints have it, and no layer uses it.
        cross.skip("norm_added_q.weight");
        let feed_forward = weights.sub("ffn").sub("net");
        Ok(Self {
            qkv: Linear::stacked(&qkv).map_err(|source| own.torch_error(source))?,
            qk_norm: RmsNorm::stacked(&qk_norm).map_err(|source| own.torch_error(source))?,
            self_out: square(&own, "to_out.0")?,
            cross_norm: cross_norm.transpose()?,
            cross_query: square(&cross, "to_q")?,
            cross_query_norm: norm(&cross, "norm_q")?,
            text_projection: KeyProjection::load(&cross, text_names, config)?,
            image_projection: image.transpose()?,
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
            &mut self.cross_out,
            &mut self.expand,
            &mut self.contract,
        ];
        let projections =
            std::iter::once(&mut self.text_projection).chain(&mut self.image_projection);
        let projections =
            projections.flat_map(|projection| [&mut projection.key, &mut projection.value]);
        matrices
            .into_iter()
            .chain(projections)
            .try_for_each(|matrix| matrix.quantise(format))
    }

    /// Keys and values of the embedded text, `[b, slots, c]`, and image, `[1, tokens, c]`.
    pub(super) fn cross_keys(&self, text: &Tensor, image: Option<&Tensor>) -> CrossKeys {
        let image = self.image_projection.as_ref().zip(image);
        CrossKeys {
            text: self.text_projection.forward(text, self.heads),
            image: image.map(|(projection, image)| projection.forward(image, self.heads)),
        }
    }

    /// Applies the block to the residual stream, which is written over: nobody else may hold it.
    ///
    /// The rows of `modulation` are shift, scale, gate of self attention, then of the feed-forward.
    /// The stream may have a batch of one while the text has more: both start from the same
    /// latents, and part ways at the first cross attention.
    ///
    /// Besides weights, what a block holds at its worst moment decides how long a clip can be, so
    /// tensors end as soon as the next one is there.
    ///
    /// # Shapes
    /// stream `[b, s, c]` to the same, in 32-bit floats
    pub(super) fn forward(
        &self,
        stream: Tensor,
        modulation: &Modulation,
        keys: &CrossKeys,
        text_bias: Option<&Tensor>,
        rope: &RopeTable,
    ) -> Tensor {
        let input = modulation.normalise(&stream, SELF_ROW, self.eps);
        let mixed = self.self_attention(input, rope);
        modulation.add_gated(&stream, &mixed, SELF_ROW + GATE);
        drop(mixed);

        // The sum goes into the tensor that has the batch of the text.
        let mut crossed = self.cross_attention(&stream, keys, text_bias);
        let _ = crossed.g_add_(&stream);
        drop(stream);

        let input = modulation.normalise(&crossed, FEED_FORWARD_ROW, self.eps);
        let output = self.feed_forward(input);
        modulation.add_gated(&crossed, &output, FEED_FORWARD_ROW + GATE);
        crossed
    }

    fn self_attention(&self, input: Tensor, rope: &RopeTable) -> Tensor {
        let (batch, tokens, width) = sizes(&input);
        let qkv = self.qkv.forward(&input).view([batch, tokens, 3, width]);
        drop(input);
        let mixed = {
            let qk = self.rotated(&qkv, rope);
            let query = split_heads(&qk.select(2, 0), self.heads);
            let key = split_heads(&qk.select(2, 1), self.heads);
            let value = split_heads(&qkv.select(2, 2), self.heads);
            scaled_dot_product_attention(&query, &key, &value, None, None)
        };
        drop(qkv);
        let mixed = join_heads(mixed);
        self.self_out.forward(&mixed).to_kind(Kind::Float)
    }

    /// Query and key, normalised and rotated, of `[b, s, 3, c]`: `[b, s, 2, c]`
    fn rotated(&self, qkv: &Tensor, rope: &RopeTable) -> Tensor {
        let (batch, tokens, width) = (qkv.size()[0], qkv.size()[1], qkv.size()[3]);
        let qk = self.qk_norm.forward(&qkv.narrow(2, 0, 2));
        let qk = rope.rotate(qk.view([batch, tokens, 2 * self.heads, width / self.heads]));
        qk.to_kind(qkv.kind()).view([batch, tokens, 2, width])
    }

    fn cross_attention(&self, stream: &Tensor, keys: &CrossKeys, bias: Option<&Tensor>) -> Tensor {
        let query = self.cross_query(stream); // [1 or b, n, s, d]
        let mut mixed = join_heads(keys.text.attend(&query, bias));
        if let Some(image) = &keys.image {
            let _ = mixed.g_add_(&join_heads(image.attend(&query, None)));
        }
        drop(query);
        self.cross_out.forward(&mixed).to_kind(Kind::Float)
    }

    /// `[b, s, c]` to `[b, n, s, d]`
    fn cross_query(&self, stream: &Tensor) -> Tensor {
        let query = match &self.cross_norm {
            Some(norm) => self.cross_query.forward(&norm.forward(stream)),
            None => self.cross_query.forward(stream),
        };
        let normalised = self.cross_query_norm.forward(&query);
        drop(query);
        split_heads(&normalised.to_kind(self.cross_query.kind()), self.heads)
    }

    /// `[b, s, c]` to the same
    fn feed_forward(&self, input: Tensor) -> Tensor {
        let hidden = self.expand.forward(&input);
        drop(input);
        let hidden = gelu_tanh(hidden);
        let output = self.contract.forward(&hidden);
        drop(hidden);
        output.to_kind(Kind::Float)
    }
}

impl KeyProjection {
    /// Reads the layers called key, norm of the key and value in `names`.
    fn load(
        weights: &Weights,
        names: [&str; 3],
        config: &TransformerConfig,
    ) -> Result<Self, WeightsError> {
        let ([key, key_norm, value], width) = (names, config.width());
        Ok(Self {
            key: Linear::load(&weights.sub(key), width, width)?,
            key_norm: RmsNorm::load(&weights.sub(key_norm), width, config.eps)?,
            value: Linear::load(&weights.sub(value), width, width)?,
        })
    }

    /// `[b, slots, c]` to keys and values
    fn forward(&self, input: &Tensor, heads: i64) -> Keys {
        let key = self.key_norm.forward(&self.key.forward(input));
        Keys {
            key: split_heads(&key.to_kind(self.key.kind()), heads),
            value: split_heads(&self.value.forward(input), heads),
        }
    }
}

impl Keys {
    /// Attention of `query`, `[b, n, s, d]`. Where either side has a batch of one, all members of the
    /// other side share it.
    fn attend(&self, query: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let batch = query.size()[0].max(self.key.size()[0]);
        let [query, key, value] = [query, &self.key, &self.value].map(|tensor| {
            let mut shape = tensor.size();
            shape[0] = batch;
            tensor.expand(shape, false)
        });
        scaled_dot_product_attention(&query, &key, &value, bias, None)
    }
}

/// `[b, s, c]` to `[b, n, s, d]`
fn split_heads(input: &Tensor, heads: i64) -> Tensor {
    let (batch, tokens, width) = sizes(input);
    input
        .view([batch, tokens, heads, width / heads])
        .transpose(1, 2)
}

/// `[b, n, s, d]` to `[b, s, c]`
fn join_heads(input: Tensor) -> Tensor {
    input.transpose(1, 2).flatten(2, 3)
}

fn sizes(tensor: &Tensor) -> (i64, i64, i64) {
    let size = tensor.size();
    (size[0], size[1], size[2])
}
