//! The BERT encoder: token ids to one vector for each token.
//!
//! Post-norm blocks with biases; positions and the kind of text enter once, below the first block.
//! Norms and the residual stream are in 32-bit floats.

use kinora_nn::{
    LayerNorm, Linear, Weights, WeightsError, parameters, scaled_dot_product_attention,
};
use tch::{Kind, Tensor};

use super::config::BertConfig;

/// The network.
#[derive(Debug)]
pub struct BertEncoder {
    /// `[vocabulary, c]`
    words: Tensor,
    /// `[positions, c]`, with the vector of the first kind of text added to each
    positions: Tensor,
    norm: LayerNorm,
    blocks: Vec<Block>,
    heads: i64,
}

#[derive(Debug)]
struct Block {
    /// Query, key and value side by side.
    qkv: Linear,
    attention_out: Linear,
    attention_norm: LayerNorm,
    feed_forward_in: Linear,
    feed_forward_out: Linear,
    feed_forward_norm: LayerNorm,
}

parameters!(BertEncoder { words, positions, norm, blocks; heads });
parameters!(Block {
    qkv, attention_out, attention_norm, feed_forward_in, feed_forward_out, feed_forward_norm;
});

impl BertEncoder {
    /// Reads the network; the caller finishes `weights`. The pooler, which answers another question
    /// than sentence vectors do, is known and not read.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub fn load(weights: &Weights, config: &BertConfig) -> Result<Self, WeightsError> {
        let (width, eps) = (config.hidden_size, config.layer_norm_eps);
        let embeddings = weights.sub("embeddings");
        embeddings.skip("position_ids"); // older files hold 0, 1, 2, ...
        let pooler = weights.sub("pooler.dense");
        pooler.skip("weight");
        pooler.skip("bias");
        let table = |name, entries| embeddings.get_f32(name, &[entries, width]);
        let positions = table("position_embeddings.weight", config.max_position_embeddings)?;
        let kinds = table("token_type_embeddings.weight", config.type_vocab_size)?;
        let mut blocks = Vec::new();
        for index in 0..config.num_hidden_layers {
            let at = weights.sub("encoder.layer").sub(index);
            blocks.push(Block::load(&at, config)?);
        }
        Ok(Self {
            words: table("word_embeddings.weight", config.vocab_size)?,
            positions: positions + kinds.narrow(0, 0, 1),
            norm: LayerNorm::load(&embeddings.sub("LayerNorm"), width, eps)?,
            blocks,
            heads: config.num_attention_heads,
        })
    }

    /// Encodes texts of one length, or of several with a mask.
    ///
    /// # Shapes
    /// ids `[b, s]`, mask `[b, s]` with 1 at tokens and 0 at padding, both on any device, to
    /// `[b, s, c]` in 32-bit floats
    pub fn forward(&self, ids: &Tensor, mask: Option<&Tensor>) -> Tensor {
        let device = self.words.device();
        let (batch, tokens) = ids.size2().unwrap_or_default();
        let ids = ids.to_device(device).flatten(0, -1);
        let words = self.words.index_select(0, &ids).view([batch, tokens, -1]);
        let positions = self.positions.narrow(0, 0, tokens);
        let bias = mask.map(|mask| padding_bias(&mask.to_device(device)));
        let mut stream = self.norm.forward(&(words + positions)); // [b, s, c]
        for block in &self.blocks {
            stream = block.forward(&stream, bias.as_ref(), self.heads);
        }
        stream
    }
}

/// What is added to the logits of attention: nothing at tokens, minus infinity at padding.
///
/// # Shapes
/// `[b, s]` to `[b, 1, 1, s]`
fn padding_bias(mask: &Tensor) -> Tensor {
    let padding = mask.eq(0);
    Tensor::zeros(mask.size(), (Kind::Float, mask.device()))
        .masked_fill(&padding, f64::NEG_INFINITY)
        .unsqueeze(1)
        .unsqueeze(1)
}

impl Block {
    fn load(weights: &Weights, config: &BertConfig) -> Result<Self, WeightsError> {
        let (width, inner, eps) = (
            config.hidden_size,
            config.intermediate_size,
            config.layer_norm_eps,
        );
        let (attention, after) = (weights.sub("attention"), weights.sub("attention.output"));
        let project = |name| Linear::load(&attention.sub("self").sub(name), width, width);
        let qkv = Linear::stacked(&[project("query")?, project("key")?, project("value")?]);
        let output = weights.sub("output");
        Ok(Self {
            qkv: qkv.map_err(|source| attention.torch_error(source))?,
            attention_out: Linear::load(&after.sub("dense"), width, width)?,
            attention_norm: LayerNorm::load(&after.sub("LayerNorm"), width, eps)?,
            feed_forward_in: Linear::load(&weights.sub("intermediate.dense"), width, inner)?,
            feed_forward_out: Linear::load(&output.sub("dense"), inner, width)?,
            feed_forward_norm: LayerNorm::load(&output.sub("LayerNorm"), width, eps)?,
        })
    }

    /// `[b, s, c]` to the same
    fn forward(&self, stream: &Tensor, bias: Option<&Tensor>, heads: i64) -> Tensor {
        let attended = self.attend(stream, bias, heads);
        let stream = self.attention_norm.forward(&(stream + attended));
        let expanded = self.feed_forward_in.forward(&stream).gelu("none");
        let output = self.feed_forward_out.forward(&expanded);
        let output = output.to_kind(Kind::Float);
        self.feed_forward_norm.forward(&(stream + output))
    }

    fn attend(&self, stream: &Tensor, bias: Option<&Tensor>, heads: i64) -> Tensor {
        let (batch, tokens, width) = stream.size3().unwrap_or_default();
        let qkv = self
            .qkv
            .forward(stream)
            .view([batch, tokens, 3, heads, width / heads])
            .permute([2, 0, 3, 1, 4]); // [3, b, n, s, d]
        let (query, key, value) = (qkv.get(0), qkv.get(1), qkv.get(2));
        let bias = bias.map(|bias| bias.to_kind(query.kind()));
        let mixed = scaled_dot_product_attention(&query, &key, &value, bias.as_ref(), None);
        let mixed = mixed.transpose(1, 2).reshape([batch, tokens, width]);
        self.attention_out.forward(&mixed).to_kind(Kind::Float)
    }
}
